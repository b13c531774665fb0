// Commands on their way: each has a number that its reply carries, a deadline, and, where
// it changes something, a request id under which it is sent again after a lost connection.

import { Refusal, Unreachable } from './errors.js';

const DEADLINE_MS = 12_000;
// More than anybody can mean at once; a defect that loops fails here and not on the server.
const MOST_WAITING = 64;

/** @param {(frame: object) => void} write puts a frame on the open socket */
export function createCalls(write) {
  const waiting = new Map();
  let lastId = 0;
  let open = false;

  function put(call) {
    waiting.delete(call.id);
    call.id = lastId += 1;
    waiting.set(call.id, call);
    call.sent = true;
    write({ id: call.id, ...call.frame });
  }

  function end(call, settle) {
    clearTimeout(call.timer);
    waiting.delete(call.id);
    settle();
  }

  /** `at once` is for what opens the way into a room, before other commands may pass. */
  function start(frame, { atOnce = false, deadlineMs = DEADLINE_MS } = {}) {
    return new Promise((resolve, reject) => {
      if (waiting.size >= MOST_WAITING) return reject(new Refusal({ code: 'rate_limited' }));
      if (!open && !atOnce && !frame.request_id) return reject(new Unreachable('not in the room'));
      const call = { id: lastId += 1, frame, resolve, reject, sent: false };
      call.timer = setTimeout(() => end(call, () => reject(new Unreachable('no reply'))), deadlineMs);
      waiting.set(call.id, call);
      if (open || atOnce) put(call);
      return undefined;
    });
  }

  return {
    start,
    /** The way is open: sends what has waited or must be sent again. */
    opened() {
      open = true;
      for (const call of [...waiting.values()]) if (!call.sent) put(call);
    },
    /** The connection is gone: what may be sent again waits, the rest has failed. */
    lost() {
      open = false;
      for (const call of [...waiting.values()]) {
        if (call.frame.request_id) call.sent = false;
        else end(call, () => call.reject(new Unreachable('connection lost')));
      }
    },
    /** A `reply` or an `error` with an id. */
    settle(message) {
      const call = waiting.get(message.id);
      if (!call) return;
      if (message.type === 'reply') end(call, () => call.resolve(message));
      else end(call, () => call.reject(new Refusal(message)));
    },
  };
}
