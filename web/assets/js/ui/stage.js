// The picture: the show's cover, or a scene drawn for it, and what is laid over it.

import { h, pictureAddress } from './dom.js';
import { createScene } from './scene.js';

export function createStage(...over) {
  const scene = createScene();
  const cover = h('img', { class: 'cover', alt: '', hidden: true, referrerpolicy: 'no-referrer' });
  const curtain = h('div', { class: 'curtain', hidden: true });
  const state = h('p', { class: 'connection', role: 'status', hidden: true });
  const absent = h('p', { class: 'connection', role: 'status', hidden: true }, 'The host will be right back');
  const element = h('section', { class: 'stage', 'aria-label': 'The show' }, cover, scene.element, h('div', { class: 'shade', 'aria-hidden': 'true' }), over, absent, state, curtain);
  let shown = null;

  cover.addEventListener('error', () => {
    cover.hidden = true;
    scene.show(shown.id, false);
  });

  return {
    element,
    render({ stream }) {
      if (!stream || (shown?.id === stream.id && shown.cover_url === stream.cover_url)) return;
      shown = stream;
      const source = pictureAddress(stream.cover_url);
      cover.hidden = source === null;
      if (source) cover.src = source;
      scene.show(stream.id, source !== null);
    },
    /** Says what is the matter with the connection; null: nothing. */
    connection(text) {
      state.hidden = text === null;
      state.textContent = text ?? '';
    },
    /** Whether the host's connection is lost for now. */
    away(is) {
      absent.hidden = !is;
    },
    /** Lays something over the whole picture, such as that the show is over; null takes it away. */
    curtain(content) {
      curtain.hidden = content === null;
      curtain.replaceChildren(...(content ? [content] : []));
    },
  };
}
