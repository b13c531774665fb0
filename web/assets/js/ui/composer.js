// Where the viewer writes and reacts.

import { h, icon } from './dom.js';

const REACTIONS = [
  ['heart', 'Send a heart'],
  ['fire', 'Send fire'],
  ['clap', 'Applaud'],
  ['laugh', 'Laugh'],
  ['wow', 'Be amazed'],
];

/**
 * @param {{onSay: (text: string) => boolean | Promise<boolean>, onReact: (kind: string) => void, maxChars: number}} options
 *   `onSay` answers whether the text was taken; otherwise it stays in the field.
 */
export function createComposer({ onSay, onReact, maxChars }) {
  const input = h('input', {
    class: 'say', type: 'text', name: 'text', maxlength: String(maxChars), placeholder: 'Say something',
    'aria-label': 'Chat message', autocomplete: 'off', enterkeyhint: 'send',
  });
  const submit = h('button', { class: 'send', type: 'submit', 'aria-label': 'Send' }, icon('send'));
  const form = h('form', { class: 'say-form', onsubmit: say }, input, submit);
  const buttons = REACTIONS.map(([kind, label]) =>
    h('button', { class: `react react-${kind}`, type: 'button', 'aria-label': label, title: label, onclick: () => onReact(kind) }, icon(kind)),
  );
  const tray = h('div', { class: 'tray', id: 'reactions' }, buttons.slice(1));
  const more = h(
    'button',
    { class: 'react react-more', type: 'button', 'aria-label': 'More reactions', 'aria-expanded': 'false', 'aria-controls': 'reactions', onclick: toggle },
    icon('more'),
  );
  const element = h('div', { class: 'composer' }, form, h('div', { class: 'reacts' }, buttons[0], more, tray));

  function toggle() {
    const open = element.classList.toggle('tray-open');
    more.setAttribute('aria-expanded', String(open));
  }

  async function say(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (text === '') return;
    if (await onSay(text)) input.value = '';
    input.focus({ preventScroll: true });
  }

  return { element };
}
