// The cart in the sheet: by shop, what has changed said with its line, how many of each, and
// the way to the till for all of it or for one shop. All figures are the server's.

import { QUANTITY_MAX, canCheckOut, isOneCurrency, noteWords, piecesOf } from '../cart.js';
import { words } from '../errors.js';
import { formatMoney } from '../money.js';
import { h, icon, picture } from '../ui/dom.js';
import { createStepper } from '../ui/stepper.js';

const optionsOf = (item) => Object.values(item.options ?? {}).join(', ');
const nameOf = (item) => [item.title, optionsOf(item)].filter(Boolean).join(', ');

/** How many of a line the buttons go up to: never by themselves below what is in the cart. */
function mostOf(item) {
  const short = item.notes.find((note) => note.kind === 'insufficient_stock');
  if (short) return Math.max(item.quantity, short.available);
  return item.can_be_bought ? QUANTITY_MAX : item.quantity;
}

function notes(item, set) {
  const told = item.notes.map((note) => [note, noteWords(note)]).filter(([, text]) => text !== null);
  if (told.length === 0) return null;
  return h(
    'ul',
    { class: 'line-notes' },
    told.map(([note, text]) =>
      h(
        'li',
        {},
        text,
        note.kind === 'insufficient_stock' && note.available > 0 && h('button', { class: 'link', type: 'button', onclick: () => set(note.available) }, `Take ${note.available}`),
      ),
    ),
  );
}

/** `set(quantity, spoken)` changes the line. */
function row(item, set) {
  const stepper = createStepper(nameOf(item), (quantity) => set(quantity), item.quantity);
  stepper.limit(mostOf(item));
  const [less, , more] = stepper.element.children;
  less.dataset.focus = `${item.variant_id} less`;
  more.dataset.focus = `${item.variant_id} more`;
  return h(
    'li',
    { class: `bill-row basket-row ${item.can_be_bought ? '' : 'basket-out'}`, 'data-variant': item.variant_id },
    picture(item.image_url, item.title, 'bill-shot'),
    h('div', { class: 'bill-words' }, h('p', { class: 'strong' }, item.title), h('p', { class: 'fine' }, [optionsOf(item), `${item.quantity} × ${formatMoney(item.unit_price)}`].filter(Boolean).join(' · ')), notes(item, set)),
    h('p', { class: 'amount' }, formatMoney(item.total)),
    h(
      'div',
      { class: 'basket-acts' },
      stepper.element,
      h('button', { class: 'link', type: 'button', 'aria-label': `Remove ${nameOf(item)}`, 'data-focus': `${item.variant_id} remove`, onclick: () => set(0) }, 'Remove'),
    ),
  );
}

function till(cart, done) {
  if (cart.shops.length === 1 || !isOneCurrency(cart)) return null;
  const fits = canCheckOut(cart.shops.flatMap((shop) => shop.items));
  return h(
    'div',
    { class: 'stack' },
    h('button', { class: 'go go-wide', type: 'button', disabled: !fits, onclick: () => done([]) }, 'Check out everything'),
    !fits && h('p', { class: 'fine' }, 'Something in it cannot be bought as it is: change or remove it first.'),
  );
}

function shopPart(cart, shop, set, done) {
  const only = cart.shops.length === 1;
  const fits = canCheckOut(shop.items);
  const label = only ? 'Check out' : `Check out ${shop.seller.shop_name}`;
  return h(
    'section',
    { class: 'basket-shop', 'aria-label': shop.seller.shop_name },
    h('h3', { class: 'basket-name' }, icon('stall'), shop.seller.shop_name),
    h('ul', { class: 'bill-rows' }, shop.items.map((item) => row(item, (quantity) => set(item, quantity)))),
    h('dl', { class: 'sums' }, h('div', { class: 'sum' }, h('dt', {}, 'Items, before shipping'), h('dd', {}, formatMoney(shop.total)))),
    h('button', { class: only ? 'go go-wide' : 'second', type: 'button', disabled: !fits, onclick: () => done([shop.seller.id]) }, label),
    only && !fits && h('p', { class: 'fine' }, 'Something in it cannot be bought as it is: change or remove it first.'),
  );
}

/**
 * Shows the cart and has it changed until it is checked out. Resolves with the shops whose
 * lines are bought; empty: all.
 * @param {object} first the cart as it was read
 */
export function askForBasket(sheet, keeper, first) {
  return sheet.ask({
    title: 'Your cart',
    build(done) {
      const said = h('p', { class: 'unseen', role: 'status' });
      const problem = h('p', { class: 'problem', role: 'alert', hidden: true });
      const parts = h('div', { class: 'stack' });
      let busy = false;

      /** One change at a time: the next is of what the last has made. */
      async function set(item, quantity) {
        if (busy) return;
        busy = true;
        parts.setAttribute('aria-busy', 'true');
        problem.hidden = true;
        try {
          draw(await keeper.set(item.variant_id, quantity));
          said.textContent = quantity === 0 ? `${nameOf(item)}: removed` : `${nameOf(item)}: ${quantity} in your cart`;
        } catch (error) {
          problem.textContent = words(error);
          problem.hidden = false;
          draw(await keeper.look().catch(() => first));
        } finally {
          busy = false;
          parts.removeAttribute('aria-busy');
        }
      }

      function draw(cart) {
        const focus = parts.contains(document.activeElement) ? document.activeElement.dataset.focus ?? '' : null;
        const empty = piecesOf(cart) === 0;
        parts.replaceChildren(
          ...(empty
            ? [h('p', {}, 'Nothing in it yet. What you put in here is yours once you have checked out: a cart holds nothing back.')]
            : [...cart.shops.map((shop) => shopPart(cart, shop, set, done)), till(cart, done)].filter(Boolean)),
        );
        if (focus === null) return;
        // What had the focus may be gone with its line, or may not be pressed any more.
        const again = parts.querySelector(`[data-focus="${CSS.escape(focus)}"]:not([disabled])`);
        (again ?? parts.querySelector('button:not([disabled])') ?? document.getElementById('sheet-title'))?.focus();
      }

      draw(first);
      keeper.seen();
      return h('div', { class: 'stack basket' }, said, problem, parts);
    },
  });
}
