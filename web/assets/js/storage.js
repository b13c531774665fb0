// The browser's storage, which may be switched off: then it forgets at once.

const FORGETFUL = Object.freeze({ getItem: () => null, setItem: () => {}, removeItem: () => {} });

/** @param {'localStorage' | 'sessionStorage'} name */
export function storageOf(name) {
  try {
    return globalThis[name] ?? FORGETFUL;
  } catch {
    return FORGETFUL;
  }
}
