// Who is signed in: their last orders, and the way out.

import { formatMoney } from '../money.js';
import { showReceipt } from '../buying/receipt.js';
import { words } from '../errors.js';
import { Dismissed } from './sheet.js';
import { h } from './dom.js';

const STATUS = {
  pending_payment: 'Not paid yet', paid: 'Paid', partially_shipped: 'Partly on its way', shipped: 'On its way', delivered: 'Delivered',
  completed: 'Completed', cancelled: 'Cancelled', expired: 'Expired',
};
const MOST = 10;

function orderRow(order, done) {
  return h(
    'li',
    {},
    h(
      'button',
      { class: 'option order-row', type: 'button', onclick: () => done(order) },
      h('span', { class: 'option-words' }, h('span', { class: 'strong' }, order.items.map((item) => item.title).join(', ')), h('span', { class: 'fine' }, STATUS[order.status] ?? order.status)),
      h('span', { class: 'amount' }, formatMoney(order.total)),
    ),
  );
}

/** @param {{sheet, session, api, toast}} tools @param {(order: string) => Promise<void>} payLater */
export async function showAccount({ sheet, session, api, toast }, payLater) {
  sheet.begin();
  try {
    sheet.busy('Your orders');
    const { items } = await api.orders();
    const orders = items.slice(0, MOST);
    const chosen = await sheet.ask({
      title: session.user().display_name,
      trail: 'Your orders',
      build: (done) =>
        h(
          'div',
          { class: 'stack' },
          orders.length === 0 ? h('p', {}, 'Nothing bought yet.') : h('ul', { class: 'options' }, orders.map((order) => orderRow(order, done))),
          h('button', { class: 'link', type: 'button', onclick: () => done('leave') }, 'Sign out'),
        ),
    });
    if (chosen === 'leave') await session.logout();
    else if (chosen.status === 'pending_payment') return await payLater(chosen.id);
    else if (!['cancelled', 'expired'].includes(chosen.status)) await showReceipt(sheet, await api.receipt(chosen.id));
  } catch (error) {
    if (!(error instanceof Dismissed)) toast(words(error), 'problem');
  }
  return sheet.close();
}
