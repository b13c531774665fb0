// How an order stands, what its buyer may do, and that money which came too late is never
// shown as a purchase.

import assert from 'node:assert/strict';
import test from 'node:test';

import { redirectOf, rememberPaying, takePaying } from '../assets/js/buying/away.js';
import { claimWords, lateWords, mayCallOff, mayCancel, mayClaim, mayName, mayReturn, mayTakeBack, mayWithdraw, onTheWay, outcome, owedWords, refundWords, returnWords, statusWords, unitsWords } from '../assets/js/orders/standing.js';

const eur = (minor) => ({ minor, currency: 'EUR' });
const line = (extra = {}) => ({ id: 'i1', title: 'Mug', quantity: 3, cancelled: 0, shipped: 0, delivered: 0, returned: 0, ...extra });
const order = (status, extra = {}) => ({ id: 'o1', status, paid_at: null, items: [line()], payments: [], refunds: [], shipments: [], total: eur(2700), ...extra });
const refund = (extra) => ({ kind: 'cancellation', status: 'pending', amount: eur(900), ...extra });
const captured = [{ status: 'failed' }, { status: 'captured' }];

test('an order is paid by its own word, not by a captured payment', () => {
  assert.equal(outcome(order('pending_payment')), 'unpaid');
  for (const status of ['paid', 'partially_shipped', 'shipped', 'delivered', 'completed']) assert.equal(outcome(order(status)), 'paid');
  assert.equal(outcome(order('expired')), 'ended');
  assert.equal(outcome(order('cancelled')), 'ended');
  // Paid, then called off: it has a receipt.
  assert.equal(outcome(order('cancelled', { paid_at: '2026-01-01T00:00:00Z', payments: captured, refunds: [refund()] })), 'paid');
});

test('money that came too late is going back, and nobody is told that it is paid', () => {
  for (const status of ['expired', 'cancelled']) {
    for (const paidAt of [null, '2026-01-01T00:00:00Z']) {
      const late = order(status, { paid_at: paidAt, payments: captured, refunds: [refund({ kind: 'late_payment', amount: eur(2700) })] });
      assert.equal(outcome(late), 'late');
      assert.match(lateWords(late), /€27\.00.*goes back to you/);
      const back = { ...late, refunds: [refund({ kind: 'late_payment', status: 'succeeded', amount: eur(2700) })] };
      assert.match(lateWords(back), /back with you/);
    }
    // Captured, and its refund is not written yet.
    assert.equal(outcome(order(status, { payments: captured })), 'late');
  }
  assert.equal(lateWords(order('paid')), null);
});

test('a refund says how much, why and how far it is', () => {
  assert.equal(refundWords(refund()), '€9.00 for what was called off: on its way back to you');
  assert.match(refundWords(refund({ status: 'submitted', kind: 'return' })), /for what you sent back: on its way/);
  assert.match(refundWords(refund({ status: 'succeeded', kind: 'goodwill' })), /back with you$/);
  assert.match(refundWords(refund({ status: 'failed' })), /could not be sent back yet/);
});

test('units are told by what became of them', () => {
  assert.equal(unitsWords(line()), '');
  assert.equal(unitsWords(line({ shipped: 3, delivered: 3 })), 'arrived');
  assert.equal(unitsWords(line({ shipped: 2, delivered: 1, cancelled: 1 })), '1 called off, 1 on the way, 1 arrived');
  assert.equal(unitsWords(line({ shipped: 3, delivered: 3, returned: 1 })), '2 arrived, 1 sent back');
});

test('an order is called off whole until something was sent, then by what is unsent', () => {
  assert.ok(mayCancel(order('pending_payment')) && mayCancel(order('paid')));
  for (const status of ['partially_shipped', 'shipped', 'delivered', 'completed', 'cancelled', 'expired']) assert.ok(!mayCancel(order(status)), status);
  const part = line({ shipped: 1, cancelled: 1 });
  assert.equal(mayCallOff(order('partially_shipped', { items: [part] }), part), 1);
  assert.equal(mayCallOff(order('shipped', { items: [part] }), part), 0);
});

