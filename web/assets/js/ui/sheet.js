// The sheet in which somebody signs in, orders and pays: a native modal dialog, so that the
// page behind it is inert, Escape closes it and focus returns to where it was.
//
// A purchase is a row of steps. Each is shown by `ask`, which resolves with what the step
// was answered, and throws Dismissed when the sheet is closed instead.

import { countdown, spokenTime } from '../clock.js';
import { h, icon, setText } from './dom.js';

/** The sheet was closed before the step had its answer. */
export class Dismissed extends Error {}

const URGENT_MS = 15_000;

/**
 * @param {object} options
 * @param {() => number} options.now the server's time
 * @param {() => HTMLElement | null} options.afterwards takes the focus where what had it is gone
 */
export function createSheet({ now, afterwards }) {
  const title = h('h2', { class: 'sheet-title', id: 'sheet-title', tabindex: '-1' });
  const trail = h('p', { class: 'trail' });
  const time = h('p', { class: 'sheet-clock', role: 'timer', hidden: true });
  const shut = h('button', { class: 'sheet-close', type: 'button', 'aria-label': 'Close', onclick: () => dialog.close() }, icon('close'));
  const body = h('div', { class: 'sheet-body' });
  const dialog = h(
    'dialog',
    { class: 'sheet', 'aria-labelledby': 'sheet-title' },
    h('div', { class: 'awning', 'aria-hidden': 'true' }),
    h('header', { class: 'sheet-head' }, h('div', {}, trail, title), time, shut),
    body,
  );
  document.body.append(dialog);
  let pending = null;
  let dismissed = false;
  let deadline = null;
  let ticking = null;

  dialog.addEventListener('close', () => {
    clearInterval(ticking);
    deadline = null;
    time.hidden = true;
    dismissed = true;
    pending?.reject(new Dismissed());
    pending = null;
    // The button that opened it may have become another, once the page has been drawn.
    requestAnimationFrame(() => requestAnimationFrame(() => document.activeElement === document.body && !dialog.open && afterwards()?.focus()));
  });
  // A tap beside the sheet closes it, as people expect on a phone.
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });

  function tick() {
    const rest = deadline.at - now();
    setText(time, countdown(rest));
    time.setAttribute('aria-label', `${deadline.label} ${spokenTime(Math.ceil(rest / 10_000) * 10_000)}`);
    time.classList.toggle('urgent', rest < URGENT_MS);
    if (rest > 0) return;
    const { error } = deadline;
    setDeadline(null);
    pending?.reject(error());
  }

  function setDeadline(next) {
    clearInterval(ticking);
    deadline = next;
    time.hidden = next === null;
    if (next === null) return;
    ticking = setInterval(tick, 250);
    tick();
  }

  function open() {
    if (dismissed) throw new Dismissed();
    if (!dialog.open) dialog.showModal();
  }

  return {
    /** A new row of steps: what was closed before may open again. */
    begin() {
      dismissed = false;
    },
    /**
     * Shows a step and waits for its answer.
     * @param {{title: string, trail?: string, build: (done: (answer: any) => void) => Node}} step
     */
    ask({ title: heading, trail: where = '', build }) {
      pending?.reject(new Dismissed());
      return new Promise((resolve, reject) => {
        open();
        const mine = { reject };
        pending = mine;
        setText(title, heading);
        setText(trail, where);
        trail.hidden = where === '';
        body.replaceChildren(build((answer) => {
          if (pending !== mine) return;
          pending = null;
          resolve(answer);
        }));
        body.scrollTop = 0;
        (body.querySelector('[autofocus]') ?? title).focus();
      });
    },
    /** Shows that something is under way; nothing to answer. */
    busy(text) {
      open();
      setText(title, text);
      body.replaceChildren(h('div', { class: 'busy', role: 'status' }, h('span', { class: 'spinner' }), text));
      title.focus();
    },
    /**
     * Counts down to `at` (ms, server's time). When it is reached while a step waits, the
     * step throws `error()`. Null ends it.
     */
    setDeadline,
    /** Takes a step's question back, because something else has happened. */
    interrupt(error) {
      pending?.reject(error);
      pending = null;
    },
    close() {
      if (dialog.open) dialog.close();
    },
    isOpen: () => dialog.open,
    /** Whether the row of steps was closed on the way. */
    wasDismissed: () => dismissed,
  };
}
