// The ways to buy: a flash sale's hold, a product, the cart, an order that waits. Each signs
// in, gets what it needs, and goes to the till. One at a time.

import { createAct } from '../acts.js';
import { Refusal, words } from '../errors.js';
import { ownHold, salePhase } from '../room.js';
import { Dismissed } from '../ui/sheet.js';
import { h } from '../ui/dom.js';
import { askForBasket } from './basket.js';
import { Postponed } from './payment.js';
import { askToSignIn } from './signin.js';
import { createTill } from './till.js';

const ROOM_DEADLINE_MS = 10_000;
// After these a payment may still be on its way.
const UNSETTLED = ['payment_in_progress', 'unreachable', 'internal'];
// After these the goods are back on the table, and the way starts from there.
const LAPSED = ['hold_expired', 'checkout_expired', 'order_expired'];

/** @param {{sheet, session, api, live, store, clock, toast, cart, stream: string}} tools */
export function createPurchases({ sheet, session, api, live, store, clock, toast, cart, stream }) {
  const grabbing = createAct();
  const waiting = createAct();
  const till = createTill({ sheet, api, store, toast, stream, onPlaced: () => cart.look().catch(() => null) });
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
      if (error instanceof Postponed) toast('The payment waits for your answer to the bank: it is with your orders.');
      else if (!(error instanceof Dismissed)) retry = await explain(error, again);
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
            h('p', { class: 'fine' }, UNSETTLED.includes(error.code) ? 'If the bank says yes after all, you find the order under your name. What comes too late goes back to you.' : 'You have not been charged.'),
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

  /** The cart, until it is checked out; of the show only where something of its shop is bought. */
  async function throughBasket() {
    await askToSignIn(sheet, session, 'To see your cart');
    sheet.busy('Your cart');
    const [first, show] = await Promise.all([cart.look(), api.stream(stream).catch(() => null)]);
    const sellers = await askForBasket(sheet, cart, first);
    const bought = sellers.length > 0 ? sellers : (await cart.look()).shops.map((shop) => shop.seller.id);
    await till.buy({ cart: true, sellers, ...(bought.includes(show?.seller.id) && ofShow()) });
  }

  async function comeBack({ order: id, payment, own }) {
    await askToSignIn(sheet, session, 'To see your order');
    sheet.busy('Asking the bank');
    const [order, attempt] = await Promise.all([api.order(id), api.payment(id, payment)]);
    await till.payAndShow(order, { attempt, returned: own });
  }

  // What the show promises is had while it is on; a hold says by itself that it is of it.
  const ofShow = () => (store.get().stream?.status === 'live' ? { stream_id: stream } : {});

  const ofHold = (held) => ({ reservations: [held.reservation], stream_id: stream });

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
        await till.buy(ofHold(held), held.expires_at);
      }, stillOpen(sale.id)),
    /** In line for what may come free; it is held for whoever's turn it is. */
    wait: (sale, quantity) =>
      run(async () => {
        await asBuyer(`To wait for ${sale.title}`);
        const held = await standInLine(sale, quantity);
        if (held) await till.buy(ofHold(held), held.expires_at);
        else toast('You are in line. Stay here: what comes free is held for you.');
      }),
    /** What is held already. */
    checkOut: (held) => run(() => till.buy(ofHold(held), held.expires_at), () => false),
    /** The ordinary way. */
    buy: ({ product, variant, quantity }) =>
      run(async () => {
        await asBuyer(`To buy ${product.title}`);
        await till.buy({ items: [{ variant_id: variant.id, quantity }], ...ofShow() });
      }),
    /** An order that waits for its payment. */
    payLater: (id) =>
      run(async () => {
        sheet.busy('Your order');
        await till.payAndShow(await api.order(id));
      }),
    /** What is in the cart. */
    basket: () => run(throughBasket),
    /** Back from a bank's page. */
    comeBack: (paying) => run(() => comeBack(paying), () => false),
    /** Only signs in. */
    signIn: (why) => run(() => askToSignIn(sheet, session, why)),
    running: () => running,
  };
}
