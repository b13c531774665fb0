// Leaving for a bank's page and coming back. What is being paid is remembered for this tab,
// so that it does not matter under which address the buyer comes back; an address that names
// it serves where the bank has opened another tab. Whether it was paid is asked for by REST:
// nothing that an address says is believed.

const KEPT = 'hawker.paying';
const ID = /^[0-9a-f-]{36}$/i;

/**
 * Where a payment's second step is taken, or null: here. Only a safe address is gone to.
 * @param {{next_action?: {type: string, url?: string}}} payment
 */
export function redirectOf(payment, here = globalThis.location?.href) {
  const url = payment.next_action?.url ?? null;
  if (url === null) return null;
  try {
    const { protocol, origin, href } = new URL(url, here);
    return protocol === 'https:' || (protocol === 'http:' && origin === new URL(here).origin) ? href : null;
  } catch {
    return null;
  }
}

/** Where a bank is to send the buyer of an order back to, as the server takes it; null: nowhere. */
export function returnUrl(stream, order, { origin, secure }) {
  return secure ? `${origin}/live/${stream}?order=${order}` : null;
}

/** @param {{order: string, payment: string, stream: string}} paying */
export function rememberPaying(storage, paying) {
  try {
    storage.setItem(KEPT, JSON.stringify(paying));
  } catch {
    // Storage is off: the order waits in the list for its buyer.
  }
}

export function forgetPaying(storage) {
  try {
    storage.removeItem(KEPT);
  } catch {
    // Off.
  }
}

/**
 * What was being paid when the buyer left, once; null: nothing. `own` says that this tab has
 * left for it, and not only that an address names it: anybody can make an address.
 */
export function takePaying(storage, search) {
  let kept = null;
  try {
    kept = JSON.parse(storage.getItem(KEPT) ?? 'null');
  } catch {
    // Off, or not ours.
  }
  forgetPaying(storage);
  const named = new URLSearchParams(search);
  const [order, payment] = ['order', 'payment'].map((name) => named.get(name) ?? kept?.[name] ?? '');
  if (!ID.test(order) || !ID.test(payment)) return null;
  const stream = ID.test(kept?.stream ?? '') ? kept.stream : null;
  return { order, payment, stream, own: kept?.order === order && kept.payment === payment };
}
