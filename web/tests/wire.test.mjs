// The small pure parts around the socket: order of frames, the server's clock, waiting,
// keys of acts, and words for every refusal that the server knows.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { createAct } from '../assets/js/acts.js';
import { backoff } from '../assets/js/backoff.js';
import { countdown, createClock, spokenTime } from '../assets/js/clock.js';
import { CODES, words } from '../assets/js/errors.js';
import { place } from '../assets/js/sequence.js';
import { uuid } from '../assets/js/uuid.js';

const frame = (from, to, epoch = 1) => ({ epoch, from, to, m: Array.from({ length: to - from + 1 }, (_, i) => ({ n: from + i })) });
const at = (seq, epoch = 1) => ({ epoch, seq });

test('the next frame is applied and moves the position', () => {
  const placed = place(at(4), frame(5, 7));
  assert.equal(placed.kind, 'apply');
  assert.deepEqual(placed.position, at(7));
  assert.deepEqual(placed.events.map((e) => e.n), [5, 6, 7]);
});

test('of a frame that is known in part the rest is applied', () => {
  assert.deepEqual(place(at(6), frame(5, 7)).events.map((e) => e.n), [7]);
  assert.equal(place(at(7), frame(5, 7)).kind, 'old');
  assert.equal(place(at(7, 2), frame(8, 9, 1)).kind, 'old');
});

test('a hole is never passed over', () => {
  assert.deepEqual(place(at(4), frame(6, 6)), { kind: 'gap', missed: 1 });
  assert.equal(place(at(4), frame(1, 1, 2)).kind, 'gap');
  assert.equal(place(at(4), { epoch: 1, from: 5, to: 6, m: [{}] }).kind, 'gap');
});

test('before a snapshot nothing is applied', () => {
  assert.equal(place(null, frame(5, 7)).kind, 'waiting');
});

test('the clock is the server\'s, by the frame that was least late', () => {
  let device = 1_000;
  const clock = createClock(() => device);
  assert.equal(clock.now(), 1_000);
  clock.hear(51_000);
  device = 2_000;
  clock.hear(51_500);
  assert.equal(clock.now(), 52_000);
  clock.hear(undefined);
  assert.equal(clock.now(), 52_000);
});

test('countdowns are rounded up, so that 0:00 means over', () => {
  assert.equal(countdown(94_001), '1:35');
  assert.equal(countdown(1), '0:01');
  assert.equal(countdown(-5), '0:00');
  assert.equal(countdown(3_755_000), '1:02:35');
  assert.equal(spokenTime(61_000), '1 minute 1 second');
  assert.equal(spokenTime(0), '0 seconds');
});

test('waiting doubles, is spread, and has a ceiling', () => {
  assert.equal(backoff(0, () => 0), 200);
  assert.equal(backoff(0, () => 0.999), 400);
  assert.ok(backoff(3, () => 0) > backoff(1, () => 0.999));
  assert.ok(backoff(1_000, () => 0.999) <= 15_000);
});

test('an act keeps its key until it is over or another', () => {
  let n = 0;
  const act = createAct(() => `key-${(n += 1)}`);
  assert.equal(act.key({ a: 1 }), 'key-1');
  assert.equal(act.key({ a: 1 }), 'key-1');
  assert.equal(act.key({ a: 2 }), 'key-2');
  act.over();
  assert.equal(act.key({ a: 2 }), 'key-3');
});

test('keys are version 4 UUIDs', () => {
  assert.match(uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('there are words for every code that the server knows, and for no other', () => {
  const source = readFileSync(new URL('../../shared/src/error.rs', import.meta.url), 'utf8');
  const known = [...source.matchAll(/^ {4}\w+ = "([a-z_]+)", \d{3}/gm)].map((match) => match[1]);
  assert.ok(known.length > 30);
  assert.deepEqual([...CODES].filter((code) => code !== 'unreachable').sort(), known.sort());
  assert.notEqual(words({ code: 'sold_out' }), words({ code: 'no_such_code' }));
});
