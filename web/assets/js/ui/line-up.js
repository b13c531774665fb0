// Everything that a show has for sale, in the sheet; from there into the cart.

import { words } from '../errors.js';
import { formatMoney } from '../money.js';
import { variantName } from '../room.js';
import { choice } from './fields.js';
import { h, picture } from './dom.js';

function variantWords(variant) {
  const name = variantName(variant) || 'Standard';
  return variant.available === 0 ? `${name} · sold out` : name;
}

function row(product, add) {
  const first = product.variants.find((variant) => variant.available > 0) ?? product.variants[0];
  if (first === undefined) return null;
  let chosen = first;
  const price = h('p', { class: 'fine' });
  const button = h('button', { class: 'second', type: 'button', 'aria-label': `Put ${product.title} into the cart`, onclick: () => add(product, chosen, button) }, 'Into the cart');
  const several = product.variants.length > 1;
  const options = product.variants.map((variant) => [variant.id, variantWords(variant)]);
  const variants = several && choice('Which', { onchange: (event) => pick(event.target.value) }, options, first.id);

  function pick(id) {
    chosen = product.variants.find((variant) => variant.id === id);
    price.textContent = chosen.available === 0 ? 'Sold out' : formatMoney(chosen.price);
    button.disabled = chosen.available === 0;
  }

  pick(first.id);
  return h('li', { class: 'lined-up', 'data-product': product.id }, picture(product.image_url, product.title, 'bill-shot'), h('div', { class: 'bill-words' }, h('p', { class: 'strong' }, product.title), price), variants, button);
}

/**
 * Resolves with `cart` when the buyer wants to see theirs.
 * @param {(variant: string, quantity: number) => Promise<void>} put
 */
export function askAboutLineUp(sheet, products, put) {
  return sheet.ask({
    title: 'In this show',
    build(done) {
      const said = h('p', { class: 'said', role: 'status', hidden: true });
      const problem = h('p', { class: 'problem', role: 'alert', hidden: true });

      async function add(product, variant, button) {
        if (button.hasAttribute('aria-busy')) return;
        button.setAttribute('aria-busy', 'true');
        problem.hidden = true;
        try {
          await put(variant.id, 1);
          said.textContent = `${[product.title, variantName(variant)].filter(Boolean).join(', ')}: in your cart`;
          said.hidden = false;
        } catch (error) {
          problem.textContent = words(error);
          problem.hidden = false;
        } finally {
          button.removeAttribute('aria-busy');
        }
      }

      const rows = products.map((product) => row(product, add)).filter(Boolean);
      return h(
        'div',
        { class: 'stack' },
        rows.length === 0 ? h('p', {}, 'Nothing is lined up.') : h('ul', { class: 'told line-up' }, rows),
        h('div', { class: 'line-up-foot' }, said, problem, h('button', { class: 'go go-wide', type: 'button', onclick: () => done('cart') }, 'To the cart')),
      );
    },
  });
}
