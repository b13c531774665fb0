// The state of a room, computed from what the server says and from what this viewer does.
// Pure: no socket, no document, no clock. Everything that is shown of a room is a function
// of this state and the time.

/** The most chat entries kept; older ones leave. */
export const CHAT_KEPT = 200;

export const emptyRoom = Object.freeze({
  me: null,
  stream: null,
  featured: null,
  sales: [],
  viewers: 0,
  chat: [],
  pinned: null,
  // Until when and why this viewer may not chat, or null.
  muted: null,
  holds: {},
  orders: {},
  // Places in line by sale.
  waiting: {},
  notices: 0,
  // Purchases heard so far: they have no id of their own to be told apart by.
  purchases: 0,
});

/** The room after an action; the same object where nothing changed. */
export function reduce(room, action) {
  switch (action.type) {
    case 'hello':
      // Holds and orders are one person's own; the join tells the next person theirs.
      return room.me === action.user ? room : { ...room, me: action.user, muted: null, holds: {}, orders: {}, waiting: {} };
    case 'snapshot':
      return enter(room, action.snapshot, action.missed ?? false);
    case 'events':
      return action.events.reduce(hear, room);
    case 'viewers':
      return room.viewers === action.count ? room : { ...room, viewers: action.count };
    case 'saying':
      return say(room, { kind: 'mine', key: action.key, text: action.text, state: 'sending' });
    case 'said':
      return acknowledge(room, action);
    case 'held':
      return change(room, action.key, (entry) => ({ ...entry, id: action.message, state: 'held' }));
    case 'reviewed':
      // An approved one is heard like any other.
      return action.approved ? room : { ...room, chat: room.chat.filter((entry) => entry.kind !== 'mine' || entry.id !== action.message) };
    case 'unsaid':
      return change(room, action.key, (entry) => ({ ...entry, state: 'failed', error: action.error }));
    case 'unsay':
      return { ...room, chat: room.chat.filter((entry) => entry.key !== action.key) };
    case 'hold':
      return hold(room, action.reservation);
    case 'order':
      return { ...room, orders: { ...room.orders, [action.order]: action.status } };
    case 'waiting':
      return stand(room, action.place);
    case 'standing':
      return { ...room, muted: action.standing.muted ?? null };
    default:
      return room;
  }
}

/**
 * A snapshot replaces everything but what this viewer has said and has no answer to yet.
 * Where it replaces a room that was followed before, it says that there may be a hole.
 */
function enter(room, snapshot, missed) {
  const said = snapshot.chat.map((message) => spoken(message, message.id));
  const hole = missed ? [{ kind: 'notice', key: `missed-${snapshot.epoch}-${snapshot.seq}`, text: 'You were away. Some messages before this are missing.' }] : [];
  const known = new Set(snapshot.chat.map((message) => message.id));
  const unsettled = room.chat.filter((entry) => entry.kind === 'mine' && !known.has(entry.id));
  return {
    ...room,
    stream: snapshot.stream,
    featured: snapshot.featured ?? null,
    sales: snapshot.sales.map((sale) => ({ ...sale, closed: false })),
    viewers: snapshot.viewers,
    chat: [...hole, ...said, ...unsettled].slice(-CHAT_KEPT),
    holds: Object.fromEntries(snapshot.reservations.map((own) => [own.reservation, own])),
    orders: Object.fromEntries(snapshot.orders.map((order) => [order, 'pending_payment'])),
    waiting: Object.fromEntries((snapshot.waiting ?? []).map((place) => [place.sale, place])),
    pinned: snapshot.pinned ? spoken(snapshot.pinned, 'pinned') : null,
    muted: snapshot.standing?.muted ?? null,
  };
}

/** One numbered event. An unknown type is a newer server's, and none of our business. */
function hear(room, event) {
  switch (event.type) {
    case 'chat':
      return hearChat(room, event);
    case 'message_deleted':
      return forget(room, (entry) => entry.id === event.message);
    case 'moderation':
      return forget(room, (entry) => entry.author?.id === event.user);
    case 'pinned':
      return { ...room, pinned: spoken(event.message, 'pinned') };
    case 'unpinned':
      return { ...room, pinned: null };
    case 'notice':
      return announce(room, event);
    case 'host_away':
      return room.stream === null ? room : { ...room, stream: { ...room.stream, host_away: { since: event.since, ends_at: event.ends_at } } };
    case 'host_back':
      return room.stream === null ? room : { ...room, stream: { ...room.stream, host_away: undefined } };
    case 'cover':
      return room.stream === null ? room : { ...room, stream: { ...room.stream, cover_url: event.cover_url } };
    case 'featured':
      return { ...room, featured: newest(room.featured, event.product) };
    case 'unfeatured':
      return { ...room, featured: null };
    case 'product_updated':
      if (room.featured?.id !== event.product.id) return room;
      return { ...room, featured: newest(room.featured, event.product) };
    case 'sale_opened':
      return openSale(room, event.sale);
    case 'sale_updated':
      return updateSale(room, event.sale, event.version, { remaining: event.remaining });
    case 'sale_sold_out':
      return updateSale(room, event.sale, event.version, { remaining: 0 });
    case 'sale_closed':
      return closeSale(room, event.sale);
    case 'purchase':
      return hearPurchase(room, event);
    case 'stream_status':
      return room.stream === null ? room : { ...room, stream: { ...room.stream, status: event.status } };
    default:
      return room;
  }
}

/** A product may be told of twice in any order; the higher version is the truth of its stock. */
function newest(known, heard) {
  if (known?.id !== heard.id || heard.version >= known.version) return heard;
  return { ...known, featured_variant: heard.featured_variant };
}

