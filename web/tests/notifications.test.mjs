// What a person is notified of, as the page says it.

import assert from 'node:assert/strict';
import test from 'node:test';

import { told } from '../assets/js/notifications.js';

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
