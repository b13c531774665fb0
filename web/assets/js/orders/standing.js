// How an order stands, in words, and what its buyer may do with it. Pure: the server decides,
// this only keeps the page from offering what it would refuse.

import { formatMoney } from '../money.js';

const STATUS = {
  pending_payment: 'Not paid yet', paid: 'Paid', partially_shipped: 'Partly on its way', shipped: 'On its way', delivered: 'Delivered',
  completed: 'Completed', cancelled: 'Called off', expired: 'Not paid in time',
};
// Before any of these nothing is paid; after them nothing is owed.
const PAID = ['paid', 'partially_shipped', 'shipped', 'delivered', 'completed'];
const GIVEN_UP = ['rejected', 'withdrawn'];

export const statusWords = (status) => STATUS[status] ?? status;

const latePayment = (order) => order.refunds.find((refund) => refund.kind === 'late_payment') ?? null;

/**
 * What became of paying an order: `unpaid`, `paid`, `late` (money came after the order had
 * ended and goes back), or `ended`. A captured payment alone does not make it paid.
 */
export function outcome(order) {
  if (PAID.includes(order.status)) return 'paid';
  if (order.status === 'pending_payment') return 'unpaid';
  if (order.paid_at && latePayment(order) === null) return 'paid';
  const captured = order.payments.some((payment) => payment.status === 'captured');
  return latePayment(order) !== null || captured ? 'late' : 'ended';
}

/** What is said of money that came too late; null: none did. */
export function lateWords(order) {
  if (outcome(order) !== 'late') return null;
  const refund = latePayment(order);
  const amount = formatMoney(refund?.amount ?? order.total);
  const start = `Your payment of ${amount} came after the order had ended, and the goods were gone.`;
  return refund?.status === 'succeeded' ? `${start} All of it is back with you.` : `${start} All of it goes back to you: it is on its way.`;
}

const WHY = { cancellation: 'for what was called off', return: 'for what you sent back', not_received: 'for what never came', goodwill: 'as a courtesy', late_payment: 'because the payment came too late' };

/** A refund, and how far it is. */
export function refundWords(refund) {
  const amount = formatMoney(refund.amount);
  const why = WHY[refund.kind] ?? '';
  const text = {
    succeeded: `${amount} ${why}: back with you`,
    failed: `${amount} ${why}: it could not be sent back yet, and somebody is looking into it`,
  }[refund.status];
  return text ?? `${amount} ${why}: on its way back to you`;
}

const RETURN = {
  requested: 'The shop has not answered yet', approved: 'The shop takes it back: send it', rejected: 'The shop does not take it back',
  received: 'It has arrived at the shop, and your money is on its way', refunded: 'Your money is back with you', withdrawn: 'You are keeping it',
};

/** A return, and how far it is. */
export function returnWords(one) {
  const far = one.status === 'approved' && one.sent_at ? 'It is on its way to the shop' : RETURN[one.status];
  return `${one.quantity} × ${one.title}. ${far ?? one.status}.`;
}

const CLAIM = {
  open: 'The shop has not answered yet', answered: 'The shop has answered, and the marketplace decides', upheld: 'It was decided for you: your money goes back to you',
  rejected: 'It was decided for the shop', withdrawn: 'It has come after all',
};

/** What a buyer says never came, and how far that is. */
export const claimWords = (claim) => `${claim.quantity} × ${claim.title}. ${CLAIM[claim.status] ?? claim.status}.`;

/** What still goes back of an order's money, where a refund alone does not say it; null: nothing is owed. */
export function owedWords(order) {
  const failed = order.refunds.some((refund) => refund.status === 'failed');
  return failed && order.owed_back?.minor > 0 ? `${formatMoney(order.owed_back)} is still to go back to you.` : null;
}

/** Units of a line that were neither sent nor called off. */
export const unsent = (item) => item.quantity - item.cancelled - item.shipped;

/** What became of a line's units; empty: nothing yet. */
export function unitsWords(item) {
  const parts = [[item.cancelled, 'called off'], [item.shipped - item.delivered, 'on the way'], [item.delivered - item.returned, 'arrived'], [item.returned, 'sent back']];
  const told = parts.filter(([units]) => units > 0);
  if (told.length === 1 && told[0][0] === item.quantity) return told[0][1];
  return told.map(([units, words]) => `${units} ${words}`).join(', ');
}

/** The whole order can be called off: nothing of it was sent. */
export const mayCancel = (order) => order.status === 'pending_payment' || (order.status === 'paid' && order.items.every((item) => item.shipped === 0));

/** How many units of a line may be called off by themselves. */
export const mayCallOff = (order, item) => (['paid', 'partially_shipped'].includes(order.status) ? unsent(item) : 0);

/** Parcels that have not arrived. */
export const onTheWay = (order) => order.shipments.filter((parcel) => !parcel.delivered_at);

/** Units of a line that have arrived and are in no return. */
export function mayReturn(order, item, returns) {
  if (!PAID.includes(order.status)) return 0;
  const taken = returns.filter((one) => one.order_item_id === item.id && !GIVEN_UP.includes(one.status));
  return Math.max(0, item.delivered - taken.reduce((sum, one) => sum + one.quantity, 0));
}

/** Units of a line that were sent, have not arrived and are in no claim. */
export function mayClaim(order, item, claims) {
  if (!PAID.includes(order.status)) return 0;
  const taken = claims.filter((claim) => claim.order_item_id === item.id && !GIVEN_UP.includes(claim.status));
  return Math.max(0, item.shipped - item.delivered - taken.reduce((sum, claim) => sum + claim.quantity, 0));
}

/** A claim that its buyer may still take back: nobody has decided it. */
export const mayTakeBack = (claim) => ['open', 'answered'].includes(claim.status);

/** A return that its buyer may still think better of. */
export const mayWithdraw = (one) => ['requested', 'approved'].includes(one.status) && !one.sent_at;

/** A return whose parcel its buyer has not named yet. A server that asks for none has no such field. */
export const mayName = (one) => one.status === 'approved' && one.sent_at === null;
