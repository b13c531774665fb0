// A cart in words and numbers, and the lines that somebody keeps who has not signed in yet.
// Pure: prices, sums and what can be bought are the server's word.

import { formatMoney } from './money.js';

/** What the server takes at most, of lines and of one variant. */
export const LINES_MAX = 100;
export const QUANTITY_MAX = 1_000;

// --- kept before signing in ---------------------------------------------------------------

/** The lines with so many more of a variant. The same lines where nothing more fits. */
export function addLine(lines, variant, quantity) {
  const known = lines.find((line) => line.variant_id === variant);
  if (known) {
    const more = Math.min(QUANTITY_MAX, known.quantity + quantity);
    return lines.map((line) => (line === known ? { ...line, quantity: more } : line));
  }
  return lines.length >= LINES_MAX ? lines : [...lines, { variant_id: variant, quantity: Math.min(QUANTITY_MAX, quantity) }];
}

/** Lines from what was kept as text. Whatever is not a line is left out. */
export function readLines(text) {
  let kept;
  try {
    kept = JSON.parse(text ?? '[]');
  } catch {
    return [];
  }
  if (!Array.isArray(kept)) return [];
  const isLine = (line) => /^[0-9a-f-]{36}$/i.test(line?.variant_id) && Number.isInteger(line.quantity) && line.quantity >= 1;
  return kept.filter(isLine).reduce((lines, line) => addLine(lines, line.variant_id, line.quantity), []);
}

// --- the cart as the server has it --------------------------------------------------------

export const emptyCart = Object.freeze({ shops: [] });

const itemsOf = (cart) => cart.shops.flatMap((shop) => shop.items);

/** How many of a variant are in it. */
export const quantityOf = (cart, variant) => itemsOf(cart).find((item) => item.variant_id === variant)?.quantity ?? 0;

/** Pieces in the lines of a cart, or in lines that were kept before signing in. */
export const pieces = (lines) => lines.reduce((sum, line) => sum + line.quantity, 0);

export const piecesOf = (cart) => pieces(itemsOf(cart));

/**
 * The server says once that a price is another. Here it stands with its line until the
 * buyer has seen the cart: `unseen` is what is to be told, by variant.
 * @returns {{unseen: Record<string, object>, cart: object}} the cart with all that is unseen
 */
export function withUnseen(unseen, cart) {
  const next = {};
  const shops = cart.shops.map((shop) => ({
    ...shop,
    items: shop.items.map((item) => {
      const fresh = item.notes.find((note) => note.kind === 'price');
      const before = unseen[item.variant_id];
      const from = before?.from ?? fresh?.from;
      if (from === undefined) return item;
      const others = item.notes.filter((note) => note !== fresh);
      // It may be back where it was.
      if (from.minor === item.unit_price.minor) return { ...item, notes: others };
      const note = { kind: 'price', from, to: item.unit_price };
      next[item.variant_id] = note;
      return { ...item, notes: [...others, note] };
    }),
  }));
  return { unseen: next, cart: { ...cart, shops } };
}

/** What the buyer should know of a line. A kind that is not known is a newer server's. */
export function noteWords(note) {
  switch (note.kind) {
    case 'price':
      return `The price is now ${formatMoney(note.to)}; it was ${formatMoney(note.from)}.`;
    case 'insufficient_stock':
      return note.available === 0 ? 'Sold out.' : `Only ${note.available} left.`;
    case 'not_on_sale':
      return 'Not on sale any more.';
    case 'own_shop':
      return 'This is your own shop.';
    case 'banned':
      return 'This shop does not sell to you.';
    default:
      return null;
  }
}

/** What has another price than before, in one sentence each. */
export function priceNews(cart) {
  const changed = (item) => item.notes.some((note) => note.kind === 'price');
  return itemsOf(cart)
    .filter(changed)
    .map((item) => `In your cart, ${item.title} now costs ${formatMoney(item.unit_price)}.`);
}

/** Why something that was kept before signing in is not in the cart. */
export function leftOutWords(leftOut) {
  if (leftOut.length === 0) return null;
  const reasons = {
    not_on_sale: 'it is not on sale any more',
    own_shop: 'it is from your own shop',
    banned: 'its shop does not sell to you',
    cart_full: 'your cart is full',
  };
  const why = reasons[leftOut[0].reason] ?? 'it cannot be bought';
  return leftOut.length === 1 ? `Something is not in your cart: ${why}.` : `${leftOut.length} things are not in your cart: of the first, ${why}.`;
}

/** Whether lines can be checked out as they are. */
export const canCheckOut = (items) => items.length > 0 && items.every((item) => item.can_be_bought);

/** Whether all shops of a cart can be in one order. */
export const isOneCurrency = (cart) => new Set(cart.shops.map((shop) => shop.total.currency)).size <= 1;
