// The server's clock, as far as this device can tell. Countdowns are drawn by it, so that
// a wrong clock on the device does not shorten or lengthen anybody's hold.

const SAMPLES = 8;

/** @param {() => number} device the device's clock in ms */
export function createClock(device = Date.now) {
  let offsets = [];
  return {
    /** Hears the server's clock. A frame only ever arrives late, so the largest offset is the truest. */
    hear(serverNow) {
      if (!Number.isFinite(serverNow)) return;
      offsets = [...offsets, serverNow - device()].slice(-SAMPLES);
    },
    /** The server's time now, in ms since the epoch. */
    now() {
      return device() + (offsets.length === 0 ? 0 : Math.max(...offsets));
    },
  };
}

/** `95000` → `"1:35"`; from an hour on `"1:02:35"`. Rounded up, so that 0:00 means over. */
export function countdown(ms) {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const seconds = String(all % 60).padStart(2, '0');
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return `${minutes}:${seconds}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${seconds}`;
}

/** The same in words, for screen readers: `"1 minute 35 seconds"`. */
export function spokenTime(ms) {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const part = (count, word) => (count === 0 ? '' : `${count} ${word}${count === 1 ? '' : 's'}`);
  return [part(Math.floor(all / 60), 'minute'), part(all % 60, 'second')].filter(Boolean).join(' ') || '0 seconds';
}
