// The product held up to the camera: its price and stock as they are now, its variants, and
// buttons that buy it the ordinary way or put it into the cart.

import { formatMoney, priceRange } from '../money.js';
import { variantName } from '../room.js';
import { h, icon, picture, setText } from './dom.js';
import { createStepper } from './stepper.js';

const FEW = 5;

/**
 * @param {{onBuy: (line: object) => void, onAdd: (line: object) => Promise<void>}} options a line is
 *   `{product, variant, quantity}`
 */
export function createProduct({ onBuy, onAdd }) {
  const shot = h('div', { class: 'card-shot' });
  const title = h('h2', { class: 'card-title' });
  const price = h('p', { class: 'price' });
  const stock = h('p', { class: 'stock' });
  const chips = h('div', { class: 'chips', role: 'radiogroup', 'aria-label': 'Variant' });
  const stepper = createStepper('Quantity');
  const buy = h('button', { class: 'go', type: 'button', onclick: order }, 'Buy');
  const put = h('button', { class: 'go-cart', type: 'button', onclick: add }, icon('bag'), h('span', { 'aria-hidden': 'true' }, '+'));
  const element = h(
    'section',
    { class: 'card product', 'aria-label': 'On show now', hidden: true },
    shot,
    h('div', { class: 'card-words' }, title, h('div', { class: 'card-line' }, price, stock)),
    chips,
    h('div', { class: 'card-acts' }, stepper.element, put, buy),
  );
  let product = null;
  let chosen = null;
  let shownPicture = null;

  const variant = () => product?.variants.find((one) => one.id === chosen) ?? null;

  function order() {
    if (variant()) onBuy({ product, variant: variant(), quantity: stepper.value() });
  }

  async function add() {
    if (!variant() || put.hasAttribute('aria-busy')) return;
    put.setAttribute('aria-busy', 'true');
    try {
      await onAdd({ product, variant: variant(), quantity: stepper.value() });
    } finally {
      put.removeAttribute('aria-busy');
    }
  }

  /** A new product or one held up anew starts with the variant in the host's hand. */
  function choose(next, before) {
    const again = next.id === before?.id && next.featured_variant === before?.featured_variant;
    if (again && next.variants.some((one) => one.id === chosen)) return;
    const inStock = next.variants.find((one) => one.available > 0) ?? next.variants[0];
    chosen = next.featured_variant ?? inStock?.id ?? null;
  }

  function chip(one) {
    const input = h('input', { type: 'radio', name: 'variant', value: one.id, checked: one.id === chosen, onchange: () => pick(one.id) });
    return h('label', { class: `chip ${one.available === 0 ? 'chip-out' : ''}` }, input, h('span', {}, variantName(one) || 'Standard'));
  }

  function pick(id) {
    chosen = id;
    words();
  }

  function words() {
    const one = variant();
    const range = priceRange(product.variants);
    const minor = one?.price_minor ?? range?.from;
    setText(price, minor === undefined ? '' : formatMoney({ minor, currency: product.currency }));
    const left = one?.available ?? 0;
    setText(stock, left === 0 ? 'Sold out' : left <= FEW ? `Only ${left} left` : `${left} in stock`);
    stock.className = `stock ${left === 0 ? 'stock-none' : left <= FEW ? 'stock-few' : ''}`;
    stepper.limit(Math.min(left, 10));
    buy.disabled = left === 0;
    buy.setAttribute('aria-label', `Buy ${product.title}`);
    put.disabled = left === 0;
    put.setAttribute('aria-label', `Put ${product.title} into the cart`);
  }

  function drawChips() {
    const focused = chips.contains(document.activeElement) ? document.activeElement.value : null;
    chips.replaceChildren(...(product.variants.length > 1 ? product.variants.map(chip) : []));
    chips.hidden = product.variants.length < 2;
    if (focused) chips.querySelector(`input[value="${CSS.escape(focused)}"]`)?.focus();
  }

  return {
    element,
    render(room, before) {
      if (before && before.featured === room.featured) return;
      const next = room.featured;
      element.hidden = next === null;
      if (next === null) {
        product = null;
        return;
      }
      choose(next, product);
      product = next;
      if (shownPicture !== `${next.id} ${next.image_url}`) {
        shownPicture = `${next.id} ${next.image_url}`;
        shot.replaceChildren(picture(next.image_url, next.title, 'shot'));
      }
      setText(title, next.title);
      drawChips();
      words();
    },
  };
}
