// What a person is notified of, in words. Pure.

/**
 * A notification as a line of text; null: nothing to say here, because the room that one is
 * in says it itself, or because the kind is a newer server's.
 *
 * @param {{kind: string, seller?: {name: string} | {shop_name: string}, stream?: {id: string, title: string}, product?: {title: string}}} notification
 *   as the socket says it, or as it stands in the list
 * @param {string | null} here the show that is watched; null: all of it is told
 */
export function told(notification, here) {
  const { stream } = notification;
  if (here !== null && stream?.id === here) return null;
  return words(notification);
}

function words({ kind, seller, stream, product }) {
  const shop = seller?.name ?? seller?.shop_name ?? 'A shop';
  switch (kind) {
    case 'show_started':
      return `${shop} is on air: ${stream?.title ?? 'a show'}`;
    case 'show_scheduled':
      return `${shop} has scheduled a show: ${stream?.title ?? 'soon'}`;
    case 'waitlist_offer':
      return `It is your turn in another show: ${product?.title ?? 'it'} is held for you.`;
    case 'review_answered':
      return `${shop} has answered your review${product ? ` of ${product.title}` : ''}.`;
    case 'order_paid':
      return `Goods of ${shop} were paid and can be sent.`;
    case 'order_shipped':
      return `${shop} has sent you a parcel.`;
    case 'order_delivered':
      return `A parcel that ${shop} sent has arrived.`;
    case 'order_cancelled':
      return `Goods of ${shop} were called off.`;
    case 'refund_paid':
      return `Your money for goods of ${shop} has gone back to you.`;
    case 'return_requested':
      return `A buyer wants to send goods of ${shop} back.`;
    case 'return_answered':
      return `${shop} has answered what you want to send back.`;
    case 'return_sent':
      return `What goes back to ${shop} is on its way.`;
    case 'return_waits':
      return `Goods of ${shop} are to go back, and ${shop} has not said in time what becomes of it. Somebody of the marketplace decides.`;
    case 'return_lapsed':
      return `Goods of ${shop} were not sent back in time. The return is over.`;
    case 'claim_opened':
      return `A buyer says that goods of ${shop} did not come.`;
    case 'claim_answered':
      return `${shop} has said what it knows of what did not come.`;
    case 'claim_decided':
      return `It is decided about goods of ${shop} that did not come.`;
    case 'shop_approved':
      return 'Your shop is open.';
    case 'shop_rejected':
      return 'Your application for a shop was turned down.';
    case 'shop_suspended':
      return 'Your shop is suspended.';
    case 'shop_reinstated':
      return 'Your shop may sell again.';
    case 'payout_paid':
      return 'A payout to your shop has arrived.';
    case 'payout_failed':
      return 'A payout to your shop did not arrive.';
    case 'dispute_opened':
      return `A bank has called a payment for goods of ${shop} into question.`;
    case 'dispute_won':
      return `A disputed payment for goods of ${shop} stands.`;
    case 'dispute_lost':
      return `A disputed payment for goods of ${shop} went back to its buyer.`;
    default:
      return null;
  }
}

// What is told to a shop is of an order that is another's.
const TO_SHOPS = ['order_paid', 'return_requested', 'return_sent', 'claim_opened'];

/** The buyer's own order that a notification of the list is about; null: none. */
export const orderOf = ({ kind, order }) => (order && !TO_SHOPS.includes(kind) ? order : null);

/** The show that one may still go to from a notification of the list; null: none. */
export const showOf = ({ stream }, here) => (stream && stream.id !== here && ['scheduled', 'live'].includes(stream.status) ? stream : null);
