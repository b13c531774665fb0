// What a person is notified of, in words. Pure.

/**
 * A notification as a line of text; null: nothing to say here, because the room that one is
 * in says it itself, or because the kind is a newer server's.
 *
 * @param {{kind: string, seller?: {name: string}, stream?: {id: string, title: string}, product?: {title: string}}} notification
 * @param {string} here the show that is watched
 */
export function told(notification, here) {
  const { kind, seller, stream, product } = notification;
  const shop = seller?.name ?? 'A shop';
  if (stream !== undefined && stream.id === here) return null;
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
    default:
      return null;
  }
}
