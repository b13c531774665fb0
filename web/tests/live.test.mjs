// The socket client against a socket that the test plays: what it sends when, and that
// nothing is missed, said twice or lost without a word.

import assert from 'node:assert/strict';
import test from 'node:test';

import { createLive } from '../assets/js/live.js';

const LIMITS = { frame_bytes: 16384, chat_chars: 500, reaction_count: 50, ping_interval_ms: 25000 };

/** Lets everything that is promised already happen. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A room's other end. Time stands still until the test moves it. */
function setUp(t, { hasOwn = () => false } = {}) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const sockets = [];
  const actions = [];
  const states = [];
  let tickets = 0;
  globalThis.WebSocket = class {
    constructor(url) {
      this.url = url;
      this.sent = [];
      sockets.push(this);
    }
    send(text) {
      this.sent.push(JSON.parse(text));
    }
    close() {}
    hear(frame) {
      this.onmessage?.({ data: JSON.stringify(frame) });
    }
  };
  const live = createLive({
    stream: 's1',
    ticket: async () => ({ ticket: `t${(tickets += 1)}`, url: 'ws://live/ws' }),
    renewal: async () => 'fresh',
    hasOwn,
    clock: { hear() {}, now: () => 0 },
    dispatch: (action) => actions.push(action),
    onReactions() {},
    onState: (state) => states.push(state),
  });
  const last = () => sockets.at(-1);
  const hello = (resume) => last().hear({ type: 'hello', node: 'n', now: 0, resume, user: 'u1', limits: LIMITS });
  const command = (cmd) => last().sent.findLast((frame) => frame.cmd === cmd);
  const reply = (to, outcome) => last().hear({ type: 'reply', id: to.id, ...outcome });
  const events = (epoch, from, to) => last().hear({ epoch, from, to, now: 0, m: Array.from({ length: to - from + 1 }, (_, i) => ({ type: 'unfeatured', n: from + i })) });
  const heard = () => actions.filter((action) => action.type === 'events').flatMap((action) => action.events.map((event) => event.n));

  /** Enters the room at (1, 4) with a snapshot. */
  async function enter() {
    live.start();
    await settle();
    last().onopen();
    hello('r1');
    reply(command('join'), { result: 'joined', epoch: 1, seq: 4 });
    last().hear({ type: 'snapshot', epoch: 1, seq: 4, now: 0, chat: [] });
    await settle();
  }
  /** The connection ends without a word, time passes, and another is made. */
  async function loseAndReturn(resume = 'r2') {
    last().onclose({ code: 1006, reason: '' });
    t.mock.timers.tick(20_000);
    await settle();
    last().onopen();
    hello(resume);
  }
  return { live, sockets, actions, states, last, hello, command, reply, events, heard, enter, loseAndReturn, tickets: () => tickets };
}

test('enters with a ticket and hears events in order', async (t) => {
  const room = setUp(t);
  await room.enter();
  assert.equal(room.last().url, 'ws://live/ws?ticket=t1');
  assert.deepEqual(room.states, ['entering', 'joining', 'live']);
  room.events(1, 5, 6);
  room.events(1, 6, 7);
  assert.deepEqual(room.heard(), [5, 6, 7]);
});

test('comes back with the resume token and goes on where it was', async (t) => {
  const room = setUp(t);
  await room.enter();
  room.events(1, 5, 6);
  await room.loseAndReturn();
  assert.equal(room.last().url, 'ws://live/ws');
  assert.deepEqual(room.last().sent[0], { id: 0, cmd: 'resume', token: 'r1' });
  assert.deepEqual(room.command('join').since, { epoch: 1, seq: 6 });
  room.reply(room.command('join'), { result: 'joined', epoch: 1, seq: 6 });
  room.events(1, 7, 7);
  assert.deepEqual(room.heard(), [5, 6, 7]);
  assert.equal(room.tickets(), 1);
});

test('a hole is asked for again, and nothing behind it is shown before', async (t) => {
  t.mock.method(console, 'warn', () => {});
  const room = setUp(t);
  await room.enter();
  room.events(1, 6, 6);
  assert.deepEqual(room.heard(), []);
  await settle();
  assert.equal(room.sockets.length, 2);
  room.last().onopen();
  room.hello('r2');
  assert.deepEqual(room.command('join').since, { epoch: 1, seq: 4 });
  room.reply(room.command('join'), { result: 'joined', epoch: 1, seq: 4 });
  room.events(1, 5, 6);
  assert.deepEqual(room.heard(), [5, 6]);
});

