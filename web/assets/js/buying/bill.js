// Lines and sums of a checkout, an order or a receipt, as on a till roll. All figures are
// the server's; nothing is added up here.

import { formatMoney } from '../money.js';
import { h, picture } from '../ui/dom.js';

function options(item) {
  return Object.values(item.options ?? {}).join(', ');
}

function row(item, below) {
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
      below(item),
    ),
    h('p', { class: 'amount' }, formatMoney(item.total)),
  );
}

function sum(label, money, strong = false) {
  return h('div', { class: `sum ${strong ? 'sum-total' : ''}` }, h('dt', {}, label), h('dd', {}, formatMoney(money)));
}

function discount(priced) {
  if (!priced.discount_total?.minor) return null;
  const off = { ...priced.discount_total, minor: -priced.discount_total.minor };
  return sum(priced.discount_code ? `Discount (${priced.discount_code})` : 'Discount', off);
}

function percent(bps) {
  return `${Number((bps / 100).toFixed(2))} %`;
}

function tax(line) {
  return sum(line.included ? `Includes ${percent(line.rate_bps)} tax` : `Tax (${percent(line.rate_bps)})`, line.amount);
}

/**
 * The bill of anything with items, items_total, discount_total, shipping_total, taxes and total. Tax that is added
 * stands above the total, tax that the prices contain below it.
 * @param {(item: object) => Node | null} below what stands below a line's words
 */
export function bill(priced, below = () => null) {
  const shipping = priced.shipping_total.minor === 0 ? h('div', { class: 'sum' }, h('dt', {}, 'Shipping'), h('dd', {}, 'Free')) : sum('Shipping', priced.shipping_total);
  const taxes = priced.taxes ?? [];
  const [added, within] = [taxes.filter((line) => !line.included), taxes.filter((line) => line.included)];
  return h(
    'div',
    { class: 'bill' },
    h('ul', { class: 'bill-rows' }, priced.items.map((item) => row(item, below))),
    h('dl', { class: 'sums' }, sum('Items', priced.items_total), discount(priced), shipping, added.map(tax), sum('Total', priced.total, true), within.map(tax)),
  );
}
