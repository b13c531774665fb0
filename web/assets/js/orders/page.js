// One order on the sheet: how it stands, what it came to, its parcels, refunds, returns and claims,
// and a button for whatever its buyer may do now. What a press comes to is answered to the
// caller; nothing is sent from here.

import { addressLines } from '../buying/address.js';
import { bill } from '../buying/bill.js';
import { formatMoney } from '../money.js';
import { h, icon } from '../ui/dom.js';
import { claimWords, lateWords, mayCallOff, mayCancel, mayClaim, mayName, mayReturn, mayTakeBack, mayWithdraw, onTheWay, outcome, owedWords, refundWords, returnWords, statusWords, unitsWords } from './standing.js';

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const on = (time) => day.format(new Date(time));

const link = (label, onclick, attributes = {}) => h('button', { class: 'link', type: 'button', onclick, ...attributes }, label);

function part(title, ...content) {
  return h('section', { class: 'order-part', 'aria-label': title }, h('h3', {}, title), content);
}

/** What became of a line, and what may be done about it. */
function ofLine({ order, returns, claims }, item, done) {
  const units = unitsWords(item);
  const several = order.items.length > 1 || order.status === 'partially_shipped';
  const callOff = several ? mayCallOff(order, item) : 0;
  const sendBack = mayReturn(order, item, returns);
  const claim = mayClaim(order, item, claims);
  if (units === '' && callOff === 0 && sendBack === 0 && claim === 0) return null;
  return h(
    'p',
    { class: 'fine line-acts' },
    units && h('span', { class: 'units' }, units),
    callOff > 0 && link('Call off', () => done({ act: 'callOff', item, most: callOff }), { 'aria-label': `Call off ${item.title}` }),
    claim > 0 && link('It never came', () => done({ act: 'claim', item, most: claim }), { 'aria-label': `${item.title} never came` }),
    sendBack > 0 && link('Send back', () => done({ act: 'sendBack', item, most: sendBack }), { 'aria-label': `Send ${item.title} back` }),
  );
}

function parcels(order, done) {
  if (order.shipments.length === 0) return null;
  const several = order.shipments.length > 1;
  const row = (parcel) =>
    h(
      'li',
      {},
      h('p', {}, h('span', { class: 'strong' }, parcel.carrier.toUpperCase()), parcel.tracking && ` ${parcel.tracking}`),
      h('p', { class: 'fine' }, parcel.delivered_at ? `Sent ${on(parcel.shipped_at)}, arrived ${on(parcel.delivered_at)}` : `Sent ${on(parcel.shipped_at)}`),
      several && !parcel.delivered_at && link('This one has arrived', () => done({ act: 'arrived', parcel }), { 'aria-label': `Parcel ${parcel.tracking || parcel.carrier} has arrived` }),
    );
  return part('Parcels', h('ul', { class: 'told' }, order.shipments.map(row)));
}

function moneyBack(order) {
  if (order.refunds.length === 0) return null;
  const row = (refund) => h('li', { class: `refund refund-${refund.status}` }, h('p', {}, refundWords(refund)), refund.reason && h('p', { class: 'fine' }, refund.reason));
  const owed = owedWords(order);
  return part('Refunds', h('ul', { class: 'told' }, order.refunds.map(row)), owed && h('p', { class: 'problem' }, owed));
}

function sentBack(returns, done) {
  if (returns.length === 0) return null;
  const row = (one) =>
    h(
      'li',
      {},
      h('p', {}, returnWords(one)),
      one.answer && h('p', { class: 'fine' }, `The shop says: ${one.answer}`),
      mayName(one) && link('I have sent it', () => done({ act: 'sent', one }), { 'aria-label': `I have sent ${one.title} back` }),
      mayWithdraw(one) && link('Keep it after all', () => done({ act: 'keep', one }), { 'aria-label': `Keep ${one.title} after all` }),
    );
  return part('Going back', h('ul', { class: 'told' }, returns.map(row)));
}

function neverCame(claims, done) {
  if (claims.length === 0) return null;
  const row = (claim) =>
    h(
      'li',
      {},
      h('p', {}, claimWords(claim)),
      claim.answer && h('p', { class: 'fine' }, `The shop says: ${claim.answer}`),
      claim.decision && h('p', { class: 'fine' }, `The marketplace says: ${claim.decision}`),
      mayTakeBack(claim) && link('It has come after all', () => done({ act: 'cameAfterAll', claim }), { 'aria-label': `${claim.title} has come after all` }),
    );
  return part('Never came', h('ul', { class: 'told' }, claims.map(row)));
}

function acts(order, done) {
  const became = outcome(order);
  return h(
    'div',
    { class: 'stack order-acts' },
    became === 'unpaid' && h('button', { class: 'go go-wide', type: 'button', onclick: () => done({ act: 'pay' }) }, `Pay ${formatMoney(order.total)}`),
    became === 'paid' && onTheWay(order).length > 0 && h('button', { class: 'go go-wide', type: 'button', onclick: () => done({ act: 'arrived', parcel: null }) }, order.shipments.length > 1 ? 'All of it has arrived' : 'It has arrived'),
    became === 'paid' && h('button', { class: 'second', type: 'button', onclick: () => done({ act: 'receipt' }) }, 'Receipt'),
    mayCancel(order) && link('Call the order off', () => done({ act: 'cancel' })),
    link('Back to your orders', () => done({ act: 'back' })),
  );
}

/**
 * Resolves with what is to be done: `{act}` of `pay`, `receipt`, `cancel`, `callOff`,
 * `sendBack`, `sent`, `keep`, `claim`, `cameAfterAll`, `arrived` and `back`, with what it is
 * about.
 * @param {string | null} said what the last act came to @param {string | null} problem why it did not work
 */
export function askAboutOrder(sheet, { order, returns, claims }, said, problem) {
  return sheet.ask({
    title: `Order ${order.number}`,
    trail: `Placed ${on(order.created_at)}`,
    build: (done) =>
      h(
        'div',
        { class: 'stack order', 'data-status': order.status },
        said !== null && h('p', { class: 'said', role: 'status' }, icon('check'), said),
        problem !== null && h('p', { class: 'problem', role: 'alert' }, problem),
        h('p', { class: 'order-status' }, statusWords(order.status)),
        lateWords(order) !== null && h('p', { class: 'problem' }, lateWords(order)),
        bill(order, (item) => ofLine({ order, returns, claims }, item, done)),
        parcels(order, done),
        moneyBack(order),
        neverCame(claims, done),
        sentBack(returns, done),
        h('div', { class: 'goes-to' }, h('p', { class: 'fine' }, 'Goes to'), h('address', {}, addressLines(order.address).map((line) => h('span', {}, line)))),
        acts(order, done),
      ),
  });
}
