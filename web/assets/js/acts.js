// The name of an act: one Idempotency-Key for one thing that somebody wants once. It stays
// the same while the act is retried, whatever became of the answer, and changes as soon as
// the body does or the act is over, because then it is another act.

import { uuid } from './uuid.js';

/** @param {() => string} makeKey */
export function createAct(makeKey = uuid) {
  let key = null;
  let meant = null;
  return {
    /** The key of the act with this body. */
    key(body) {
      const text = JSON.stringify(body ?? null);
      if (key === null || text !== meant) {
        key = makeKey();
        meant = text;
      }
      return key;
    },
    /** The act has had its answer; doing it again is a new one. */
    over() {
      key = null;
      meant = null;
    },
  };
}
