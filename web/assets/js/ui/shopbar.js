// The two ways from a show to its goods: everything that it has, and the cart.

import { h, icon, setText } from './dom.js';

/** @param {{onLineUp: () => void, onCart: () => void}} options */
export function createShopbar({ onLineUp, onCart }) {
  const count = h('span', { class: 'cart-count', 'aria-hidden': 'true', hidden: true });
  const cart = h('button', { class: 'pill', type: 'button', 'aria-label': 'Cart: empty', onclick: onCart }, icon('bag'), 'Cart', count);
  const element = h('div', { class: 'shopbar' }, h('button', { class: 'pill', type: 'button', onclick: onLineUp }, icon('stall'), 'In this show'), cart);
  return {
    element,
    renderCart(pieces) {
      count.hidden = pieces === 0;
      setText(count, pieces > 99 ? '99+' : String(pieces));
      cart.setAttribute('aria-label', pieces === 0 ? 'Cart: empty' : `Cart: ${pieces} ${pieces === 1 ? 'piece' : 'pieces'}`);
    },
  };
}
