// Paying with the test provider: which card, the bank's second step, and waiting for an
// answer that takes its time. A decline is an outcome, not an error: it comes back here.

import { formatMoney } from '../money.js';
import { Refusal, Unreachable, declineWords, words } from '../errors.js';
import { form } from '../ui/fields.js';
import { h, icon } from '../ui/dom.js';
import { createAct } from '../acts.js';
import { uuid } from '../uuid.js';
import { redirectOf } from './away.js';

const CARDS = [
  ['test_success', 'A card that works', 'ending 4242'],
  ['test_decline', 'A card that is declined', 'ending 0002'],
  ['test_second_step', 'A card whose bank asks back', 'ending 3220'],
  ['test_late_success', 'A card whose bank takes its time', 'ending 0077'],
];
const TRAIL = 'Step 3 of 3';
const ASK_AGAIN_MS = 1_500;
const PATIENCE_MS = 60_000;
const WITH_THE_BANK = ['created', 'processing'];

/** The attempt that is under way, if any: no other can begin before it has ended. */
export const underWay = (order) => order.payments.find((payment) => [...WITH_THE_BANK, 'requires_action'].includes(payment.status)) ?? null;

/** The buyer will answer the bank another time. */
export class Postponed extends Error {}

function chooseCard(order, problem, done) {
  const options = CARDS.map(([token, title, note], i) =>
    h(
      'label',
      { class: 'option' },
      h('input', { type: 'radio', name: 'token', value: token, checked: i === 0, autofocus: i === 0 }),
      icon('card'),
      h('span', { class: 'option-words' }, h('span', { class: 'strong' }, title), h('span', { class: 'fine' }, note)),
    ),
  );
  return h(
    'div',
    { class: 'stack' },
    problem && h('p', { class: 'problem', role: 'alert' }, problem),
    h('p', { class: 'fine' }, 'This shop is a demonstration: no real card is asked for and no money moves.'),
    form({
      fields: h('fieldset', { class: 'options' }, h('legend', { class: 'unseen' }, 'Card'), options),
      label: `Pay ${formatMoney(order.total)}`,
      submit: (values) => values.token,
      done,
    }),
  );
}

function bankStep(order, elsewhere, again, done) {
  return h(
    'div',
    { class: 'stack bank' },
    again && h('p', { class: 'problem', role: 'alert' }, 'Your bank has not said yes yet.'),
    h('p', {}, `Your bank wants to know that it is you who pays ${formatMoney(order.total)}.`),
    elsewhere && h('p', { class: 'fine' }, 'It asks on its own page. Afterwards you come back here.'),
    h('button', { class: 'go go-wide', type: 'button', autofocus: true, onclick: () => done('yes') }, elsewhere ? 'Go to your bank' : 'Yes, it is me'),
    h('button', { class: 'second', type: 'button', onclick: () => done('other') }, 'Another card'),
    h('button', { class: 'link', type: 'button', onclick: () => done('back') }, 'Not now'),
  );
}

/**
 * Pays the order, or sees an attempt that is under way to its end. Resolves when money was
 * captured: whether the order could take it is the order's word. Throws a Refusal when it
 * cannot be paid any more, and Postponed when the buyer answers the bank another time.
 * @param {{sheet: object, api: object, changed: (order: string, ms: number) => Promise<void>, leave: (url: string, payment: string) => Promise<void>, back: string | null}} tools
 *   `changed` resolves when the room says that the order has changed, or after `ms`; `leave`
 *   goes to a bank's page, and resolves only if the browser shows this one again as it was;
 *   `back` is where the bank sends the buyer.
 * @param {object | null} open the attempt under way
 * @param {boolean} returned the buyer has come back from its bank
 */
export async function pay(order, tools, open = null, returned = false) {
  const { sheet, api, back } = tools;
  const paying = createAct();
  let attempt = open;
  let problem = null;
  for (;;) {
    try {
      if (attempt === null) {
        const token = await sheet.ask({ title: 'Payment', trail: TRAIL, build: (done) => chooseCard(order, problem, done) });
        sheet.busy('Asking the bank');
        attempt = await begin(order, token, back, api, paying);
        // Whatever it became, this attempt has had its answer; the next is another.
        paying.over();
      }
      const settled = await settle(order, attempt, tools, returned);
      if (settled.status === 'captured') return;
      problem = settled.status === 'failed' ? declineWords(settled.failure_code) : 'That payment was called off. You have not been charged.';
      attempt = null;
    } catch (error) {
      if (error.code === 'already_paid') return;
      problem = words(error);
      // An attempt that has begun is gone on with; another tab may have begun one.
      if (attempt === null && error.code === 'payment_in_progress') attempt = underWay(await api.order(order.id));
      else if (!correctable(error)) throw error;
      else if (attempt !== null) await sheet.ask({ title: 'That did not work', trail: TRAIL, build: (done) => askAgain(problem, done) });
    }
    returned = false;
  }
}

function askAgain(problem, done) {
  return h('div', { class: 'stack' }, h('p', { class: 'problem', role: 'alert' }, problem), h('button', { class: 'go go-wide', type: 'button', autofocus: true, onclick: () => done() }, 'Ask the bank again'));
}

/** Begins an attempt. Where the server knows this page by another name, no bank sends anybody back to it. */
async function begin(order, token, back, api, paying) {
  const pay = (means) => api.pay(order.id, means, paying.key({ order: order.id, ...means }));
  if (back === null) return pay({ token });
  return pay({ token, return_url: back }).catch((error) => {
    if (error.field !== 'return_url') throw error;
    return pay({ token });
  });
}

/** Whether the connection or the moment was at fault, not the order. */
function correctable(error) {
  if (error instanceof Unreachable) return true;
  return error instanceof Refusal && ['overloaded', 'internal', 'rate_limited', 'request_in_flight', 'database_unavailable'].includes(error.code);
}

async function settle(order, payment, tools, returned) {
  const { sheet, api, changed } = tools;
  const until = Date.now() + PATIENCE_MS;
  let current = payment;
  let answered = returned;
  let tries = 0;
  for (;;) {
    if (current.status === 'requires_action') {
      const goesOn = answered || (await secondStep(order, current, tools, tries > 0));
      answered = false;
      tries += 1;
      sheet.busy('Asking the bank');
      current = await (goesOn ? confirm(order, current, api) : api.cancelPayment(order.id, payment.id));
    } else if (WITH_THE_BANK.includes(current.status)) {
      if (Date.now() > until) throw new Refusal({ code: 'payment_in_progress' });
      sheet.busy('The bank takes its time');
      await changed(order.id, ASK_AGAIN_MS);
      current = await api.payment(order.id, payment.id);
    } else {
      return current;
    }
  }
}

/** The buyer answers the bank, here or on its own page. False: this attempt is to be called off. */
async function secondStep(order, payment, { sheet, leave }, again) {
  const url = redirectOf(payment);
  const answer = await sheet.ask({ title: 'Your bank asks', trail: TRAIL, build: (done) => bankStep(order, url !== null, again, done) });
  if (answer === 'back') throw new Postponed();
  if (answer === 'other') return false;
  if (url !== null) {
    sheet.busy('Off to your bank');
    await leave(url, payment.id);
  }
  return true;
}

/** What the bank says now. Another tab or the server may have asked before. */
async function confirm(order, payment, api) {
  try {
    return await api.confirmPayment(order.id, payment.id, uuid());
  } catch (error) {
    if (!['payment_in_progress', 'wrong_state'].includes(error.code)) throw error;
    return api.payment(order.id, payment.id);
  }
}
