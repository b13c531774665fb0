// Lines and sums of a checkout, an order or a receipt, as on a till roll. All figures are
// the server's; nothing is added up here.

import { formatMoney } from '../money.js';
import { h, picture } from '../ui/dom.js';

function options(item) {
  return Object.values(item.options ?? {}).join(', ');
}

function row(item) {
  return h(
    'li',
    { class: 'bill-row' },
    picture(item.image_url, item.title, 'bill-shot'),
    h(
      'div',
      { class: 'bill-words' },
      h('p', { class: 'strong' }, item.title),
      h('p', { class: 'fine' }, [options(item), `${item.quantity} × ${formatMoney(item.unit_price)}`].filter(Boolean).join(' · ')),
      item.reservation_id && h('p', { class: 'fine flash-note' }, 'Flash sale price'),
    ),
    h('p', { class: 'amount' }, formatMoney(item.total)),
  );
}

function sum(label, money, strong = false) {
  return h('div', { class: `sum ${strong ? 'sum-total' : ''}` }, h('dt', {}, label), h('dd', {}, formatMoney(money)));
}

/** The bill of anything with items, items_total, shipping_total and total. */
export function bill(priced) {
  const shipping = priced.shipping_total.minor === 0 ? h('div', { class: 'sum' }, h('dt', {}, 'Shipping'), h('dd', {}, 'Free')) : sum('Shipping', priced.shipping_total);
  return h(
    'div',
    { class: 'bill' },
    h('ul', { class: 'bill-rows' }, priced.items.map(row)),
    h('dl', { class: 'sums' }, sum('Items', priced.items_total), shipping, sum('Total', priced.total, true)),
  );
}
