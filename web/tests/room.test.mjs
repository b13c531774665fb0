// The room's state from frames: what viewers see is a function of these rules.

import assert from 'node:assert/strict';
import test from 'node:test';

import { CHAT_KEPT, currentSale, emptyRoom, hasOpenBusiness, ownHold, ownPlace, reduce, salePhase, unpaidOrders, variantName } from '../assets/js/room.js';

const card = (version, extra = {}) => ({
  id: 'p1', title: 'Mug', image_url: '', currency: 'EUR', version,
  variants: [{ id: 'v1', options: {}, price_minor: 1900, available: version }], ...extra,
});
const sale = (extra = {}) => ({
  id: 's1', product: 'p1', variant: 'v1', title: 'Mug', image_url: '', price_minor: 900, usual_price_minor: 1900, currency: 'EUR',
  quantity: 10, remaining: 10, per_buyer: 2, hold_seconds: 60, opens_at: 1_000, ends_at: 9_000, version: 1, ...extra,
});
const message = (id, text = id, author = 'u2') => ({ type: 'chat', id, author: { id: author, name: 'Buyer' }, text, at: 5 });
const snapshot = (extra = {}) => ({
  epoch: 1, seq: 4, now: 0, stream: { id: 'r1', title: 'Evening', shop: 'Harbour', cover_url: '', status: 'live' },
  featured: card(1), sales: [sale()], viewers: 3, chat: [], reservations: [], orders: [], ...extra,
});
const entered = (extra) => reduce({ ...emptyRoom, me: 'u1' }, { type: 'snapshot', snapshot: snapshot(extra) });
const hear = (room, ...events) => reduce(room, { type: 'events', events });

test('a snapshot is the whole room', () => {
  const room = entered({ chat: [message('m1')], orders: ['o1'], reservations: [{ reservation: 'h1', sale: 's1', quantity: 1, status: 'held', expires_at: 50 }] });
  assert.equal(room.stream.shop, 'Harbour');
  assert.equal(room.chat[0].text, 'm1');
  assert.deepEqual(unpaidOrders(room), ['o1']);
  assert.equal(ownHold(room, 's1', 49)?.reservation, 'h1');
  assert.equal(ownHold(room, 's1', 50), null);
});

test('an older version of a product or a sale is dropped', () => {
  let room = hear(entered(), { type: 'product_updated', product: card(5) }, { type: 'product_updated', product: card(4) });
  assert.equal(room.featured.version, 5);
  room = hear(room, { type: 'sale_updated', sale: 's1', remaining: 3, version: 7 }, { type: 'sale_updated', sale: 's1', remaining: 9, version: 6 });
  assert.equal(room.sales[0].remaining, 3);
});

test('an update of a product that is not shown changes nothing', () => {
  const room = entered();
  assert.equal(hear(room, { type: 'product_updated', product: card(9, { id: 'p2' }) }), room);
});

test('what is shown again with an older card keeps the newer stock', () => {
  const room = hear(entered(), { type: 'product_updated', product: card(5) }, { type: 'featured', product: card(4, { featured_variant: 'v1' }) });
  assert.equal(room.featured.version, 5);
  assert.equal(room.featured.featured_variant, 'v1');
});

test('a sale goes from soon to open, sold out, open again and over', () => {
  let room = entered();
  const phase = (now) => salePhase(currentSale(room, now), now);
  assert.equal(phase(999), 'soon');
  assert.equal(phase(1_000), 'open');
  room = hear(room, { type: 'sale_sold_out', sale: 's1', version: 2 });
  assert.equal(phase(1_001), 'sold_out');
  room = hear(room, { type: 'sale_updated', sale: 's1', remaining: 1, version: 3 });
  assert.equal(phase(1_002), 'open');
  assert.equal(phase(9_000), 'over');
  room = hear(room, { type: 'sale_closed', sale: 's1' });
  assert.equal(phase(1_003), 'over');
});

test('the sale that runs is shown before the one that comes', () => {
  const room = hear(entered(), { type: 'sale_opened', sale: sale({ id: 's2', opens_at: 5_000 }) });
  assert.equal(currentSale(room, 2_000).id, 's1');
  const later = hear(room, { type: 'sale_closed', sale: 's1' });
  assert.equal(currentSale(later, 2_000).id, 's2');
});