/** A sale that is over has no line any more. */
function closeSale(room, id) {
  const { [id]: gone, ...waiting } = room.waiting;
  return { ...room, waiting, sales: room.sales.map((sale) => (sale.id === id ? { ...sale, closed: true } : sale)) };
}

function openSale(room, sale) {
  const others = room.sales.filter((known) => known.id !== sale.id && !known.closed);
  return { ...room, sales: [...others, { ...sale, closed: false }] };
}

function updateSale(room, id, version, news) {
  const known = room.sales.find((sale) => sale.id === id);
  if (!known || version <= known.version) return room;
  return { ...room, sales: room.sales.map((sale) => (sale === known ? { ...sale, ...news, version } : sale)) };
}

function hearPurchase(room, event) {
  const purchases = room.purchases + 1;
  const entry = { kind: 'purchase', key: `purchase-${purchases}`, name: event.name ?? null, title: event.title, quantity: event.quantity };
  return say({ ...room, purchases }, entry);
}

function announce(room, { author, text }) {
  const notices = room.notices + 1;
  return say({ ...room, notices }, { kind: 'announcement', key: `announcement-${notices}`, author, text });
}

/** Some messages are gone, wherever they are shown. */
function forget(room, gone) {
  return {
    ...room,
    chat: room.chat.filter((entry) => !gone(entry)),
    pinned: room.pinned !== null && gone(room.pinned) ? null : room.pinned,
  };
}

function spoken(message, key) {
  return {
    kind: 'said',
    key,
    id: message.id,
    author: message.author,
    text: message.text,
    replyTo: message.reply_to ?? null,
    at: message.at,
    acknowledged: true,
  };
}

/**
 * A message of one's own may be heard before or after it is acknowledged. The entry shown
 * while it was on its way becomes the message, under the same key, whichever comes first.
 */
function hearChat(room, message) {
  if (room.chat.some((entry) => entry.id === message.id && entry.kind === 'said')) return room;
  const pending = message.author.id === room.me ? pendingOf(room, message) : undefined;
  if (!pending) return say(room, spoken(message, message.id));
  const entry = { ...spoken(message, pending.key), acknowledged: pending.id === message.id };
  return say({ ...room, chat: room.chat.filter((other) => other !== pending) }, entry);
}

function pendingOf(room, message) {
  const mine = room.chat.filter((entry) => entry.kind === 'mine');
  return (
    mine.find((entry) => entry.id === message.id) ??
    mine.find((entry) => entry.id === undefined && entry.state === 'sending' && entry.text === message.text)
  );
}

/** The message with this request id is committed, under this id. */
function acknowledge(room, { key, message }) {
  const heard = room.chat.find((entry) => entry.kind === 'said' && entry.id === message);
  if (!heard) return change(room, key, (entry) => ({ ...entry, id: message }));
  return {
    ...room,
    chat: room.chat
      .filter((entry) => entry.kind !== 'mine' || entry.key !== key)
      .map((entry) => (entry === heard ? { ...entry, acknowledged: true } : entry)),
  };
}

function change(room, key, work) {
  return { ...room, chat: room.chat.map((entry) => (entry.key === key && entry.kind === 'mine' ? work(entry) : entry)) };
}

function say(room, entry) {
  return { ...room, chat: [...room.chat, entry].slice(-CHAT_KEPT) };
}

/** A hold that was offered to somebody in line takes the place's stead. */
function hold(room, reservation) {
  const { [reservation.sale]: place, ...others } = room.waiting;
  const waiting = reservation.offered ? others : room.waiting;
  return { ...room, waiting, holds: { ...room.holds, [reservation.reservation]: reservation } };
}

function stand(room, place) {
  const { [place.sale]: former, ...waiting } = room.waiting;
  return { ...room, waiting: place.status === 'waiting' ? { ...waiting, [place.sale]: place } : waiting };
}

// --- what the views ask of it -------------------------------------------------------------

/** What a sale is at a time: `soon`, `open`, `sold_out` or `over`. */
export function salePhase(sale, now) {
  if (sale.closed || now >= sale.ends_at) return 'over';
  if (now < sale.opens_at) return 'soon';
  return sale.remaining > 0 ? 'open' : 'sold_out';
}

/** The sale to show: one that runs before one that comes, and before one that is over. */
export function currentSale(room, now) {
  const rank = { open: 0, sold_out: 1, soon: 2, over: 3 };
  const order = (a, b) => rank[salePhase(a, now)] - rank[salePhase(b, now)] || b.opens_at - a.opens_at;
  return [...room.sales].sort(order)[0] ?? null;
}

/** The viewer's own hold in a sale that can still become an order, if any. */
export function ownHold(room, sale, now) {
  return (
    Object.values(room.holds).find(
      (own) => own.sale === sale && (own.status === 'paying' || (own.status === 'held' && own.expires_at > now)),
    ) ?? null
  );
}

/** The viewer's place in a sale's line, if they stand in it. */
export function ownPlace(room, sale) {
  return room.waiting[sale] ?? null;
}

/** Orders of this show that wait for payment. */
export function unpaidOrders(room) {
  return Object.keys(room.orders).filter((order) => room.orders[order] === 'pending_payment');
}

/** Whether this viewer has a hold, an order or a place in line that may still become something else. */
export function hasOpenBusiness(room) {
  return unpaidOrders(room).length > 0 || Object.keys(room.waiting).length > 0 || Object.values(room.holds).some((own) => ['held', 'paying'].includes(own.status));
}

/** `{size: "M", glaze: "Ash"}` → `"Ash, M"`, in a fixed order; empty for a product's only form. */
export function variantName(variant) {
  return Object.keys(variant.options)
    .sort()
    .map((name) => variant.options[name])
    .join(', ');
}
