// The cart of whoever looks: a guest's lines in this browser, which are taken into the
// account's cart at the next login, or the account's. Tells listeners how many pieces it has.

import { createAct } from './acts.js';
import { QUANTITY_MAX, addLine, emptyCart, leftOutWords, pieces, piecesOf, priceNews, quantityOf, readLines, withUnseen } from './cart.js';

const KEPT = 'hawker.cart';

/** Where a guest's lines are: storage may be off, and then they last as long as the page. */
function createDrawer(storage) {
  let lines = [];
  try {
    lines = readLines(storage.getItem(KEPT));
  } catch {
    // Off.
  }
  return {
    get: () => lines,
    set(next) {
      lines = next;
      try {
        if (lines.length === 0) storage.removeItem(KEPT);
        else storage.setItem(KEPT, JSON.stringify(lines));
      } catch {
        // Off.
      }
    },
  };
}

/** @param {{session, api, say: (text: string) => void, storage: Storage}} tools */
export function createCartKeeper({ session, api, say, storage }) {
  const drawer = createDrawer(storage);
  const merging = createAct();
  const listeners = new Set();
  let cart = emptyCart;
  let unseen = {};
  let identified = Promise.resolve();

  const count = () => (session.user() === null ? pieces(drawer.get()) : piecesOf(cart));
  const tell = () => listeners.forEach((listener) => listener(count()));

  /** Another cart from the server. What it says once is said at once, unless it is being looked at. */
  function take(next, aloud) {
    if (aloud) priceNews(next).forEach(say);
    const told = withUnseen(unseen, next);
    unseen = told.unseen;
    cart = told.cart;
    tell();
    return cart;
  }

  /** Takes a guest's lines into the account's cart, once: also when the answer is lost. */
  async function merge() {
    const items = drawer.get();
    if (items.length === 0) return take(await api.cart(), true);
    const merged = await api.mergeCart(items, merging.key(items));
    merging.over();
    drawer.set([]);
    const left = leftOutWords(merged.left_out);
    if (left !== null) say(left);
    return take(merged.cart, true);
  }

  return {
    count,
    /** Calls back with the number of pieces. */
    onChange(listener) {
      listeners.add(listener);
    },
    /** Somebody else is signed in. What cannot be had now is had when the cart is opened. */
    identify() {
      cart = emptyCart;
      unseen = {};
      tell();
      identified = session.user() === null ? Promise.resolve() : merge().catch(() => null);
      return identified;
    },
    /** As it is now. */
    async look() {
      await identified;
      if (drawer.get().length > 0) await merge();
      return take(await api.cart(), false);
    },
    /** The buyer has seen what has changed. */
    seen() {
      unseen = {};
    },
    /** So many more of a variant. */
    async add(variant, quantity) {
      if (session.user() === null) {
        drawer.set(addLine(drawer.get(), variant, quantity));
        return tell();
      }
      const now = take(await api.cart(), true);
      const all = Math.min(QUANTITY_MAX, quantityOf(now, variant) + quantity);
      take(await api.putInCart(variant, all), true);
      return undefined;
    },
    /** So many of a variant; none takes it out. */
    async set(variant, quantity) {
      if (quantity > 0) return take(await api.putInCart(variant, quantity), false);
      await api.takeOutOfCart(variant);
      return take(await api.cart(), false);
    },
  };
}
