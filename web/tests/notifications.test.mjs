// What a person is notified of, as the page says it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { orderOf, showOf, told } from '../assets/js/notifications.js';

const seller = { id: 's1', name: 'Harbour' };
const stream = { id: 'r2', title: 'Evening', scheduled_at: 5 };

test('another show that is on air is said, the one that is watched is not', () => {
  const started = { kind: 'show_started', seller, stream };
  assert.equal(told(started, 'r1'), 'Harbour is on air: Evening');
  assert.equal(told(started, 'r2'), null);
});

test('a kind that a newer server has is nothing to say', () => {
  assert.equal(told({ kind: 'something_new', seller }, 'r1'), null);
});

test('an answer to a review names the product where it can', () => {
  assert.equal(told({ kind: 'review_answered', seller, product: { id: 'p1', title: 'Mug' } }, 'r1'), 'Harbour has answered your review of Mug.');
  assert.equal(told({ kind: 'review_answered', seller }, 'r1'), 'Harbour has answered your review.');
});

test('there are words for every kind that the server knows', () => {
  const source = readFileSync(new URL('../../shared/src/notification.rs', import.meta.url), 'utf8');
  const kinds = [...source.matchAll(/^ {4}\w+ = "([a-z_]+)"/gm)].map((match) => match[1]);
  assert.ok(kinds.length >= 17);
  for (const kind of kinds) assert.ok(told({ kind, seller, stream, product: { id: 'p1', title: 'Mug' } }, 'r1'), kind);
});

test('in the list all is told, and leads to the order or the show that it is about', () => {
  const listed = { kind: 'order_shipped', seller: { id: 's1', shop_name: 'Harbour' }, stream: null, order: { id: 'o1', number: 7 } };
  assert.equal(told(listed, null), 'Harbour has sent you a parcel.');
  assert.equal(orderOf(listed), listed.order);
  assert.equal(orderOf({ ...listed, kind: 'order_paid' }), null, 'a shop is told of an order that is its buyer\'s');
  const show = { kind: 'show_started', seller, stream: { ...stream, status: 'live' } };
  assert.equal(told({ ...show, order: null }, null), 'Harbour is on air: Evening');
  assert.equal(showOf(show, 'r1'), show.stream);
  assert.equal(showOf(show, 'r2'), null);
  assert.equal(showOf({ ...show, stream: { ...stream, status: 'ended' } }, 'r1'), null);
});
