// The chat over the picture: the last messages, newest at the bottom, following along
// unless the reader has scrolled up. Screen readers get a digest every few seconds instead
// of every line, which in a busy room nobody could listen to.

import { h, icon, setText } from './dom.js';
import { words } from '../errors.js';

const DIGEST_MS = 5_000;
const NEAR_END_PX = 48;
const HUES = 8;

/** The same colour for the same person, on every screen. */
function hueOf(id) {
  let sum = 0;
  for (let i = 0; i < id.length; i += 1) sum = (sum * 31 + id.charCodeAt(i)) % 9973;
  return sum % HUES;
}

/** @param {{onAgain: (entry: object) => void, onDrop: (entry: object) => void}} options */
export function createChat({ onAgain, onDrop }) {
  const list = h('ol', { class: 'chat-list', role: 'log', 'aria-live': 'off', 'aria-label': 'Chat', tabindex: '0' });
  const newer = h('button', { class: 'chat-newer', type: 'button', hidden: true, onclick: toEnd }, 'New messages');
  const pinned = h('p', { class: 'chat-pinned', 'aria-label': 'Pinned message', hidden: true });
  const digest = h('p', { class: 'unseen', 'aria-live': 'polite' });
  const element = h('section', { class: 'chat', 'aria-label': 'Chat' }, pinned, list, newer, digest);
  const lines = new Map();
  let follows = true;
  let fresh = [];

  list.addEventListener('scroll', () => {
    follows = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_END_PX;
    if (follows) newer.hidden = true;
  });
  setInterval(tellDigest, DIGEST_MS);
  // A keyboard or a growing offer takes height away: the last line stays in sight.
  new ResizeObserver(() => follows && (list.scrollTop = list.scrollHeight)).observe(list);

  function toEnd() {
    follows = true;
    newer.hidden = true;
    list.scrollTop = list.scrollHeight;
  }

  function tellDigest() {
    if (fresh.length === 0) return;
    setText(digest, fresh.length === 1 ? `${fresh[0].author.name}: ${fresh[0].text}` : `${fresh.length} new messages`);
    fresh = [];
  }

  function line(entry, room) {
    switch (entry.kind) {
      case 'said':
        return saidLine(entry, room);
      case 'mine':
        return mineLine(entry);
      case 'purchase':
        return h('li', { class: 'line line-bought' }, icon('bag'), `${entry.name ?? 'Somebody'} bought ${entry.quantity > 1 ? `${entry.quantity} × ` : ''}${entry.title}`);
      case 'announcement':
        return h('li', { class: 'line line-announcement' }, h('span', { class: 'author' }, entry.author.name), h('span', { class: 'words' }, entry.text));
      default:
        return h('li', { class: 'line line-notice' }, entry.text);
    }
  }

  function saidLine(entry, room) {
    const { author } = entry;
    const own = author.id === room.me;
    const answered = entry.replyTo && room.chat.find((other) => other.id === entry.replyTo);
    return h(
      'li',
      { class: `line ${author.host ? 'line-host' : ''} ${own ? 'line-own' : ''}`, 'data-acknowledged': own ? String(entry.acknowledged) : null },
      h('span', { class: `author hue-${hueOf(author.id)}` }, author.name),
      author.host && h('span', { class: 'host-mark' }, 'Host'),
      answered?.author && h('span', { class: 'answers' }, `to ${answered.author.name}`),
      h('span', { class: 'words' }, entry.text),
      own && (entry.acknowledged ? mark('check', 'Delivered') : mark('clock', 'Sending')),
    );
  }

  function mark(name, label) {
    return h('span', { class: `mark mark-${name}`, role: 'img', 'aria-label': label }, icon(name));
  }

  function mineLine(entry) {
    if (entry.state === 'sending') {
      return h('li', { class: 'line line-own line-sending' }, h('span', { class: 'author' }, 'You'), h('span', { class: 'words' }, entry.text), mark('clock', 'Sending'));
    }
    if (entry.state === 'held') {
      return h('li', { class: 'line line-own line-sending' }, h('span', { class: 'author' }, 'You'), h('span', { class: 'words' }, entry.text), mark('clock', 'A moderator looks at it first'));
    }
    return h(
      'li',
      { class: 'line line-own line-failed' },
      h('span', { class: 'words' }, entry.text),
      h('span', { class: 'why', role: 'alert' }, words({ code: entry.error })),
      h('button', { class: 'link', type: 'button', onclick: () => onAgain(entry) }, 'Send again'),
      h('button', { class: 'link', type: 'button', onclick: () => onDrop(entry) }, 'Discard'),
    );
  }

  function drawPinned(message) {
    pinned.hidden = message === null;
    pinned.replaceChildren(...(message === null ? [] : [h('span', { class: 'author' }, message.author.name), h('span', { class: 'words' }, message.text)]));
  }

  /** Keeps the lines that are still the same, moves and makes only what is not. */
  function place(room) {
    let cursor = list.firstElementChild;
    for (const entry of room.chat) {
      let known = lines.get(entry.key);
      if (known && known.entry !== entry) {
        const next = line(entry, room);
        if (known.node === cursor) cursor = next;
        known.node.replaceWith(next);
        known = { entry, node: next };
        lines.set(entry.key, known);
      } else if (!known) {
        known = { entry, node: line(entry, room) };
        lines.set(entry.key, known);
        if (['said', 'announcement'].includes(entry.kind) && entry.author.id !== room.me) fresh.push(entry);
      }
      if (known.node === cursor) cursor = cursor.nextElementSibling;
      else list.insertBefore(known.node, cursor);
    }
  }

  function prune(room) {
    const kept = new Set(room.chat.map((entry) => entry.key));
    for (const [key, { node }] of lines) {
      if (kept.has(key)) continue;
      node.remove();
      lines.delete(key);
    }
  }

  return {
    element,
    toEnd,
    render(room, before) {
      if (before?.pinned !== room.pinned) drawPinned(room.pinned);
      if (before?.chat === room.chat && before?.me === room.me) return;
      if (before && before.me !== room.me) {
        list.replaceChildren();
        lines.clear();
      }
      const last = before?.chat.at(-1)?.key;
      prune(room);
      place(room);
      if (follows) list.scrollTop = list.scrollHeight;
      else if (room.chat.at(-1)?.key !== last) newer.hidden = false;
    },
  };
}
