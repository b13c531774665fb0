// The step before an order is placed: what it costs, where it goes, and a discount code.

import { h } from '../ui/dom.js';
import { addressLines } from './address.js';
import { bill } from './bill.js';

function codeForm(checkout, tried, problem, done) {
  const input = h('input', {
    id: 'discount-code', class: 'input', name: 'code', maxlength: '64', autocomplete: 'off', autocapitalize: 'characters', spellcheck: 'false', value: tried,
    'aria-invalid': problem === null ? null : 'true', 'aria-describedby': problem === null ? null : 'discount-problem', autofocus: problem !== null,
  });
  const use = (event) => {
    event.preventDefault();
    const code = input.value.trim();
    if (code !== '') done({ act: 'code', code });
  };
  return h(
    'form',
    { class: 'field code', onsubmit: use },
    h('label', { for: 'discount-code' }, 'Discount code', h('span', { class: 'optional' }, 'optional')),
    h('div', { class: 'code-row' }, input, h('button', { class: 'second', type: 'submit' }, 'Use it')),
    problem !== null && h('p', { class: 'problem', id: 'discount-problem', role: 'alert' }, problem),
    checkout.discount_code && h('p', { class: 'fine' }, `${checkout.discount_code} is taken off. `, h('button', { class: 'link', type: 'button', onclick: () => done({ act: 'code', code: null }) }, 'Leave it out')),
  );
}

function goesTo(checkout, done) {
  return h(
    'div',
    { class: 'goes-to' },
    h('p', { class: 'fine' }, 'Goes to'),
    h('address', {}, addressLines(checkout.address).map((line) => h('span', {}, line))),
    h('button', { class: 'link', type: 'button', onclick: () => done({ act: 'back' }) }, 'Change'),
  );
}

/**
 * Resolves with `{act: 'place'}`, `{act: 'back'}` for another address, or `{act: 'code', code}`.
 * @param {{tried: string, problem: string | null}} code what was tried, and why it was refused
 */
export function askForAgreement(sheet, checkout, { tried, problem }) {
  return sheet.ask({
    title: 'Your order',
    trail: 'Step 2 of 3',
    build: (done) =>
      h(
        'div',
        { class: 'stack' },
        checkout.lapsed?.length > 0 && h('p', { class: 'problem', role: 'alert' }, `A hold ran out: ${checkout.lapsed.map((item) => item.title).join(', ')} is not part of it any more.`),
        bill(checkout),
        codeForm(checkout, tried, problem, done),
        goesTo(checkout, done),
        h('button', { class: 'go go-wide', type: 'button', autofocus: problem === null, onclick: () => done({ act: 'place' }) }, 'Place the order'),
      ),
  });
}

/** Whether a refused checkout may be had with another code, or none. */
export const isOfCode = (error) => Boolean(error?.code?.startsWith('discount_')) || error?.field === 'discount_code';