test('a message of one\'s own is one entry, heard before it is acknowledged', () => {
  let room = reduce(entered(), { type: 'saying', key: 'k1', text: 'hello' });
  assert.equal(room.chat[0].state, 'sending');
  room = hear(room, message('m1', 'hello', 'u1'));
  assert.deepEqual(room.chat.map((e) => [e.key, e.kind, e.acknowledged]), [['k1', 'said', false]]);
  room = reduce(room, { type: 'said', key: 'k1', message: 'm1' });
  assert.deepEqual(room.chat.map((e) => [e.key, e.kind, e.acknowledged]), [['k1', 'said', true]]);
});

test('a message of one\'s own is one entry, acknowledged before it is heard', () => {
  let room = reduce(entered(), { type: 'saying', key: 'k1', text: 'hello' });
  room = reduce(room, { type: 'said', key: 'k1', message: 'm1' });
  room = hear(room, message('m1', 'hello', 'u1'));
  assert.deepEqual(room.chat.map((e) => [e.key, e.kind, e.acknowledged]), [['k1', 'said', true]]);
});

test('somebody else with the same words does not settle it', () => {
  let room = reduce(entered(), { type: 'saying', key: 'k1', text: 'hello' });
  room = hear(room, message('m9', 'hello', 'u2'));
  assert.deepEqual(room.chat.map((e) => e.kind), ['mine', 'said']);
});

test('what waits for its answer survives a snapshot, once', () => {
  let room = reduce(entered(), { type: 'saying', key: 'k1', text: 'hello' });
  room = reduce(room, { type: 'snapshot', snapshot: snapshot({ chat: [message('m1', 'hello', 'u1')] }) });
  assert.deepEqual(room.chat.map((e) => e.kind), ['said', 'mine']);
  room = reduce(room, { type: 'said', key: 'k1', message: 'm1' });
  assert.deepEqual(room.chat.map((e) => [e.kind, e.id]), [['said', 'm1']]);
});

test('a snapshot after a hole says that there is one', () => {
  const room = reduce(entered(), { type: 'snapshot', snapshot: snapshot({ chat: [message('m1')] }), missed: true });
  assert.deepEqual(room.chat.map((e) => e.kind), ['notice', 'said']);
  assert.deepEqual(entered({ chat: [message('m1')] }).chat.map((e) => e.kind), ['said']);
});

test('a refused message says so and can be taken back', () => {
  let room = reduce(entered(), { type: 'saying', key: 'k1', text: 'hello' });
  room = reduce(room, { type: 'unsaid', key: 'k1', error: 'rate_limited' });
  assert.deepEqual([room.chat[0].state, room.chat[0].error], ['failed', 'rate_limited']);
  assert.equal(reduce(room, { type: 'unsay', key: 'k1' }).chat.length, 0);
});

test('the chat is bounded, and no message is heard twice', () => {
  let room = entered();
  for (let i = 0; i < CHAT_KEPT + 50; i += 1) room = hear(room, message(`m${i}`));
  assert.equal(room.chat.length, CHAT_KEPT);
  assert.equal(room.chat.at(-1).id, `m${CHAT_KEPT + 49}`);
  assert.equal(hear(room, message(`m${CHAT_KEPT + 49}`)), room);
});

test('purchases have keys of their own', () => {
  const bought = { type: 'purchase', title: 'Mug', quantity: 1 };
  let room = hear(entered(), bought, bought, message('m1'), bought);
  for (let i = 0; i < CHAT_KEPT; i += 1) room = hear(room, bought);
  assert.equal(new Set(room.chat.map((e) => e.key)).size, room.chat.length);
});

test('holds and orders follow what the server says of them', () => {
  const own = { reservation: 'h1', sale: 's1', quantity: 1, status: 'held', expires_at: 5_000 };
  let room = reduce(entered(), { type: 'hold', reservation: own });
  assert.equal(ownHold(room, 's1', 2_000)?.reservation, 'h1');
  room = reduce(room, { type: 'hold', reservation: { ...own, status: 'expired' } });
  assert.equal(ownHold(room, 's1', 2_000), null);
  assert.equal(hasOpenBusiness(room), false);
  room = reduce(room, { type: 'order', order: 'o1', status: 'pending_payment' });
  assert.equal(hasOpenBusiness(room), true);
  room = reduce(room, { type: 'order', order: 'o1', status: 'paid' });
  assert.deepEqual(unpaidOrders(room), []);
});

test('an unknown event is none of our business', () => {
  const room = entered();
  assert.equal(hear(room, { type: 'confetti', later: true }), room);
});

test('the show\'s status follows', () => {
  assert.equal(hear(entered(), { type: 'stream_status', status: 'ended' }).stream.status, 'ended');
});

