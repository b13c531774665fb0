// The socket client of one room: a state machine that gets in, stays in and comes back.
//
//   idle → entering → joining → live          entering: ticket or resume token, and hello
//             ↑_________ waiting ←_┘          waiting:  jittered, then again
//                           over              told not to come back
//
// It speaks the JSON format of docs/protocol.md and knows nothing of the document. What it
// hears goes out through `dispatch` as actions of room.js. Events arrive there in order and
// once; where that cannot be had, a snapshot comes and says that something was missed.

import { backoff } from './backoff.js';
import { createCalls } from './calls.js';
import { place } from './sequence.js';

const SUBPROTOCOL = 'hawker.v1.json';
const ENTER_DEADLINE_MS = 10_000;
// Before the server has said until when a socket's time lasts.
const FIRST_RENEWAL_MS = 4 * 60_000;
const RENEW_EARLY_MS = 60_000;
// After as many failures the resume token's node is not asked again.
const RESUME_TRIES = 3;
// A connection that ended without a word (RFC 6455, 7.1.5).
const LOST = { code: 1006 };

/**
 * @param {object} options
 * @param {string} options.stream
 * @param {() => Promise<{ticket: string, url: string}>} options.ticket a fresh ticket
 * @param {() => Promise<string>} options.renewal a token that renews the socket's time
 * @param {() => boolean} options.hasOwn whether this viewer has holds or orders that may have changed while away
 * @param {{hear: (ms: number) => void, now: () => number}} options.clock
 * @param {(action: object) => void} options.dispatch
 * @param {(counts: Record<string, number>) => void} options.onReactions
 * @param {(state: string, why?: object) => void} options.onState
 */
