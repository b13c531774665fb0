// Reactions that float up over the picture. However many are sent, only so many fly at a
// time; the rest are left out, as reactions may be. Also sums up this viewer's own taps, so
// that a flurry becomes one command.

import { calm, h, icon } from './dom.js';

const MOST_FLYING = 28;
const MOST_QUEUED = 40;
const LAUNCH_MS = 70;
const SEND_MS = 400;
const MOST_IN_ONE = 50;
const KINDS = ['heart', 'fire', 'clap', 'laugh', 'wow'];

/** @param {{send: (kind: string, count: number) => void}} options */
export function createFloats({ send }) {
  const element = h('div', { class: 'floats', 'aria-hidden': 'true' });
  let queue = [];
  let flying = 0;
  let launching = null;
  let taps = {};
  let sending = null;
  // Own taps fly at once; when the room's count of them comes back they are not shown twice.
  let own = {};

  function launch() {
    const kind = queue.shift();
    if (kind === undefined) {
      clearInterval(launching);
      launching = null;
      return;
    }
    if (flying < MOST_FLYING) fly(kind);
  }

  function fly(kind) {
    flying += 1;
    const float = h('span', { class: `float float-${kind}` }, icon(kind));
    float.style.setProperty('--start', `${(Math.random() * 56 - 28).toFixed(1)}px`);
    float.style.setProperty('--drift', `${(Math.random() * 90 - 45).toFixed(1)}px`);
    float.style.setProperty('--turn', `${(Math.random() * 40 - 20).toFixed(1)}deg`);
    float.style.setProperty('--last', `${(2.2 + Math.random() * 1.4).toFixed(2)}s`);
    const end = () => {
      float.remove();
      flying -= 1;
    };
    float.addEventListener('animationend', end, { once: true });
    float.addEventListener('animationcancel', end, { once: true });
    element.append(float);
  }

  function show(kind, count) {
    if (!KINDS.includes(kind) || document.hidden || calm()) return;
    const room = MOST_QUEUED - queue.length;
    for (let i = 0; i < Math.min(count, room); i += 1) queue.push(kind);
    launching ??= setInterval(launch, LAUNCH_MS);
  }

  function flush() {
    sending = null;
    for (const [kind, count] of Object.entries(taps)) send(kind, count);
    taps = {};
  }

  return {
    element,
    /** This viewer has tapped. */
    tap(kind) {
      if ((taps[kind] ?? 0) >= MOST_IN_ONE) return;
      taps[kind] = (taps[kind] ?? 0) + 1;
      own[kind] = (own[kind] ?? 0) + 1;
      show(kind, 1);
      sending ??= setTimeout(flush, SEND_MS);
    },
    /** The room has reacted. */
    hear(counts) {
      for (const [kind, count] of Object.entries(counts)) {
        const mine = Math.min(own[kind] ?? 0, count);
        own = { ...own, [kind]: (own[kind] ?? 0) - mine };
        show(kind, count - mine);
      }
    },
  };
}
