// Labelled fields, and forms that show a refusal at the field it is about.

import { Refusal, words } from '../errors.js';
import { h } from './dom.js';

let lastId = 0;

/** One labelled input. `attributes` are the input's; `note` stands below it. */
export function field(label, attributes, note) {
  lastId += 1;
  const id = `field-${lastId}`;
  const input = h('input', { id, class: 'input', ...attributes });
  return h('div', { class: 'field' }, h('label', { for: id }, label, !attributes.required && h('span', { class: 'optional' }, 'optional')), input, note && h('p', { class: 'note' }, note));
}

/** Whether a field has to be filled, once it is there. */
export function require(element, needed) {
  element.querySelector('input').required = needed;
  const mark = element.querySelector('.optional');
  if (needed) mark?.remove();
  else if (mark === null) element.querySelector('label').append(h('span', { class: 'optional' }, 'optional'));
}

/** One labelled choice. `options` are pairs of value and words. */
export function choice(label, attributes, options, chosen) {
  lastId += 1;
  const id = `field-${lastId}`;
  const items = options.map(([value, text]) => h('option', { value, selected: value === chosen }, text));
  return h('div', { class: 'field' }, h('label', { for: id }, label), h('select', { id, class: 'input', ...attributes }, items));
}

/**
 * A form that runs `submit(values, act)` and calls `done` with its answer. While it runs the button
 * waits; what it throws is said beside the button, with the field at fault in focus.
 */
export function form({ fields, label, submit, done, foot }) {
  const problem = h('p', { class: 'problem', role: 'alert', hidden: true });
  const button = h('button', { class: 'go go-wide', type: 'submit' }, label);
  const element = h('form', { class: 'form', onsubmit: run }, fields, problem, button, foot);

  async function run(event) {
    event.preventDefault();
    if (button.disabled) return;
    const values = Object.fromEntries(new FormData(element));
    waiting(true);
    try {
      done(await submit(values));
    } catch (error) {
      complain(error);
    } finally {
      waiting(false);
    }
  }

  function waiting(on) {
    button.disabled = on;
    button.toggleAttribute('aria-busy', on);
    if (on) problem.hidden = true;
  }

  function complain(error) {
    const input = error.field ? element.elements.namedItem(error.field.split('.')[0]) : null;
    for (const one of element.elements) one.removeAttribute('aria-invalid');
    // Only what is wrong with a field of this form is told in the server's words.
    problem.textContent = input && error instanceof Refusal && error.code === 'invalid_body' ? sentence(error.detail) : words(error);
    problem.hidden = false;
    if (input instanceof HTMLElement) {
      input.setAttribute('aria-invalid', 'true');
      input.focus();
    }
  }

  return element;
}

function sentence(text) {
  const start = text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