export function createLive({ stream, ticket, renewal, hasOwn, clock, dispatch, onReactions, onState }) {
  let state = 'idle';
  let socket = null;
  let address = null;
  let resume = null;
  let position = null;
  let missed = false;
  let attempt = 0;
  let gaps = 0;
  let heardAt = 0;
  let silenceMs = 60_000;
  // How long the server that is going away wants us to stay away; nobody has said: null.
  let awayMs = null;
  const timers = { again: 0, enter: 0, renew: 0, watch: 0 };
  const calls = createCalls((frame) => socket.send(JSON.stringify(frame)));

  function become(next, why) {
    state = next;
    onState(next, why);
  }

  async function enter() {
    clearTimeout(timers.again);
    become('entering');
    const resuming = resume !== null && attempt < RESUME_TRIES;
    let url = address;
    if (!resuming) {
      resume = null;
      try {
        const fresh = await ticket();
        address = fresh.url;
        url = `${fresh.url}?ticket=${encodeURIComponent(fresh.ticket)}`;
      } catch (error) {
        if (error.code === 'not_found') return become('over', error);
        return wait();
      }
      if (state !== 'entering') return undefined;
    }
    return open(url, resuming);
  }

  function open(url, resuming) {
    drop();
    const mine = new WebSocket(url, SUBPROTOCOL);
    socket = mine;
    mine.onopen = () => {
      // Answered by `hello`, or by a close with 4503, and then a ticket is asked for.
      if (resuming) mine.send(JSON.stringify({ id: 0, cmd: 'resume', token: resume }));
    };
    mine.onmessage = (message) => {
      if (mine === socket) hear(JSON.parse(message.data));
    };
    mine.onclose = (event) => {
      if (mine === socket) closed(event);
    };
    timers.enter = setTimeout(() => closed(LOST), ENTER_DEADLINE_MS);
  }

  /** Lets go of the socket without waiting for its farewell, which a dead one never sends. */
  function drop() {
    const old = socket;
    socket = null;
    clearTimeout(timers.enter);
    clearTimeout(timers.renew);
    clearInterval(timers.watch);
    calls.lost();
    if (!old) return;
    old.onmessage = null;
    old.onclose = null;
    old.close(1000);
  }

  function closed({ code }) {
    drop();
    if (state === 'over') return;
    // 4500 and up mean: do not come back; but a new ticket may be had for a bad one.
    if (code === 4503) resume = null;
    else if (code >= 4500 && code <= 4999) return become('over', { closeCode: code });
    wait();
  }

  function wait() {
    become('waiting');
    const ms = awayMs ?? backoff(attempt);
    awayMs = null;
    timers.again = setTimeout(enter, ms);
    attempt += 1;
  }

  /** At once, with the same position: the server sends what was missed, or says that it cannot. */
  function comeBack() {
    drop();
    if (state === 'over') return;
    attempt = 0;
    enter();
  }

  async function join() {
    become('joining');
    const mine = socket;
    // What is replayed leaves out this viewer's own holds and orders; a snapshot tells them.
    if (hasOwn()) position = null;
    const since = position;
    try {
      const joined = await calls.start({ cmd: 'join', stream, ...(since && { since }) }, { atOnce: true });
      // Anywhere else than where it left off means that a snapshot follows.
      if (since && position === since && (joined.epoch !== since.epoch || joined.seq !== since.seq)) position = null;
    } catch (error) {
      if (mine !== socket || error.code === 'unreachable') return;
      if (['not_found', 'forbidden'].includes(error.code)) {
        drop();
        become('over', error);
      } else {
        closed(LOST);
      }
      return;
    }
    if (mine !== socket) return;
    clearTimeout(timers.enter);
    attempt = 0;
    timers.renew = setTimeout(renew, FIRST_RENEWAL_MS);
    timers.watch = setInterval(watch, 5_000);
    become('live');
    calls.opened();
  }

  async function renew() {
    let next = FIRST_RENEWAL_MS;
    try {
      const reply = await calls.start({ cmd: 'renew', token: await renewal() });
      next = Math.max(reply.expires_at - clock.now() - RENEW_EARLY_MS, 10_000);
    } catch {
      // The socket's time then ends, it is closed, and the viewer comes back with a ticket.
    }
    clearTimeout(timers.renew);
    if (state === 'live') timers.renew = setTimeout(renew, next);
  }

  function watch() {
    if (Date.now() - heardAt > silenceMs) closed(LOST);
  }

  function hear(frame) {
    heardAt = Date.now();
    if (frame.now !== undefined) clock.hear(frame.now);
    if (frame.epoch !== undefined && frame.m !== undefined) hearNumbered(frame);
    else if (frame.m !== undefined) frame.m.forEach(hearEphemeral);
    else hearPrivate(frame);
  }

  function hearNumbered(frame) {
    const placed = place(position, frame);
    if (placed.kind === 'apply') {
      position = placed.position;
      gaps = 0;
      dispatch({ type: 'events', events: placed.events });
    } else if (placed.kind === 'gap') {
      gaps += 1;
      console.warn('a numbered event is missing; catching up', { position, from: frame.from, epoch: frame.epoch });
      // If catching up does not help, a snapshot does; if that does not either, not in a rush.
      if (gaps > 1) position = null;
      if (gaps > 2) closed(LOST);
      else comeBack();
    }
  }

  function hearEphemeral(message) {
    if (message.type === 'reactions') onReactions(message.counts);
    else if (message.type === 'viewers') dispatch({ type: 'viewers', count: message.count });
  }

  function hearPrivate(message) {
    switch (message.type) {
      case 'hello':
        return greeted(message);
      case 'reply':
        return calls.settle(message);
      case 'error':
        // Without an id it is about the connection, which is closed next.
        if (message.id !== undefined) calls.settle(message);
        return undefined;
      case 'resynced':
        position = null;
        missed = true;
        return undefined;
      case 'snapshot':
        position = { epoch: message.epoch, seq: message.seq };
        dispatch({ type: 'snapshot', snapshot: message, missed });
        missed = false;
        return undefined;
      case 'reservation':
        return dispatch({ type: 'hold', reservation: message });
      case 'reviewed':
        return dispatch({ type: 'reviewed', message: message.message, approved: message.approved });
      case 'order':
        return dispatch({ type: 'order', order: message.order, status: message.status });
      case 'waiting':
        return dispatch({ type: 'waiting', place: message });
      case 'notification':
        return dispatch({ type: 'notification', notification: message });
      case 'standing':
        return dispatch({ type: 'standing', standing: message });
      case 'going_away':
        awayMs = message.resume_after_ms;
        return undefined;
      default:
        return undefined;
    }
  }

  function greeted(hello) {
    silenceMs = Math.max(2.5 * hello.limits.ping_interval_ms, 10_000);
    // Before a resume token is accepted, nobody knows yet who this is.
    if (hello.resume === undefined) return;
    resume = hello.resume;
    dispatch({ type: 'hello', user: hello.user ?? null });
    if (state === 'entering') join();
  }

  return {
    start: enter,
    /** For good. */
    stop() {
      become('over');
      clearTimeout(timers.again);
      drop();
    },
    /** Somebody else is signed in now: comes back as them. */
    reidentify() {
      resume = null;
      // Their own holds and orders come with a snapshot.
      position = null;
      comeBack();
    },
    /** The network or the viewer is back: does not wait any longer. */
    nudge() {
      if (state === 'waiting') comeBack();
      else if (state === 'live') watch();
    },
    state: () => state,
    /** Sends a command; resolves with its reply, throws a Refusal or Unreachable. */
    call: (command, options) => calls.start(command, options),
  };
}
