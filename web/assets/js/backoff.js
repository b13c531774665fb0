// How long to wait before trying again: doubling, with a ceiling, and spread at random so
// that ten thousand viewers who lost the same server do not come back in the same instant.

/** @param {number} attempt 0 for the first @param {() => number} random in [0, 1) @returns {number} ms */
export function backoff(attempt, random = Math.random, { baseMs = 400, capMs = 15_000 } = {}) {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 16));
  return Math.round(ceiling / 2 + (ceiling / 2) * random());
}
