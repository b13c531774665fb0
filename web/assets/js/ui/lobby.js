// What is shown while nobody is on air: the shows to come. Looks again now and then, and
// opens the first that starts.

import { h, icon } from './dom.js';

const LOOK_AGAIN_MS = 10_000;
const when = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

function card(stream) {
  return h(
    'li',
    {},
    h(
      'a',
      { class: 'coming', href: `/live/${stream.id}` },
      h('time', { datetime: stream.scheduled_at }, when.format(new Date(stream.scheduled_at))),
      h('span', { class: 'strong' }, stream.title),
      h('span', { class: 'fine' }, stream.seller.shop_name),
    ),
  );
}

/** The shows of a list as links; for the lobby and for the end of a show. */
export function showList(streams) {
  return h('ul', { class: 'comings' }, streams.map(card));
}

/** Shows the lobby in `root` until a show is live, then calls `onLive` with it. */
export async function showLobby(root, api, onLive) {
  const list = h('div', {});
  const note = h('p', { class: 'lobby-note', role: 'status' }, 'Looking for a show');
  root.replaceChildren(
    h(
      'main',
      { class: 'lobby' },
      h('div', { class: 'awning', 'aria-hidden': 'true' }),
      h('div', { class: 'lobby-inside' }, h('p', { class: 'word' }, icon('stall'), 'Hawker'), h('h1', {}, 'Nobody is on air right now'), note, list),
    ),
  );

  async function look() {
    try {
      const { items: live } = await api.liveStreams();
      if (live.length > 0) return onLive(live[0]);
      const { items } = await api.upcomingStreams();
      list.replaceChildren(showList(items));
      note.textContent = items.length === 0 ? 'No shows are announced. This page opens the next one by itself.' : 'Next up. This page opens the show by itself.';
    } catch {
      note.textContent = 'No connection right now. Trying again.';
    }
    setTimeout(look, LOOK_AGAIN_MS);
    return undefined;
  }
  await look();
}
