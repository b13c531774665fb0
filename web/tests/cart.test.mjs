// A cart as the page says it, and the lines of somebody who has not signed in.

import assert from 'node:assert/strict';
import test from 'node:test';

import { createCartKeeper } from '../assets/js/cart-keeper.js';
import { LINES_MAX, QUANTITY_MAX, addLine, canCheckOut, isOneCurrency, leftOutWords, noteWords, piecesOf, priceNews, readLines, withUnseen } from '../assets/js/cart.js';

const eur = (minor) => ({ minor, currency: 'EUR' });
const id = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const item = (n, extra = {}) => ({ variant_id: id(n), title: `Mug ${n}`, options: {}, quantity: 2, unit_price: eur(900), total: eur(1800), can_be_bought: true, notes: [], ...extra });
const cartOf = (...items) => ({ shops: [{ seller: { id: 's1', shop_name: 'Harbour' }, items, total: eur(1800) }] });
const price = (from, to) => ({ kind: 'price', from: eur(from), to: eur(to) });

test('a guest keeps lines, each once and no more than the server takes', () => {
  let lines = addLine(addLine([], id(1), 2), id(1), 3);
  assert.deepEqual(lines, [{ variant_id: id(1), quantity: 5 }]);
  assert.equal(addLine(lines, id(1), QUANTITY_MAX)[0].quantity, QUANTITY_MAX);
  for (let n = 2; n <= LINES_MAX + 5; n += 1) lines = addLine(lines, id(n), 1);
  assert.equal(lines.length, LINES_MAX);
});

test('what was kept and is no line is left out', () => {
  const kept = [{ variant_id: id(1), quantity: 2 }, { variant_id: 'x', quantity: 1 }, { variant_id: id(2), quantity: 0 }, null, { variant_id: id(3), quantity: 1.5 }];
  assert.deepEqual(readLines(JSON.stringify(kept)), [{ variant_id: id(1), quantity: 2 }]);
  for (const text of [null, '', '{', '{}', '7']) assert.deepEqual(readLines(text), []);
});

test('every note of the server is said plainly, and a newer one is not said wrongly', () => {
  assert.equal(noteWords(price(500, 700)), 'The price is now €7.00; it was €5.00.');
  assert.equal(noteWords({ kind: 'insufficient_stock', available: 3 }), 'Only 3 left.');
  assert.equal(noteWords({ kind: 'insufficient_stock', available: 0 }), 'Sold out.');
  for (const kind of ['not_on_sale', 'own_shop', 'banned']) assert.ok(noteWords({ kind }));
  assert.equal(noteWords({ kind: 'something_new' }), null);
});

test('another price is told until the buyer has seen the cart, from where it was', () => {
  const changed = cartOf(item(1, { unit_price: eur(700), notes: [price(500, 700)] }));
  assert.deepEqual(priceNews(changed), ['In your cart, Mug 1 now costs €7.00.']);
  let told = withUnseen({}, changed);
  assert.deepEqual(told.cart.shops[0].items[0].notes, [price(500, 700)]);
  // The server does not say it again; it changes once more; and it is back.
  told = withUnseen(told.unseen, cartOf(item(1, { unit_price: eur(700) })));
  assert.deepEqual(told.cart.shops[0].items[0].notes, [price(500, 700)]);
  told = withUnseen(told.unseen, cartOf(item(1, { unit_price: eur(800), notes: [price(700, 800)] })));
  assert.deepEqual(told.cart.shops[0].items[0].notes, [price(500, 800)]);
  told = withUnseen(told.unseen, cartOf(item(1, { unit_price: eur(500), notes: [price(800, 500)] })));
  assert.deepEqual([told.cart.shops[0].items[0].notes, told.unseen], [[], {}]);
});

test('one line that cannot be bought keeps its shop from the till', () => {
  assert.ok(canCheckOut([item(1)]));
  assert.ok(!canCheckOut([item(1), item(2, { can_be_bought: false })]));
  assert.ok(!canCheckOut([]));
  const other = { shops: [...cartOf(item(1)).shops, { seller: { id: 's2' }, items: [item(2)], total: { minor: 5, currency: 'USD' } }] };
  assert.ok(!isOneCurrency(other));
});

