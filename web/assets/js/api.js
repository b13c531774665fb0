// REST: one function for each route the page uses. Sends the access token that the session
// holds, renews it once when it has expired, retries what is safe to retry under the same
// key, and throws a Refusal or Unreachable. Knows no document.

import { backoff } from './backoff.js';
import { Refusal, Unreachable, worthRetrying } from './errors.js';

const DEADLINE_MS = 15_000;
const TRIES = 3;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function send(method, path, { body, key, token }) {
  const headers = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (key) headers['idempotency-key'] = key;
  if (token) headers.authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'same-origin',
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  } catch (cause) {
    throw new Unreachable(String(cause));
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  // A proxy in between may answer without problem details.
  const code = answer?.code ?? (response.status >= 500 ? 'unreachable' : 'internal');
  throw new Refusal({ ...answer, code, status: response.status });
}

/** Tries again while that may help: what changes nothing the second time, or carries a key and so happens once. */
async function persist(method, path, options) {
  const repeatable = method !== 'POST' || Boolean(options.key);
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await send(method, path, options);
    } catch (error) {
      if (!repeatable || attempt + 1 >= TRIES || !worthRetrying(error)) throw error;
      await pause(error.retryAfterMs ?? backoff(attempt));
    }
  }
}

/** @param {{token: () => Promise<string | null>, renew: () => Promise<string | null>}} session */
export function createApi(session) {
  async function request(method, path, options = {}) {
    const token = await session.token();
    try {
      return await persist(method, path, { ...options, token });
    } catch (error) {
      if (!token || !['token_expired', 'unauthenticated'].includes(error.code)) throw error;
      const renewed = await session.renew();
      if (!renewed) throw error;
      return persist(method, path, { ...options, token: renewed });
    }
  }
  const get = (path) => request('GET', path);
  const post = (path, body, key) => request('POST', path, { body, key });
  const put = (path, body) => request('PUT', path, { body });
  const del = (path) => request('DELETE', path);
  const after = (cursor) => (cursor ? `?cursor=${encodeURIComponent(cursor)}` : '');

  return {
    liveStreams: () => get('/streams/live'),
    upcomingStreams: () => get('/streams/upcoming'),
    stream: (id) => get(`/streams/${id}`),
    ticket: (stream) => post(`/streams/${stream}/ticket`, {}),
    lineUp: (stream) => get(`/streams/${stream}/products`),
    product: (id) => get(`/products/${id}`),
    cart: () => get('/cart'),
    mergeCart: (items, key) => post('/cart/merge', { items }, key),
    putInCart: (variant, quantity) => put(`/cart/items/${variant}`, { quantity }),
    takeOutOfCart: (variant) => del(`/cart/items/${variant}`),
    addresses: () => get('/users/addresses'),
    addAddress: (address) => post('/users/addresses', address),
    checkout: (body, key) => post('/orders/checkout', body, key),
    giveUpCheckout: (id) => del(`/orders/checkout/${id}`),
    placeOrder: (checkout, key) => post('/orders', { checkout_id: checkout }, key),
    orders: (cursor) => get(`/orders${after(cursor)}`),
    order: (id) => get(`/orders/${id}`),
    cancelOrder: (order) => post(`/orders/${order}/cancel`),
    cancelItem: (order, item, body, key) => post(`/orders/${order}/items/${item}/cancel`, body, key),
    confirmDelivery: (order) => post(`/orders/${order}/confirm`),
    confirmParcel: (order, shipment) => post(`/orders/${order}/shipments/${shipment}/confirm`),
    returns: (order) => get(`/orders/${order}/returns`),
    askForReturn: (order, body, key) => post(`/orders/${order}/returns`, body, key),
    sendReturn: (order, id, parcel) => post(`/orders/${order}/returns/${id}/sent`, parcel),
    withdrawReturn: (order, id) => post(`/orders/${order}/returns/${id}/withdraw`),
    claims: (order) => get(`/orders/${order}/claims`),
    openClaim: (order, body, key) => post(`/orders/${order}/claims`, body, key),
    withdrawClaim: (order, id) => post(`/orders/${order}/claims/${id}/withdraw`),
    pay: (order, means, key) => post(`/orders/${order}/payments`, means, key),
    confirmPayment: (order, payment, key) => post(`/orders/${order}/payments/${payment}/confirm`, {}, key),
    cancelPayment: (order, payment) => post(`/orders/${order}/payments/${payment}/cancel`),
    payment: (order, payment) => get(`/orders/${order}/payments/${payment}`),
    receipt: (order) => get(`/orders/${order}/receipt`),
    notifications: (cursor) => get(`/notifications${after(cursor)}`),
    unread: () => get('/notifications/unread'),
    markRead: (ids) => post('/notifications/read', { ids }),
  };
}

/** The routes that make and end sessions; they carry no access token. */
export const auth = {
  register: (who) => send('POST', '/auth/register', { body: { ...who, session: 'cookie' } }),
  login: (who) => send('POST', '/auth/login', { body: { ...who, session: 'cookie' } }),
  refresh: () => send('POST', '/auth/refresh', { body: {} }),
  confirmEmail: (link, who) => send('POST', '/auth/email/confirm', { body: { token: link, password: who.password }, token: who.token }),
  askToReset: (email) => send('POST', '/auth/password/reset', { body: { email } }),
  resetPassword: (token, password) => send('POST', '/auth/password/reset/confirm', { body: { token, password } }),
  logout: (token) => send('POST', '/auth/logout', { body: {}, token }),
};
