// The way from "I want that" to the receipt, for a flash sale's hold and for an ordinary
// purchase alike: sign in, hold, address, order, payment, receipt. One at a time.

import { createAct } from '../acts.js';
import { Refusal, words } from '../errors.js';
import { ownHold, salePhase } from '../room.js';
import { Dismissed } from '../ui/sheet.js';
import { h } from '../ui/dom.js';
import { addressLines, askForAddress } from './address.js';
import { bill } from './bill.js';
import { pay } from './payment.js';
import { showReceipt } from './receipt.js';
import { askToSignIn } from './signin.js';

const ROOM_DEADLINE_MS = 10_000;
// After these a payment may still be on its way.
const UNSETTLED = ['payment_in_progress', 'unreachable', 'internal'];
// After these the goods are back on the table, and the way starts from there.
const LAPSED = ['hold_expired', 'checkout_expired', 'order_expired'];

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

/** @param {{sheet, session, api, live, store, clock, toast, stream: string}} tools */
export function createPurchases({ sheet, session, api, live, store, clock, toast, stream }) {
  const grabbing = createAct();
  const waiting = createAct();
  const pricing = createAct();
  const placing = createAct();
  let running = false;

  /** Runs one purchase; closing the sheet ends it, whatever else happens is said. */
  async function run(work, again = null) {
    if (running) return;
    running = true;
    sheet.begin();
    let retry = false;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Dismissed)) retry = await explain(error, again);
    } finally {
      running = false;
    }
    if (retry) await run(work, again);
    else sheet.close();
  }

  /** Resolves with whether to try again. */
  async function explain(error, again) {
    if (!error.code) console.error(error);
    sheet.setDeadline(null);
    if (!sheet.isOpen()) {
      toast(words(error), 'problem');
      return false;
    }
    const lapsed = LAPSED.includes(error.code);
    const open = again === null || again();
    try {
      return await sheet.ask({
        title: lapsed ? 'Time ran out' : 'That did not work',
        build: (done) =>
          h(
            'div',
            { class: 'stack' },
            h('p', { role: 'alert' }, words(error)),
            h('p', { class: 'fine' }, UNSETTLED.includes(error.code) ? 'If the bank says yes after all, you find the order under your name.' : 'You have not been charged.'),
            open && h('button', { class: 'go go-wide', type: 'button', autofocus: true, onclick: () => done(true) }, 'Try again'),
            h('button', { class: 'link', type: 'button', onclick: () => done(false) }, 'Back to the show'),
          ),
      });
    } catch {
      return false;
    }
  }

  /** Signed in, and in the room as this person. */
  async function asBuyer(why) {
    await askToSignIn(sheet, session, why);
    const me = session.user().id;
    if (store.get().me !== me) await inRoom(me);
  }

  function inRoom(me) {
    sheet.busy('One moment');
    return new Promise((resolve, reject) => {
      const end = store.listen((room) => room.me === me && settle(resolve));
      const timer = setTimeout(() => settle(() => reject(new Refusal({ code: 'room_unavailable' }))), ROOM_DEADLINE_MS);
      const settle = (how) => {
        clearTimeout(timer);
        end();
        how();
      };
    });
  }

  /** Units of a flash sale, held for this person: committed before this resolves. */
  async function hold(sale, quantity) {
    const known = ownHold(store.get(), sale.id, clock.now());
    if (known) return known;
    const command = { cmd: 'buy', sale: sale.id, quantity };
    try {
      const { type, id, result, ...reservation } = await live.call({ ...command, request_id: grabbing.key(command) });
      grabbing.over();
      store.dispatch({ type: 'hold', reservation });
      return reservation;
    } catch (error) {
      // Without an answer the same request is asked again; with one it is settled.
      if (error instanceof Refusal) grabbing.over();
      throw error;
    }
  }

  /** A place in line, or what came free in the meantime: the hold, else null. */
  async function standInLine(sale, quantity) {
    const command = { cmd: 'wait', sale: sale.id, quantity };
    try {
      const { type, id, result, ...answer } = await live.call({ ...command, request_id: waiting.key(command) });
      waiting.over();
      if (result === 'held') store.dispatch({ type: 'hold', reservation: answer });
      else store.dispatch({ type: 'waiting', place: answer });
      return result === 'held' ? answer : null;
    } catch (error) {
      if (error instanceof Refusal) waiting.over();
      throw error;
    }
  }

  async function fromGoodsToReceipt(goods, until = null) {
    countDownTo(until, 'Held for you for', 'hold_expired');
    const order = await place(goods);
    await payAndShow(order);
  }

  function countDownTo(at, label, code) {
    sheet.setDeadline(at === null ? null : { at, label, error: () => new Refusal({ code }) });
  }

  /** Address, prices, order; back to the address as often as the buyer likes. */
  async function place(goods) {
    for (;;) {
      const address = await askForAddress(sheet, api);
      sheet.busy('Working out the price');
      const body = { ...goods, address_id: address.id, stream_id: stream };
      const checkout = await api.checkout(body, pricing.key(body));
      pricing.over();
      countDownTo(deadlineOf(checkout, store.get().holds), 'Time left', goods.reservations ? 'hold_expired' : 'checkout_expired');
      const answer = await confirm(checkout).catch((error) => {
        giveUp(checkout);
        throw error;
      });
      if (answer === 'place') {
        sheet.busy('Placing the order');
        const order = await api.placeOrder(checkout.id, placing.key({ checkout: checkout.id }));
        placing.over();
        return order;
      }
      giveUp(checkout);
    }
  }

  /** Lets go of what a checkout keeps from others; if this is lost, the checkout expires by itself. */
  function giveUp(checkout) {
    api.giveUpCheckout(checkout.id).catch(() => null);
  }

  function confirm(checkout) {
    return sheet.ask({
      title: 'Your order',
      trail: 'Step 2 of 3',
      build: (done) =>
        h(
          'div',
          { class: 'stack' },
          bill(checkout),
          h(
            'div',
            { class: 'goes-to' },
            h('p', { class: 'fine' }, 'Goes to'),
            h('address', {}, addressLines(checkout.address).map((line) => h('span', {}, line))),
            h('button', { class: 'link', type: 'button', onclick: () => done('back') }, 'Change'),
          ),
          h('button', { class: 'go go-wide', type: 'button', autofocus: true, onclick: () => done('place') }, 'Place the order'),
        ),
    });
  }

  async function payAndShow(order) {
    store.dispatch({ type: 'order', order: order.id, status: order.status });
    if (order.status === 'pending_payment') {
      countDownTo(deadlineOf(order, store.get().holds), 'Time left to pay', 'order_expired');
      await pay(order, { sheet, api, changed });
      store.dispatch({ type: 'order', order: order.id, status: 'paid' });
    }
    sheet.setDeadline(null);
    const receipt = await api.receipt(order.id);
    // Somebody who closed the sheet while the bank was asked has paid all the same.
    if (sheet.wasDismissed()) toast('Paid. Thank you!');
    else await showReceipt(sheet, receipt);
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

  const stillOpen = (id) => () => {
    const sale = store.get().sales.find((one) => one.id === id);
    return sale !== undefined && salePhase(sale, clock.now()) === 'open';
  };

  return {
    /** A unit of a flash sale: held first, everything else after. */
    grab: (sale, quantity) =>
      run(async () => {
        await asBuyer(`To buy ${sale.title}`);
        const held = await hold(sale, quantity);
        await fromGoodsToReceipt({ reservations: [held.reservation] }, held.expires_at);
      }, stillOpen(sale.id)),
    /** In line for what may come free; it is held for whoever's turn it is. */
    wait: (sale, quantity) =>
      run(async () => {
        await asBuyer(`To wait for ${sale.title}`);
        const held = await standInLine(sale, quantity);
        if (held) await fromGoodsToReceipt({ reservations: [held.reservation] }, held.expires_at);
        else toast('You are in line. Stay here: what comes free is held for you.');
      }),
    /** What is held already. */
    checkOut: (held) => run(() => fromGoodsToReceipt({ reservations: [held.reservation] }, held.expires_at), () => false),
    /** The ordinary way. */
    buy: ({ product, variant, quantity }) =>
      run(async () => {
        await asBuyer(`To buy ${product.title}`);
        await fromGoodsToReceipt({ items: [{ variant_id: variant.id, quantity }] });
      }),
    /** An order that waits for its payment. */
    payLater: (id) =>
      run(async () => {
        sheet.busy('Your order');
        await payAndShow(await api.order(id));
      }),
    /** Only signs in. */
    signIn: (why) => run(() => askToSignIn(sheet, session, why)),
    running: () => running,
  };
}
