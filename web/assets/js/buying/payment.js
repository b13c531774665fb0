// Paying with the test provider: which card, the bank's second step, and waiting for an
// answer that takes its time. A decline is an outcome, not an error: it comes back here.

import { formatMoney } from '../money.js';
import { Refusal, Unreachable, declineWords, words } from '../errors.js';
import { form } from '../ui/fields.js';
import { h, icon } from '../ui/dom.js';
import { createAct } from '../acts.js';

const CARDS = [
  ['test_success', 'A card that works', 'ending 4242'],
  ['test_decline', 'A card that is declined', 'ending 0002'],
  ['test_second_step', 'A card whose bank asks back', 'ending 3220'],
];
const TRAIL = 'Step 3 of 3';
const ASK_AGAIN_MS = 1_500;
const PATIENCE_MS = 60_000;
const UNDER_WAY = ['created', 'processing'];

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

function bankStep(order, done) {
  return h(
    'div',
    { class: 'stack bank' },
    h('p', {}, `Your bank wants to know that it is you who pays ${formatMoney(order.total)}.`),
    h('button', { class: 'go go-wide', type: 'button', autofocus: true, onclick: () => done('confirm') }, 'Yes, it is me'),
    h('button', { class: 'link', type: 'button', onclick: () => done('back') }, 'Not now'),
  );
}

/**
 * Pays the order. Resolves when it is paid; throws a Refusal when it cannot be any more.
 * @param {{sheet: object, api: object, changed: (order: string, ms: number) => Promise<void>}} tools
 *   `changed` resolves when the room says that the order has changed, or after `ms`.
 */
export async function pay(order, { sheet, api, changed }) {
  const paying = createAct();
  let problem = null;
  for (;;) {
    const token = await sheet.ask({ title: 'Payment', trail: TRAIL, build: (done) => chooseCard(order, problem, done) });
    sheet.busy('Asking the bank');
    try {
      const payment = await api.pay(order.id, token, paying.key({ order: order.id, token }));
      // Whatever it became, this attempt has had its answer; the next is another.
      paying.over();
      const settled = await settle(order, payment, { sheet, api, changed });
      if (settled.status === 'captured') return;
      problem = settled.status === 'failed' ? declineWords(settled.failure_code) : 'The payment was called off. You have not been charged.';
    } catch (error) {
      if (error.code === 'already_paid') return;
      if (!correctable(error)) throw error;
      problem = words(error);
    }
  }
}

/** Whether paying again is possible: the connection or the moment was at fault, not the order. */
function correctable(error) {
  if (error instanceof Unreachable) return true;
  return error instanceof Refusal && ['payment_in_progress', 'overloaded', 'internal', 'rate_limited', 'request_in_flight', 'database_unavailable'].includes(error.code);
}

async function settle(order, payment, { sheet, api, changed }) {
  const confirming = createAct();
  const until = Date.now() + PATIENCE_MS;
  let current = payment;
  let asked = false;
  for (;;) {
    if (current.status === 'requires_action') {
      const answer = await sheet.ask({ title: 'Your bank asks', trail: TRAIL, build: (done) => bankStep(order, done) });
      if (answer === 'back') return { status: 'cancelled' };
      sheet.busy('Asking the bank');
      current = await api.confirmPayment(order.id, payment.id, confirming.key(payment.id));
      if (asked && current.status === 'requires_action') return { status: 'cancelled' };
      asked = true;
    } else if (UNDER_WAY.includes(current.status)) {
      if (Date.now() > until) throw new Refusal({ code: 'payment_in_progress' });
      sheet.busy('The bank takes its time');
      await changed(order.id, ASK_AGAIN_MS);
      current = await api.payment(order.id, payment.id);
    } else {
      return current;
    }
  }
}
