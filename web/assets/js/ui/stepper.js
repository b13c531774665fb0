// How many: a number between one and a limit, by two buttons.

import { h, setText } from './dom.js';

/** @param {string} label what is counted, for screen readers @param {number} start the number at first */
export function createStepper(label, onChange = () => {}, start = 1) {
  let value = start;
  let most = 1;
  const shown = h('output', { class: 'step-value', 'aria-live': 'polite' }, String(start));
  const less = h('button', { class: 'step', type: 'button', 'aria-label': `Fewer: ${label}`, onclick: () => set(value - 1) }, '−');
  const more = h('button', { class: 'step', type: 'button', 'aria-label': `More: ${label}`, onclick: () => set(value + 1) }, '+');
  const element = h('div', { class: 'stepper', role: 'group', 'aria-label': label }, less, shown, more);

  function set(next) {
    const bounded = Math.max(1, Math.min(most, next));
    const changed = bounded !== value;
    value = bounded;
    setText(shown, String(value));
    less.disabled = value <= 1;
    more.disabled = value >= most;
    if (changed) onChange(value);
  }

  return {
    element,
    value: () => value,
    /** The limit may fall below the value while somebody else buys. */
    limit(next) {
      most = Math.max(1, next);
      element.hidden = most === 1;
      set(value);
    },
  };
}
