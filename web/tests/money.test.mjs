// Amounts stay whole until the reader sees them, and are written exactly.

import assert from 'node:assert/strict';
import test from 'node:test';

import { decimal, exponent, formatMoney, percentOff, priceRange } from '../assets/js/money.js';

test('amounts read as people write them', () => {
  assert.equal(formatMoney({ minor: 1999, currency: 'EUR' }, 'en'), '€19.99');
  assert.equal(formatMoney({ minor: -5, currency: 'EUR' }, 'en'), '-€0.05');
  assert.equal(formatMoney({ minor: 0, currency: 'USD' }, 'en'), '$0.00');
  assert.match(formatMoney({ minor: 123456, currency: 'EUR' }, 'de'), /^1\.234,56\s€$/);
});

test('currencies have their own number of digits', () => {
  assert.equal(exponent('JPY'), 0);
  assert.equal(exponent('KWD'), 3);
  assert.equal(formatMoney({ minor: 70, currency: 'JPY' }, 'en'), '¥70');
  assert.match(formatMoney({ minor: 1234, currency: 'KWD' }, 'en'), /1\.234/);
});

test('large amounts lose no cent', () => {
  assert.equal(formatMoney({ minor: 9007199254740991, currency: 'EUR' }, 'en'), '€90,071,992,547,409.91');
});

test('a fraction of a minor unit is a defect', () => {
  assert.throws(() => formatMoney({ minor: 1.5, currency: 'EUR' }), RangeError);
});

test('the point moves through text', () => {
  assert.equal(decimal(5, 2), '0.05');
  assert.equal(decimal(-123, 2), '-1.23');
  assert.equal(decimal(7, 0), '7');
});

test('a range of prices starts at the lowest', () => {
  const of = (...prices) => prices.map((price_minor) => ({ price_minor }));
  assert.deepEqual(priceRange(of(500, 300, 900)), { from: 300, varies: true });
  assert.deepEqual(priceRange(of(500, 500)), { from: 500, varies: false });
  assert.equal(priceRange([]), null);
});

test('a discount is never rounded up', () => {
  assert.equal(percentOff(900, 1900), 52);
  assert.equal(percentOff(1900, 1900), 0);
  assert.equal(percentOff(10, 0), 0);
});
