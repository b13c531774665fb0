// The demo show's host, over REST: what a shop does while its buyers look at the page.

import assert from 'node:assert/strict';

const HOST = 'host@demo.hawker.example';

/** @param {string} password of the demo accounts */
export async function signInHost(baseUrl, password) {
  async function call(method, path, body, token) {
    const headers = { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID(), ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(baseUrl + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text === '' ? null : JSON.parse(text);
  }
  const { access_token: token } = await call('POST', '/auth/login', { email: HOST, password });
  const as = (method, path, body) => call(method, path, body, token);
  return {
    addCode: (code, percentBps) => as('POST', '/seller/discount-codes', { code, percent_bps: percentBps }),
    setPrice: (variant, minor) => as('PATCH', `/seller/variants/${variant}`, { price_minor: minor }),
    /** The shop's part of a paid order, by its number. */
    order: async (number) => (await as('GET', '/seller/orders?status=paid&limit=100')).items.find((order) => order.number === number),
    send: (order, tracking) => as('POST', `/seller/orders/${order}/shipments`, { carrier: 'dhl', tracking }),
    returnOf: async (order) => (await as('GET', '/seller/returns?status=requested&limit=100')).items.find((one) => one.order_id === order),
    approve: (id, answer) => as('POST', `/seller/returns/${id}/approve`, { answer }),
    receive: (id, restocked) => as('POST', `/seller/returns/${id}/receive`, { restocked }),
  };
}
