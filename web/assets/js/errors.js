// What a refusal says to a person, by its stable code. The server's own `detail` is for
// developers; it is shown only where it names a field that the person can correct.

/** A refusal, from REST (problem details) or from the socket (`error`). */
export class Refusal extends Error {
  constructor({ code, detail, field, retry_after_ms: retryAfterMs, status }) {
    super(`${code}: ${detail ?? ''}`);
    this.name = 'Refusal';
    this.code = code;
    this.detail = detail ?? '';
    this.field = field ?? null;
    this.retryAfterMs = retryAfterMs ?? null;
    this.status = status ?? null;
  }
}

/** The server could not be reached, or gave no answer in time. */
export class Unreachable extends Error {
  constructor(message = 'no answer') {
    super(message);
    this.name = 'Unreachable';
    this.code = 'unreachable';
  }
}

const WORDS = {
  unreachable: 'No connection right now. Nothing was lost: try again.',
  malformed: 'That could not be read. Reload the page and try again.',
  invalid_parameter: 'Something about that request is not right.',
  unknown_command: 'This page is older than the server. Reload it.',
  idempotency_key_missing: 'That could not be sent safely. Reload the page and try again.',
  signature_invalid: 'That did not come from where it says.',
  unauthenticated: 'Please sign in first.',
  invalid_credentials: 'That e-mail and password do not go together.',
  token_expired: 'You have been signed out. Please sign in again.',
  ticket_invalid: 'Your way in has expired. Reload the page.',
  forbidden: 'That is not yours to do.',
  own_shop: 'You cannot buy from your own shop.',
  message_refused: 'That message is not wanted in this chat.',
  chat_restricted: 'Only some people may chat in this show.',
  banned: "You are banned from this shop's shows.",
  muted: 'You cannot chat in this show for a while.',
  payouts_held: 'Payouts of this shop are held.',
  payout_too_small: 'Too little may be paid out yet.',
  too_early: 'The doors are not open yet.',
  show_over: 'The show is over.',
  email_unconfirmed: 'Confirm your e-mail address first: the link is in your mail.',
  link_invalid: 'This link was used or is too old. Ask for another.',
  account_suspended: 'This account is suspended.',
  not_found: 'That is not there any more.',
  method_not_allowed: 'That cannot be done here.',
  request_timeout: 'The connection was too slow. Try again.',
  conflict: 'Something changed in the meantime. Have another look.',
  in_use: 'Something else still needs it.',
  category_cycle: 'A category cannot stand below itself.',
  wrong_state: 'That is no longer possible.',
  obligations_open: 'Something is still open: orders, holds, shows or money.',
  handle_taken: "That handle is somebody else's. Choose another.",
  email_taken: 'There is an account with this e-mail already. Sign in instead.',
  request_in_flight: 'Still working on it. One moment.',
  insufficient_stock: 'There are not that many in stock.',
  sold_out: 'Sold out. If somebody lets go of theirs, it comes back here.',
  already_waiting: 'You are in line already.',
  waitlist_full: 'The line is full.',
  not_enough_left: 'Fewer are left than you asked for.',
  purchase_limit_reached: 'You already have as many as one person may buy.',
  sale_not_open: 'The sale has not started yet.',
  sale_closed: 'The sale is over.',
  discount_over: 'That discount code is not good right now.',
  discount_used_up: 'That discount code has been used as often as it may be.',
  discount_unknown: 'There is no such discount code.',
  discount_not_for_these: 'That discount code is for none of these items.',
  discount_minimum: 'These items are not worth enough for that discount code.',
  hold_expired: 'Your hold ran out, and the item went back on the table.',
  checkout_expired: 'This took too long, and the items went back on the table.',
  order_expired: 'The order was not paid in time.',
  already_paid: 'This order is paid already.',
  payment_in_progress: 'A payment for this order is still under way.',
  refund_too_large: 'So much is not left to be refunded.',
  payment_disputed: 'A bank has called the payment into question: until that is decided nothing of it goes back.',
  stream_not_live: 'The show is not on air.',
  not_joined: 'One moment, you are not in the room yet.',
  already_joined: 'You are in the room already.',
  picture_unfit: 'That picture cannot be used: choose another.',
  payload_too_large: 'That is too long.',
  unsupported_media_type: 'That could not be read. Reload the page and try again.',
  invalid_body: 'Something is missing or not right.',
  currency_mismatch: 'One order has one currency.',
  not_shipped_there: 'The shop does not ship to this address.',
  request_id_reused: 'That was sent twice with different contents. Reload the page.',
  rate_limited: 'A little slower, please.',
  too_slow: 'Your connection cannot keep up. Reconnecting.',
  internal: 'Something went wrong on our side. Try again.',
  overloaded: 'Very busy right now. Try again in a moment.',
  storage_unavailable: 'Pictures cannot be kept right now. Try again in a moment.',
  room_unavailable: 'The room does not answer right now. Try again in a moment.',
  database_unavailable: 'We cannot save anything right now. Try again in a moment.',
};

/** Every code there are words for. */
export const CODES = Object.keys(WORDS);

/** Words for anything that was thrown. */
export function words(error) {
  return WORDS[error?.code] ?? 'Something went wrong. Try again.';
}

/** Why a card was not charged, in words. */
export function declineWords(failureCode) {
  const reasons = {
    insufficient_funds: 'The card has not enough money on it.',
    expired_card: 'The card has expired.',
    timeout: 'The bank did not answer in time.',
  };
  return reasons[failureCode] ?? 'The bank declined the card. You have not been charged.';
}

/** Whether the same request, under the same key, may succeed a moment later by itself. */
export function worthRetrying(error) {
  return ['unreachable', 'request_in_flight', 'request_timeout', 'overloaded', 'database_unavailable'].includes(error?.code);
}