test('a variant is named by its options in a fixed order', () => {
  assert.equal(variantName({ options: { size: 'M', glaze: 'Ash' } }), 'Ash, M');
  assert.equal(variantName({ options: {} }), '');
});

test('a deleted message leaves', () => {
  const room = hear(entered(), message('m1'), message('m2'), { type: 'message_deleted', message: 'm1', by: 'author' });
  assert.deepEqual(room.chat.map((entry) => entry.id), ['m2']);
});

test('a held message waits, and is said or gone', () => {
  const waiting = reduce(reduce(entered(), { type: 'saying', key: 'k1', text: 'cheaper' }), { type: 'held', key: 'k1', message: 'm1' });
  assert.equal(waiting.chat[0].state, 'held');
  assert.deepEqual(reduce(waiting, { type: 'reviewed', message: 'm1', approved: false }).chat, []);
  const said = hear(reduce(waiting, { type: 'reviewed', message: 'm1', approved: true }), message('m1', 'cheaper', 'u1'));
  assert.deepEqual(said.chat.map((entry) => [entry.kind, entry.key, entry.acknowledged]), [['said', 'k1', true]]);
});

test('who is muted or banned by a moderator is heard of no more, pinned or not', () => {
  let room = entered({ chat: [message('m1', 'one', 'u2'), message('m2', 'two', 'u3')], pinned: message('m1', 'one', 'u2') });
  assert.equal(room.pinned.text, 'one');
  room = hear(room, { type: 'moderation', user: 'u2' });
  assert.deepEqual(room.chat.map((entry) => entry.id), ['m2']);
  assert.equal(room.pinned, null);
});

test('a pinned message stays above until it is unpinned or deleted', () => {
  let room = hear(entered(), { type: 'pinned', message: message('m1') });
  assert.equal(room.pinned.id, 'm1');
  assert.equal(hear(room, { type: 'unpinned' }).pinned, null);
  assert.equal(hear(room, { type: 'message_deleted', message: 'm1', by: 'moderator' }).pinned, null);
  room = hear(room, { type: 'pinned', message: message('m2') });
  assert.equal(room.pinned.id, 'm2');
});

test('an announcement is a line of its own', () => {
  const notice = { type: 'notice', author: { id: 'u9', name: 'Fern', moderator: true }, text: 'Five minutes' };
  const room = hear(entered(), notice, notice);
  assert.deepEqual(room.chat.map((entry) => [entry.kind, entry.text]), [['announcement', 'Five minutes'], ['announcement', 'Five minutes']]);
  assert.notEqual(room.chat[0].key, room.chat[1].key);
});

test('a host who is lost is missed until they are back', () => {
  const room = hear(entered(), { type: 'host_away', since: 1, ends_at: 9 });
  assert.equal(room.stream.host_away.ends_at, 9);
  assert.equal(hear(room, { type: 'host_back' }).stream.host_away, undefined);
});

test('a place in line is kept until its turn, its end, or the viewer leaves', () => {
  const place = (extra) => ({ type: 'waiting', place: { sale: 's1', quantity: 1, status: 'waiting', position: 2, ...extra } });
  const room = reduce(entered(), place());
  assert.equal(ownPlace(room, 's1').position, 2);
  assert.equal(hasOpenBusiness(room), true);
  assert.equal(ownPlace(reduce(room, place({ position: 1 })), 's1').position, 1);
  for (const status of ['ended', 'left', 'offered']) assert.equal(ownPlace(reduce(room, place({ status })), 's1'), null);
  assert.equal(ownPlace(hear(room, { type: 'sale_closed', sale: 's1' }), 's1'), null);
  const offered = reduce(room, { type: 'hold', reservation: { reservation: 'h1', sale: 's1', quantity: 1, status: 'held', expires_at: 50, offered: true } });
  assert.equal(ownPlace(offered, 's1'), null);
  assert.equal(ownHold(offered, 's1', 49).reservation, 'h1');
  assert.equal(ownPlace(entered({ waiting: [place().place] }), 's1').position, 2);
});

test('the show\'s cover follows', () => {
  assert.equal(hear(emptyRoom, { type: 'cover', cover_url: '/media/a.jpg' }), emptyRoom);
  const room = hear(entered(), { type: 'cover', cover_url: '/media/a.jpg' });
  assert.deepEqual([room.stream.cover_url, room.stream.title], ['/media/a.jpg', 'Evening']);
  assert.equal(hear(room, { type: 'cover', cover_url: '' }).stream.cover_url, '');
});
