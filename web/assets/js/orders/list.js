// My orders: the list, a page for each, and what is done there until it is put away.

import { createAct } from '../acts.js';
import { underWay } from '../buying/payment.js';
import { showReceipt } from '../buying/receipt.js';
import { words } from '../errors.js';
import { formatMoney } from '../money.js';
import { h } from '../ui/dom.js';
import { askAboutOrder } from './page.js';
import { askForParcel, askToCallOff, askToCancel, askToClaim, askToSendBack } from './questions.js';
import { lateWords, statusWords } from './standing.js';

function row(order, done) {
  return h(
    'li',
    {},
    h(
      'button',
      { class: 'option order-row', type: 'button', onclick: () => done({ act: 'open', order: order.id }) },
      h(
        'span',
        { class: 'option-words' },
        h('span', { class: 'strong' }, order.items.map((item) => item.title).join(', ')),
        h('span', { class: 'fine' }, `${order.number} · ${lateWords(order) === null ? statusWords(order.status) : 'Refunded: paid too late'}`),
      ),
      h('span', { class: 'amount' }, formatMoney(order.total)),
    ),
  );
}

/** Resolves with `{act: 'open', order}`, or with what `foot` answers. */
export async function askWhichOrder(sheet, api, name, foot) {
  sheet.busy('Your orders');
  const orders = [];
  let cursor = null;
  for (;;) {
    const page = await api.orders(cursor);
    orders.push(...page.items);
    const shown = orders.length - page.items.length;
    const answer = await sheet.ask({
      title: name,
      trail: 'Your orders',
      build: (done) =>
        h(
          'div',
          { class: 'stack' },
          orders.length === 0 ? h('p', {}, 'Nothing bought yet.') : h('ul', { class: 'options' }, orders.map((order) => row(order, done))),
          page.next_cursor && h('button', { class: 'second', type: 'button', autofocus: shown > 0, onclick: () => done({ act: 'more' }) }, 'Earlier orders'),
          foot(done),
        ),
    });
    if (answer.act !== 'more') return answer;
    cursor = page.next_cursor;
  }
}

/** What a press on an order's page does. Each resolves with what to say of it, or null. */
function deeds({ sheet, api }, order, keys) {
  return {
    async cancel() {
      if (!(await askToCancel(sheet, order))) return null;
      sheet.busy('One moment');
      // A bank that waits for an answer keeps the order from ending.
      const open = underWay(order);
      if (open?.status === 'requires_action') await api.cancelPayment(order.id, open.id);
      await api.cancelOrder(order.id);
      return 'Called off.';
    },
    async callOff({ item, most }) {
      const send = (what) => api.cancelItem(order.id, item.id, what, keys.key({ item: item.id, ...what }));
      return (await askToCallOff(sheet, item, most, send)) && 'Called off.';
    },
    async sendBack({ item, most }) {
      const send = ({ quantity, reason }) => {
        const body = { order_item_id: item.id, quantity, reason };
        return api.askForReturn(order.id, body, keys.key(body));
      };
      return (await askToSendBack(sheet, item, most, send)) && 'The shop has been asked.';
    },
    async sent({ one }) {
      return (await askForParcel(sheet, one, (parcel) => api.sendReturn(order.id, one.id, parcel))) && 'The shop knows that it is on its way.';
    },
    async keep({ one }) {
      sheet.busy('One moment');
      await api.withdrawReturn(order.id, one.id);
      return 'You are keeping it.';
    },
    async claim({ item, most }) {
      const send = ({ quantity, reason }) => {
        const body = { order_item_id: item.id, quantity, reason };
        return api.openClaim(order.id, body, keys.key({ claim: body }));
      };
      return (await askToClaim(sheet, item, most, send)) && 'The shop has been told.';
    },
    async cameAfterAll({ claim }) {
      sheet.busy('One moment');
      await api.withdrawClaim(order.id, claim.id);
      return 'Thank you: nobody looks for it any more.';
    },
    async arrived({ parcel }) {
      sheet.busy('One moment');
      if (parcel === null) await api.confirmDelivery(order.id);
      else await api.confirmParcel(order.id, parcel.id);
      return 'Thank you: it has arrived.';
    },
    async receipt() {
      sheet.busy('Your receipt');
      await showReceipt(sheet, await api.receipt(order.id), 'Back to the order');
      return null;
    },
  };
}

/** Shows an order until it is put away. Resolves with `pay` or `back`. */
export async function showOrder(tools, id) {
  const { sheet, api } = tools;
  const keys = createAct();
  let said = null;
  let problem = null;
  for (;;) {
    sheet.busy('Your order');
    const [order, returns, claims] = await Promise.all([api.order(id), api.returns(id), api.claims(id)]);
    const wish = await askAboutOrder(sheet, { order, returns: returns.items, claims: claims.items }, said, problem);
    if (['pay', 'back'].includes(wish.act)) return wish.act;
    [said, problem] = [null, null];
    try {
      said = await deeds(tools, order, keys)[wish.act](wish);
      keys.over();
    } catch (error) {
      // What is no refusal ends the page; what is one is said on it.
      if (!error.code) throw error;
      problem = words(error);
    }
  }
}
