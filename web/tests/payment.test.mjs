// Paying, by what the bank and the server answer: a sheet that answers as it was told, and a
// server that keeps one order.

import assert from 'node:assert/strict';
import test from 'node:test';

import { Refusal } from '../assets/js/errors.js';
import { Postponed, pay, underWay } from '../assets/js/buying/payment.js';
import { createTill } from '../assets/js/buying/till.js';

globalThis.location = new URL('https://shop.example/live/r1');
globalThis.isSecureContext = true;

const payment = (id, status, extra = {}) => ({ id, order_id: 'o1', status, ...extra });
const order = (extra = {}) => ({ id: 'o1', number: 7, status: 'pending_payment', total: { minor: 900, currency: 'EUR' }, items: [], payments: [], refunds: [], expires_at: null, ...extra });

/** A sheet whose steps are answered in order; what was asked is written down. */
function sheetOf(...answers) {
  const asked = [];
  const sheet = {
    asked,
    busy: () => {},
    setDeadline: () => {},
    wasDismissed: () => false,
    async ask({ title }) {
      asked.push(title);
      assert.ok(answers.length > 0, `nobody answers ${title}`);
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  return sheet;
}

/** A server of which each call has its answers; what was called is written down. */
function apiOf(answers) {
  const called = [];
  const api = { called };
  for (const [name, list] of Object.entries(answers)) {
    api[name] = async (...args) => {
      called.push([name, ...args.filter((arg) => typeof arg !== 'string' || arg.length < 30)]);
      const answer = list.length > 1 ? list.shift() : list[0];
      if (answer instanceof Error) throw answer;
      return answer;
    };
  }
  return api;
}

const tools = (sheet, api, extra = {}) => ({ sheet, api, changed: async () => {}, leave: async () => {}, back: null, ...extra });
const names = (api) => api.called.map(([name]) => name);

test('a card that is declined is followed by another, each an attempt of its own', async () => {
  const sheet = sheetOf('test_decline', 'test_success');
  const api = apiOf({ pay: [payment('p1', 'failed', { failure_code: 'card_declined' }), payment('p2', 'captured')] });
  await pay(order(), tools(sheet, api));
  assert.deepEqual(sheet.asked, ['Payment', 'Payment']);
  assert.deepEqual(names(api), ['pay', 'pay']);
});

test('a second step is taken here, or on the bank\'s page where it has one', async () => {
  const step = payment('p1', 'requires_action');
  const api = apiOf({ pay: [step], confirmPayment: [payment('p1', 'captured')] });
  await pay(order(), tools(sheetOf('test_second_step', 'yes'), api));
  assert.deepEqual(names(api), ['pay', 'confirmPayment']);

  const left = [];
  const away = apiOf({ pay: [{ ...step, next_action: { type: 'redirect', url: 'https://bank.example/3ds' } }], confirmPayment: [payment('p1', 'captured')] });
  await pay(order(), tools(sheetOf('card', 'yes'), away, { leave: async (...to) => left.push(to) }));
  assert.deepEqual(left, [['https://bank.example/3ds', 'p1']]);
});

test('whoever comes back from a bank is not sent there again, unless it has not said yes', async () => {
  const step = payment('p1', 'requires_action');
  const api = apiOf({ confirmPayment: [step, payment('p1', 'captured')] });
  const sheet = sheetOf('yes');
  await pay(order(), tools(sheet, api), step, true);
  assert.deepEqual(sheet.asked, ['Your bank asks']);
  assert.deepEqual(names(api), ['confirmPayment', 'confirmPayment']);
});

test('another card calls the attempt off first, and a success that came before that stands', async () => {
  const step = payment('p1', 'requires_action');
  const api = apiOf({ pay: [step, payment('p2', 'captured')], cancelPayment: [payment('p1', 'cancelled')] });
  await pay(order(), tools(sheetOf('card', 'other', 'card'), api));
  assert.deepEqual(names(api), ['pay', 'cancelPayment', 'pay']);
  const late = apiOf({ pay: [step], cancelPayment: [payment('p1', 'captured')] });
  await pay(order(), tools(sheetOf('card', 'other'), late));
  assert.deepEqual(names(late), ['pay', 'cancelPayment']);
});

test('whoever answers the bank later finds the attempt as it is, and nothing is called off', async () => {
  const api = apiOf({ pay: [payment('p1', 'requires_action')] });
  await assert.rejects(pay(order(), tools(sheetOf('card', 'back'), api)), Postponed);
  assert.deepEqual(names(api), ['pay']);
  assert.equal(underWay(order({ payments: [payment('p0', 'failed'), payment('p1', 'requires_action')] })).id, 'p1');
  assert.equal(underWay(order({ payments: [payment('p0', 'failed'), payment('p1', 'cancelled')] })), null);
});

test('a bank that takes its time is asked until it has said something', async () => {
  const api = apiOf({ pay: [payment('p1', 'processing')], payment: [payment('p1', 'processing'), payment('p1', 'captured')] });
  await pay(order(), tools(sheetOf('card'), api));
  assert.deepEqual(names(api), ['pay', 'payment', 'payment']);
});

test('an attempt that another tab has begun is gone on with', async () => {
  const api = apiOf({
    pay: [new Refusal({ code: 'payment_in_progress' })],
    order: [order({ payments: [payment('p9', 'requires_action')] })],
    confirmPayment: [payment('p9', 'captured')],
  });
  await pay(order(), tools(sheetOf('card', 'yes'), api));
  assert.deepEqual(names(api), ['pay', 'order', 'confirmPayment']);
});

test('a lost connection asks for the same attempt again, never for another', async () => {
  const api = apiOf({ pay: [payment('p1', 'processing')], payment: [new Refusal({ code: 'overloaded' }), payment('p1', 'captured')] });
  const sheet = sheetOf('card', undefined);
  await pay(order(), tools(sheet, api));
  assert.deepEqual(sheet.asked, ['Payment', 'That did not work']);
  assert.equal(names(api).filter((name) => name === 'pay').length, 1);
});

test('a server that does not know this page takes the payment without a way back', async () => {
  const api = apiOf({ pay: [new Refusal({ code: 'invalid_body', field: 'return_url' }), payment('p1', 'captured')] });
  await pay(order(), tools(sheetOf('card'), api, { back: 'https://shop.example/live/r1?order=o1' }));
  assert.deepEqual(api.called.map(([, , means]) => means), [{ token: 'card', return_url: 'https://shop.example/live/r1?order=o1' }, { token: 'card' }]);
});

// --- what became of it ----------------------------------------------------------------------

function tillOf(sheet, api) {
  const store = { get: () => ({ holds: {} }), dispatch: () => {}, listen: () => () => {} };
  const said = [];
  const till = createTill({ sheet, api, store, toast: (text) => said.push(text), stream: 'r1', onPlaced: () => {} });
  return { till, said };
}

const late = order({ status: 'expired', payments: [payment('p1', 'captured')], refunds: [{ kind: 'late_payment', status: 'pending', amount: { minor: 900, currency: 'EUR' } }] });

test('money that the order could not take any more is shown as going back, with no receipt', async () => {
  const api = apiOf({ pay: [payment('p1', 'captured')], order: [late], receipt: [new Error('there is none')] });
  const sheet = sheetOf('card', undefined);
  await tillOf(sheet, api).till.payAndShow(order());
  assert.deepEqual(sheet.asked, ['Payment', 'Refunded']);
  assert.ok(!names(api).includes('receipt'));
});

test('so it is for whoever has closed the sheet meanwhile', async () => {
  const api = apiOf({ pay: [payment('p1', 'captured')], order: [late] });
  const { till, said } = tillOf({ ...sheetOf('card'), wasDismissed: () => true }, api);
  await till.payAndShow(order());
  assert.equal(said.length, 1);
  assert.match(said[0], /goes back to you/);
  assert.doesNotMatch(said[0], /Paid/);
});

test('an order that ended is not thanked for', async () => {
  const sheet = sheetOf();
  await assert.rejects(tillOf(sheet, apiOf({})).till.payAndShow(order({ status: 'cancelled' })), { code: 'order_expired' });
});
