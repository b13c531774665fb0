// What is asked before something is done to an order that cannot be taken back.

import { field, form } from '../ui/fields.js';
import { createStepper } from '../ui/stepper.js';
import { formatMoney } from '../money.js';
import { h } from '../ui/dom.js';

/** Resolves with whether to go on. */
export function askWhether(sheet, { title, text, yes }) {
  return sheet.ask({
    title,
    build: (done) =>
      h(
        'div',
        { class: 'stack' },
        h('p', {}, text),
        h('button', { class: 'go go-wide', type: 'button', onclick: () => done(true) }, yes),
        h('button', { class: 'second', type: 'button', autofocus: true, onclick: () => done(false) }, 'No, leave it'),
      ),
  });
}

export const askToCancel = (sheet, order) =>
  askWhether(sheet, {
    title: 'Call the order off?',
    text: order.status === 'pending_payment' ? 'The goods go back on the table.' : `None of it will be sent, and ${formatMoney(order.total)} goes back to you.`,
    yes: 'Call it off',
  });

/** How many of a line, and why: resolves with `{quantity, reason}`, or null. */
function askForUnits(sheet, { title, item, most, label, note, mustSayWhy, send }) {
  return sheet.ask({
    title,
    trail: item.title,
    build(done) {
      const stepper = createStepper('Units', () => {}, most);
      stepper.limit(most);
      return form({
        fields: [
          h('p', {}, note),
          most > 1 && h('div', { class: 'field' }, h('p', { class: 'strong' }, 'How many?'), stepper.element),
          field('Why', { name: 'reason', maxlength: mustSayWhy ? '1000' : '500', required: mustSayWhy, autofocus: true }, 'The shop reads it.'),
        ],
        label,
        submit: async ({ reason }) => (await send({ quantity: stepper.value(), reason: reason.trim() })) ?? true,
        done,
        foot: h('button', { class: 'second', type: 'button', onclick: () => done(null) }, 'No, leave it'),
      });
    },
  });
}

/** @param {(what: {quantity: number, reason: string}) => Promise<object>} send refused in the form */
export const askToCallOff = (sheet, item, most, send) =>
  askForUnits(sheet, { title: 'Call it off?', item, most, send, label: 'Call it off', note: 'It will not be sent, and its money goes back to you.', mustSayWhy: false });

/** In which parcel something goes back. @param {(what: {carrier: string, tracking: string}) => Promise<object>} send refused in the form */
export const askForParcel = (sheet, one, send) =>
  sheet.ask({
    title: 'Sent it?',
    trail: one.title,
    build: (done) =>
      form({
        fields: [
          field('Carrier', { name: 'carrier', maxlength: '60', required: true, autofocus: true }),
          field('Number of the parcel', { name: 'tracking', maxlength: '100', required: true }, 'With it the return does not lapse.'),
        ],
        label: 'It is on its way',
        submit: async (values) => (await send(values)) ?? true,
        done,
        foot: h('button', { class: 'second', type: 'button', onclick: () => done(null) }, 'Not yet'),
      }),
  });

/** @param {(what: {quantity: number, reason: string}) => Promise<object>} send refused in the form */
export const askToClaim = (sheet, item, most, send) =>
  askForUnits(sheet, { title: 'It never came?', item, most, send, label: 'Tell the shop', note: 'The shop says what it knows of the parcel, and if you do not agree, the marketplace decides. Until then the shop is not paid for it.', mustSayWhy: true });

/** @param {(what: {quantity: number, reason: string}) => Promise<object>} send refused in the form */
export const askToSendBack = (sheet, item, most, send) =>
  askForUnits(sheet, { title: 'Send it back?', item, most, send, label: 'Ask the shop', note: 'The shop says whether and where to send it. Your money goes back when it has arrived there.', mustSayWhy: true });