test('what cannot be replayed comes as a snapshot that says so', async (t) => {
  const room = setUp(t);
  await room.enter();
  await room.loseAndReturn();
  room.reply(room.command('join'), { result: 'joined', epoch: 2, seq: 9 });
  room.last().hear({ type: 'resynced' });
  room.last().hear({ type: 'snapshot', epoch: 2, seq: 9, now: 0, chat: [] });
  assert.equal(room.actions.at(-1).missed, true);
  room.events(2, 10, 10);
  assert.deepEqual(room.heard(), [10]);
});

test('an act without an answer is sent again under its request id, and answered once', async (t) => {
  const room = setUp(t);
  await room.enter();
  const said = room.live.call({ cmd: 'chat', text: 'hello', request_id: 'k1' });
  assert.equal(room.command('chat').request_id, 'k1');
  const reaction = room.live.call({ cmd: 'react', kind: 'heart', count: 1 });
  room.last().onclose({ code: 1006, reason: '' });
  await assert.rejects(reaction, { code: 'unreachable' });
  t.mock.timers.tick(1_000);
  await settle();
  room.last().onopen();
  room.hello('r2');
  assert.equal(room.command('chat'), undefined, 'not before it is in the room');
  room.reply(room.command('join'), { result: 'joined', epoch: 1, seq: 4 });
  await settle();
  assert.equal(room.command('chat').request_id, 'k1');
  room.reply(room.command('chat'), { result: 'said', message: 'm1', epoch: 1, seq: 5 });
  assert.equal((await said).message, 'm1');
});

test('a refused command says why, and one without an answer ends', async (t) => {
  const room = setUp(t);
  await room.enter();
  const refused = room.live.call({ cmd: 'buy', sale: 'x', quantity: 1, request_id: 'k1' });
  room.last().hear({ type: 'error', id: room.command('buy').id, code: 'sold_out', detail: 'Sold out' });
  await assert.rejects(refused, { code: 'sold_out' });
  const silent = room.live.call({ cmd: 'buy', sale: 'x', quantity: 1, request_id: 'k2' });
  t.mock.timers.tick(15_000);
  await assert.rejects(silent, { code: 'unreachable' });
});

test('a refused resume token is given up for a ticket', async (t) => {
  const room = setUp(t);
  await room.enter();
  await room.loseAndReturn('r2');
  room.last().onclose({ code: 4503, reason: '' });
  t.mock.timers.tick(20_000);
  await settle();
  assert.equal(room.last().url, 'ws://live/ws?ticket=t2');
});

test('a server that goes away says when to come back', async (t) => {
  const room = setUp(t);
  await room.enter();
  room.last().hear({ type: 'going_away', resume_after_ms: 90_000 });
  room.last().onclose({ code: 1001, reason: '' });
  t.mock.timers.tick(89_000);
  await settle();
  assert.equal(room.sockets.length, 1, 'not before its time');
  t.mock.timers.tick(1_000);
  await settle();
  assert.equal(room.sockets.length, 2);
  // That was meant once: the next loss is an ordinary one.
  room.last().onclose({ code: 1006, reason: '' });
  t.mock.timers.tick(20_000);
  await settle();
  assert.equal(room.sockets.length, 3);
});

test('a place in line and what one may not do are told on', async (t) => {
  const room = setUp(t);
  await room.enter();
  room.last().hear({ type: 'waiting', sale: 'x', quantity: 1, status: 'waiting', position: 3 });
  assert.deepEqual(room.actions.at(-1).place.position, 3);
  room.last().hear({ type: 'standing', rights: [], muted: { until: 9 } });
  assert.equal(room.actions.at(-1).standing.muted.until, 9);
});

test('who is sent away for good does not come back', async (t) => {
  const room = setUp(t);
  await room.enter();
  room.last().onclose({ code: 4501, reason: '' });
  t.mock.timers.tick(60_000);
  await settle();
  assert.equal(room.sockets.length, 1);
  assert.equal(room.live.state(), 'over');
});

test('a viewer with a hold asks for a snapshot, which tells of it', async (t) => {
  let holding = false;
  const room = setUp(t, { hasOwn: () => holding });
  await room.enter();
  holding = true;
  await room.loseAndReturn();
  assert.equal(room.command('join').since, undefined);
});

test('somebody else who signs in comes back as themselves', async (t) => {
  const room = setUp(t);
  await room.enter();
  room.live.reidentify();
  await settle();
  assert.equal(room.last().url, 'ws://live/ws?ticket=t2');
  room.last().onopen();
  room.hello('r9');
  assert.equal(room.command('join').since, undefined);
});
