// Holds a state, and tells those who show it, at most once a frame of the display.

/** @param {(state: object, action: object) => object} reduce */
export function createStore(reduce, initial) {
  let state = initial;
  let shown = null;
  let due = false;
  const views = new Set();
  const listeners = new Set();

  function show() {
    due = false;
    const before = shown;
    shown = state;
    views.forEach((view) => view(state, before));
  }

  return {
    get: () => state,
    dispatch(action) {
      const next = reduce(state, action);
      if (next === state) return;
      state = next;
      listeners.forEach((listener) => listener(state, action));
      if (due) return;
      due = true;
      requestAnimationFrame(show);
    },
    /** `view(state, before)`, before painting; `before` is null the first time. */
    view(view) {
      views.add(view);
    },
    /** `listener(state, action)`, at every change. Returns what ends it. */
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
