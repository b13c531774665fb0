// Who is signed in. The access token lives in this module's memory and nowhere else; the
// refresh token is a cookie that scripts cannot read. What is kept in local storage is one
// word that says whether asking for a session is worth it.

import { auth } from './api.js';

const HINT = 'hawker.signed-in';
// Renewed this long before it runs out, so that no request meets an expired one.
const EARLY_MS = 60_000;

/** Tabs share one refresh cookie and it rotates: two at once would look like a theft. */
function oneTabAtATime(work) {
  return navigator.locks ? navigator.locks.request('hawker.refresh', work) : work();
}

function remember(signedIn) {
  try {
    if (signedIn) localStorage.setItem(HINT, 'yes');
    else localStorage.removeItem(HINT);
  } catch {
    // Storage is off: the next visit starts signed out.
  }
}

function wasSignedIn() {
  try {
    return localStorage.getItem(HINT) === 'yes';
  } catch {
    return false;
  }
}

export function createSession() {
  let current = null;
  let renewing = null;
  const listeners = new Set();

  function adopt(session) {
    const before = current?.user.id ?? null;
    current = session && {
      user: session.user,
      token: session.access_token,
      renewAt: Date.now() + Math.max(session.expires_in * 1000 - EARLY_MS, 5_000),
    };
    remember(current !== null);
    if ((current?.user.id ?? null) !== before) listeners.forEach((listener) => listener(current?.user ?? null));
  }

  async function refresh() {
    try {
      adopt(await oneTabAtATime(() => auth.refresh()));
    } catch (error) {
      // Only a refusal ends the session; a lost connection does not.
      if (error.status === 401 || error.status === 403) adopt(null);
    }
    return current?.token ?? null;
  }

  function renew() {
    renewing ??= refresh().finally(() => {
      renewing = null;
    });
    return renewing;
  }

  return {
    /** The account, or null. */
    user: () => current?.user ?? null,
    /** A token that still has time, or null for a guest. */
    async token() {
      if (current && Date.now() >= current.renewAt) await renew();
      return current?.token ?? null;
    },
    renew,
    /** Takes up the session of an earlier visit, if there was one. */
    async restore() {
      if (wasSignedIn()) await renew();
    },
    async register(who) {
      adopt(await auth.register(who));
    },
    async login(who) {
      adopt(await auth.login(who));
    },
    async logout() {
      await auth.logout(current?.token).catch(() => null);
      adopt(null);
    },
    /** Calls back with the account or null when another one is signed in. */
    onChange(listener) {
      listeners.add(listener);
    },
  };
}
