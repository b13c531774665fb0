// The receipt of a paid order.

import { addressLines } from './address.js';
import { bill } from './bill.js';
import { h, icon } from '../ui/dom.js';

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'short' });

function goesTo(address) {
  return h('div', { class: 'goes-to' }, h('p', { class: 'fine' }, 'Goes to'), h('address', {}, addressLines(address).map((line) => h('span', {}, line))));
}

/** Shows the receipt and waits until it is put away. */
export function showReceipt(sheet, receipt, back = 'Back to the show') {
  const paidAt = receipt.paid_at ?? receipt.created_at;
  return sheet.ask({
    title: 'Yours. Thank you!',
    trail: 'Receipt',
    build: (done) =>
      h(
        'div',
        { class: 'receipt' },
        h('dl', { class: 'facts' }, h('dt', {}, 'Order'), h('dd', { class: 'order-number' }, String(receipt.number ?? '')), h('dt', {}, 'Date'), h('dd', {}, paidAt ? moment.format(new Date(paidAt)) : '')),
        bill(receipt),
        h('div', { class: 'receipt-foot' }, receipt.address && goesTo(receipt.address), h('p', { class: 'stamp' }, icon('check'), 'Paid')),
        h('button', { class: 'go go-wide', type: 'button', autofocus: true, onclick: () => done() }, back),
      ),
  });
}
