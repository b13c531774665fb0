// Whether a numbered frame is the one that comes next. Pure: the socket client asks, and
// does what the answer says. It never lets a hole pass.

/**
 * @param {{epoch: number, seq: number} | null} position the last event heard; null while a snapshot is awaited
 * @param {{epoch: number, from: number, to: number, m: object[]}} frame
 * @returns {{kind: 'apply', events: object[], position: {epoch: number, seq: number}}
 *   | {kind: 'old'} | {kind: 'waiting'} | {kind: 'gap', missed: number | null}}
 */
export function place(position, frame) {
  if (position === null) return { kind: 'waiting' };
  if (frame.m.length !== frame.to - frame.from + 1) return { kind: 'gap', missed: null };
  if (frame.epoch < position.epoch) return { kind: 'old' };
  // Another epoch starts with a snapshot; without one there is no telling what was missed.
  if (frame.epoch > position.epoch) return { kind: 'gap', missed: null };
  if (frame.to <= position.seq) return { kind: 'old' };
  if (frame.from > position.seq + 1) return { kind: 'gap', missed: frame.from - position.seq - 1 };
  return {
    kind: 'apply',
    events: frame.m.slice(position.seq + 1 - frame.from),
    position: { epoch: frame.epoch, seq: frame.to },
  };
}
