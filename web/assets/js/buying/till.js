// From goods to the receipt: address, prices and a discount code, order, payment. What was
// paid too late for the goods is shown as going back, and never as paid.

import { createAct } from '../acts.js';
import { Refusal, words } from '../errors.js';
import { lateWords, outcome } from '../orders/standing.js';
import { storageOf } from '../storage.js';
import { h } from '../ui/dom.js';
import { askForAddress } from './address.js';
import { askForAgreement, isOfCode } from './agreement.js';
import { forgetPaying, rememberPaying, returnUrl } from './away.js';
import { pay, underWay } from './payment.js';
import { showReceipt } from './receipt.js';

/**
 * When what is being bought goes back, in ms: the earliest of all that says so. A flash hold
 * keeps its own time inside a checkout and an order; an order does not repeat it.
 */
function deadlineOf(priced, holds) {
  const own = priced.items.map((item) => holds[item.reservation_id]?.expires_at);
  const told = [priced.expires_at, ...priced.items.map((item) => item.hold_expires_at)].filter(Boolean);
  const times = [...told.map((time) => Date.parse(time)), ...own.filter(Boolean)];
  return times.length === 0 ? null : Math.min(...times);
}

/** @param {{sheet, api, store, toast, stream: string, onPlaced: () => void}} tools */
export function createTill({ sheet, api, store, toast, stream, onPlaced }) {
  const pricing = createAct();
  const placing = createAct();

  function countDownTo(at, label, code) {
    sheet.setDeadline(at === null ? null : { at, label, error: () => new Refusal({ code }) });
  }

  async function price(goods, address, code) {
    sheet.busy('Working out the price');
    const body = { ...goods, address_id: address.id, ...(code && { discount_code: code }) };
    const checkout = await api.checkout(body, pricing.key(body));
    pricing.over();
    countDownTo(deadlineOf(checkout, store.get().holds), 'Time left', goods.reservations ? 'hold_expired' : 'checkout_expired');
    return checkout;
  }

  /** Lets go of what a checkout keeps from others; if this is lost, the checkout expires by itself. */
  const giveUp = (checkout) => api.giveUpCheckout(checkout.id).catch(() => null);

  /** Address, prices, order; back to the address as often as the buyer likes. */
  async function place(goods) {
    for (;;) {
      const order = await agree(goods, await askForAddress(sheet, api));
      if (order !== null) return order;
    }
  }

  /** Prices, and codes as often as the buyer likes. Null: to another address. */
  async function agree(goods, address) {
    let checkout = await price(goods, address, null);
    let code = { tried: '', problem: null };
    for (;;) {
      const answer = await askForAgreement(sheet, checkout, code).catch((error) => {
        giveUp(checkout);
        throw error;
      });
      if (answer.act === 'place') return order(checkout);
      // What it holds has to be free before it is held again.
      await giveUp(checkout);
      if (answer.act === 'back') return null;
      const before = checkout.discount_code;
      code = { tried: answer.code ?? '', problem: null };
      checkout = await price(goods, address, answer.code).catch((error) => {
        if (!isOfCode(error)) throw error;
        code.problem = error.code === 'invalid_body' ? words({ code: 'discount_unknown' }) : words(error);
        return price(goods, address, before);
      });
    }
  }

  async function order(checkout) {
    sheet.busy('Placing the order');
    const placed = await api.placeOrder(checkout.id, placing.key({ checkout: checkout.id }));
    placing.over();
    onPlaced();
    return placed;
  }

  /** Goes to a bank's page. Resolves only if the browser shows this page again as it was. */
  const leaveFor = (order) => (url, payment) =>
    new Promise((resolve) => {
      rememberPaying(storageOf('sessionStorage'), { order: order.id, payment, stream });
      const again = ({ persisted }) => {
        if (!persisted) return;
        removeEventListener('pageshow', again);
        forgetPaying(storageOf('sessionStorage'));
        resolve();
      };
      addEventListener('pageshow', again);
      location.assign(url);
    });

  /**
   * Pays what is not paid, and shows what became of it.
   * @param {{attempt?: object, returned?: boolean}} how the attempt that is gone on with, and
   *   whether the buyer has just come back from its bank
   */
  async function payAndShow(order, { attempt = null, returned = false } = {}) {
    store.dispatch({ type: 'order', order: order.id, status: order.status });
    let now = order;
    const open = attempt ?? underWay(order);
    if (outcome(order) === 'unpaid') {
      countDownTo(deadlineOf(order, store.get().holds), 'Time left to pay', 'order_expired');
      // An order does not repeat where its payment's second step is taken.
      const current = open === null ? null : await api.payment(order.id, open.id);
      const back = returnUrl(stream, order.id, { origin: location.origin, secure: isSecureContext });
      await pay(order, { sheet, api, changed, leave: leaveFor(order), back }, current, returned);
      now = await api.order(order.id);
      store.dispatch({ type: 'order', order: order.id, status: now.status });
    }
    sheet.setDeadline(null);
    await show(now);
  }

  async function show(order) {
    const became = outcome(order);
    if (became === 'unpaid') throw new Refusal({ code: 'payment_in_progress' });
    if (became === 'ended') throw new Refusal({ code: 'order_expired' });
    // Somebody who closed the sheet while the bank was asked has paid all the same.
    if (sheet.wasDismissed()) return toast(became === 'late' ? lateWords(order) : 'Paid. Thank you!');
    if (became === 'paid') return showReceipt(sheet, await api.receipt(order.id));
    return sheet.ask({
      title: 'Refunded',
      trail: `Order ${order.number}`,
      build: (done) =>
        h(
          'div',
          { class: 'stack' },
          h('p', { class: 'problem', role: 'alert' }, lateWords(order)),
          h('button', { class: 'go go-wide', type: 'button', autofocus: true, onclick: () => done() }, 'Back to the show'),
        ),
    });
  }

  /** The room says that an order has changed, or time has passed. */
  function changed(order, ms) {
    return new Promise((resolve) => {
      const end = store.listen((_, action) => action.type === 'order' && action.order === order && settle());
      const timer = setTimeout(() => settle(), ms);
      const settle = () => {
        clearTimeout(timer);
        end();
        resolve();
      };
    });
  }

  return {
    payAndShow,
    /** @param {object} goods the body of a checkout without its address @param {number | null} until when what is held goes back */
    async buy(goods, until = null) {
      countDownTo(until, 'Held for you for', 'hold_expired');
      await payAndShow(await place(goods));
    },
  };
}