test('what has arrived may be sent back once', () => {
  const here = line({ shipped: 3, delivered: 2 });
  const returned = (status, quantity = 1) => ({ order_item_id: 'i1', quantity, status, title: 'Mug' });
  assert.equal(mayReturn(order('shipped'), here, []), 2);
  assert.equal(mayReturn(order('shipped'), here, [returned('requested')]), 1);
  assert.equal(mayReturn(order('shipped'), here, [returned('received', 2), returned('rejected')]), 0);
  assert.equal(mayReturn(order('shipped'), here, [returned('withdrawn', 2)]), 2);
  assert.equal(mayReturn(order('cancelled'), here, []), 0);
  for (const status of ['requested', 'approved', 'rejected', 'received', 'refunded', 'withdrawn']) assert.doesNotMatch(returnWords(returned(status)), new RegExp(status));
  assert.ok(mayWithdraw(returned('approved')) && !mayWithdraw(returned('received')));
  const [unsent, sent] = [null, '2026-01-01T00:00:00Z'].map((at) => ({ ...returned('approved'), sent_at: at }));
  assert.ok(mayName(unsent) && !mayName(sent) && !mayName(returned('approved')));
  assert.ok(!mayWithdraw(sent));
  assert.match(returnWords(sent), /on its way to the shop/);
});

test('what was sent and has not arrived may be claimed once', () => {
  const away = line({ shipped: 3, delivered: 1 });
  const claimed = (status, quantity = 1) => ({ order_item_id: 'i1', quantity, status, title: 'Mug' });
  assert.equal(mayClaim(order('shipped'), away, []), 2);
  assert.equal(mayClaim(order('shipped'), away, [claimed('answered')]), 1);
  assert.equal(mayClaim(order('shipped'), away, [claimed('upheld', 2), claimed('withdrawn')]), 0);
  assert.equal(mayClaim(order('shipped'), away, [claimed('rejected', 2)]), 2);
  assert.equal(mayClaim(order('cancelled'), away, []), 0);
  for (const status of ['open', 'answered', 'upheld', 'rejected', 'withdrawn']) assert.doesNotMatch(claimWords(claimed(status)), new RegExp(`\\. ${status}\\.$`));
  assert.ok(mayTakeBack(claimed('open')) && mayTakeBack(claimed('answered')) && !mayTakeBack(claimed('upheld')) && !mayTakeBack(claimed('rejected')));
});

test('money that is owed is named once a refund of it has failed', () => {
  assert.equal(owedWords(order('cancelled', { refunds: [refund()], owed_back: eur(900) })), null);
  assert.match(owedWords(order('cancelled', { refunds: [refund({ status: 'failed' })], owed_back: eur(900) })), /€9\.00 is still to go back/);
  assert.equal(owedWords(order('cancelled', { refunds: [refund({ status: 'failed' }), refund({ status: 'succeeded' })], owed_back: eur(0) })), null);
});

test('a parcel is on its way until it was heard to have arrived', () => {
  const shipments = [{ id: 'a', delivered_at: null }, { id: 'b', delivered_at: '2026-01-01T00:00:00Z' }];
  assert.deepEqual(onTheWay(order('shipped', { shipments })).map((parcel) => parcel.id), ['a']);
});

test('a status of a newer server is shown as it is', () => {
  assert.equal(statusWords('on_the_moon'), 'on_the_moon');
});

// --- a bank's own page ----------------------------------------------------------------------

const here = 'https://shop.example/live/r1';

test('only a safe address is gone to for a second step', () => {
  const to = (url) => redirectOf({ next_action: { type: 'redirect', url } }, here);
  assert.equal(to('https://bank.example/3ds?x=1'), 'https://bank.example/3ds?x=1');
  assert.equal(to('/pay/step'), 'https://shop.example/pay/step');
  for (const url of ['http://bank.example/', 'javascript:alert(1)', 'data:text/html,x', 'https://[', 'blob:https://shop.example/1']) assert.equal(to(url), null, url);
  assert.equal(redirectOf({}, here), null);
  assert.equal(redirectOf({ next_action: null }, here), null);
});

function drawer() {
  const kept = new Map();
  return { getItem: (name) => kept.get(name) ?? null, setItem: (name, text) => kept.set(name, text), removeItem: (name) => kept.delete(name) };
}

const uuid = (n) => `00000000-0000-4000-8000-00000000000${n}`;

test('whoever comes back from a bank is expected once, wherever they come back', () => {
  const storage = drawer();
  const paying = { order: uuid(1), payment: uuid(2), stream: uuid(3) };
  rememberPaying(storage, paying);
  assert.deepEqual(takePaying(storage, '?anything=else'), { ...paying, own: true });
  assert.equal(takePaying(storage, ''), null);
});

test('an address that names a payment is looked at, and not taken for this tab\'s own', () => {
  const named = `?order=${uuid(1)}&payment=${uuid(2)}`;
  assert.deepEqual(takePaying(drawer(), named), { order: uuid(1), payment: uuid(2), stream: null, own: false });
  const storage = drawer();
  rememberPaying(storage, { order: uuid(1), payment: uuid(4), stream: uuid(3) });
  assert.equal(takePaying(storage, named).own, false);
  assert.equal(takePaying(drawer(), '?order=1&payment=../2'), null);
});