test('what a merge has left out is said with its reason', () => {
  assert.equal(leftOutWords([]), null);
  assert.match(leftOutWords([{ variant_id: id(1), reason: 'own_shop' }]), /your own shop/);
  assert.match(leftOutWords([{ variant_id: id(1), reason: 'new' }, { variant_id: id(2), reason: 'banned' }]), /^2 things/);
});

/** A keeper over a server that keeps one cart and tells what it was asked. */
function keeperOf({ user = null, kept = null } = {}) {
  const asked = [];
  const said = [];
  const drawer = { text: kept, getItem: () => drawer.text, setItem: (_, text) => (drawer.text = text), removeItem: () => (drawer.text = null) };
  const lines = new Map();
  const cart = () => cartOf(...[...lines].map(([variant, quantity]) => item(Number(variant.slice(-3)), { quantity })));
  const session = { user: () => user };
  const api = {
    cart: async () => (asked.push('get'), cart()),
    putInCart: async (variant, quantity) => (asked.push(`put ${Number(variant.slice(-3))} ${quantity}`), lines.set(variant, quantity), cart()),
    takeOutOfCart: async (variant) => (asked.push(`remove ${Number(variant.slice(-3))}`), lines.delete(variant), null),
    mergeCart: async (items) => {
      asked.push('merge');
      items.forEach((line) => lines.set(line.variant_id, Math.max(line.quantity, lines.get(line.variant_id) ?? 0)));
      return { cart: cart(), left_out: [] };
    },
  };
  const keeper = createCartKeeper({ session, api, say: (text) => said.push(text), storage: drawer });
  return { keeper, asked, said, drawer, lines, signIn: (who) => ((user = who), keeper.identify()) };
}

test('what a guest has put into the cart is the account\'s after signing in, once', async () => {
  const { keeper, asked, drawer, lines, signIn } = keeperOf();
  await keeper.add(id(1), 2);
  await keeper.add(id(2), 1);
  assert.deepEqual([asked, keeper.count()], [[], 3]);
  lines.set(id(1), 5);
  await signIn({ id: 'u1' });
  assert.deepEqual([asked, drawer.text, keeper.count()], [['merge'], null, 6]);
  await keeper.look();
  assert.deepEqual(asked, ['merge', 'get']);
});

test('who has chosen nothing before signing in merges nothing', async () => {
  const { keeper, asked, lines, signIn } = keeperOf();
  lines.set(id(1), 2);
  await signIn({ id: 'u1' });
  assert.deepEqual([asked, keeper.count()], [['get'], 2]);
});

test('adding is to what the account has by now, also from elsewhere', async () => {
  const { keeper, asked, lines } = keeperOf({ user: { id: 'u1' } });
  lines.set(id(1), 4);
  await keeper.add(id(1), 2);
  assert.deepEqual(asked, ['get', 'put 1 6']);
  assert.equal(piecesOf(await keeper.set(id(1), 0)), 0);
  assert.deepEqual(asked.slice(2), ['remove 1', 'get']);
});

test('a guest\'s lines stay while they cannot be merged', async () => {
  const kept = JSON.stringify([{ variant_id: id(1), quantity: 2 }]);
  const drawer = { getItem: () => kept, setItem: () => assert.fail('kept as it is'), removeItem: () => assert.fail('kept') };
  const api = { mergeCart: async () => { throw new Error('no connection'); } };
  const keeper = createCartKeeper({ session: { user: () => ({ id: 'u1' }) }, api, say: () => {}, storage: drawer });
  await keeper.identify();
  await assert.rejects(keeper.look(), /no connection/);
});

test('storage that is switched off keeps nobody from the cart', async () => {
  const off = { getItem: () => { throw new Error('off'); }, setItem: () => { throw new Error('off'); }, removeItem: () => { throw new Error('off'); } };
  const keeper = createCartKeeper({ session: { user: () => null }, api: {}, say: () => {}, storage: off });
  await keeper.add(id(1), 1);
  assert.equal(keeper.count(), 1);
});
