// Puts a room together: the socket, the state, and the parts of the page that show it.

import { createPurchases } from '../buying/purchase.js';
import { createClock } from '../clock.js';
import { words } from '../errors.js';
import { createLive } from '../live.js';
import { told } from '../notifications.js';
import { emptyRoom, hasOpenBusiness, reduce, unpaidOrders } from '../room.js';
import { createStore } from '../store.js';
import { uuid } from '../uuid.js';
import { showAccount } from './account.js';
import { createChat } from './chat.js';
import { createComposer } from './composer.js';
import { h } from './dom.js';
import { createFloats } from './floats.js';
import { createHeader } from './header.js';
import { showList } from './lobby.js';
import { askAboutLineUp } from './line-up.js';
import { createProduct } from './product.js';
import { createSale } from './sale.js';
import { Dismissed, createSheet } from './sheet.js';
import { createShopbar } from './shopbar.js';
import { createStage } from './stage.js';

const TICK_MS = 250;
const MAX_CHAT_CHARS = 500;
// A blink of the connection is nobody's business.
const QUIET_MS = 1_200;

const WAY_IN = { entering: 'Connecting', joining: 'Connecting', waiting: 'Connection lost. Coming back' };

/**
 * @param {{root: HTMLElement, stream: string, session, api, toast, cart, paying: object | null}} options `paying`
 *   is what the viewer comes back from, off a bank's page
 */
export function showRoom({ root, stream, session, api, toast, cart, paying }) {
  const clock = createClock();
  const store = createStore(reduce, emptyRoom);
  const sheet = createSheet({ now: clock.now, afterwards: () => offers.querySelector('.go:not([disabled], [hidden])') ?? chat.element.querySelector('ol') });
  const floats = createFloats({ send: (kind, count) => live.call({ cmd: 'react', kind, count }).catch(() => null) });
  const live = createLive({
    stream,
    clock,
    ticket: () => api.ticket(stream),
    renewal: async () => (await session.token()) ?? (await api.ticket(stream)).ticket,
    hasOwn: () => hasOpenBusiness(store.get()),
    dispatch: store.dispatch,
    onReactions: floats.hear,
    onState: showConnection,
  });
  const purchases = createPurchases({ sheet, session, api, live, store, clock, toast, cart, stream });

  const header = createHeader({ onAccount: account });
  const stage = createStage(header.element, floats.element);
  const product = createProduct({ onBuy: purchases.buy, onAdd: putIntoCart });
  const shopbar = createShopbar({ onLineUp: lineUp, onCart: purchases.basket });
  const sale = createSale({ now: clock.now, onGrab: purchases.grab, onWait: purchases.wait, onUnwait: unwait, onCheckOut: purchases.checkOut, onRelease: release });
  const chat = createChat({ onAgain: (entry) => say(entry.text, entry.key), onDrop: (entry) => store.dispatch({ type: 'unsay', key: entry.key }) });
  const composer = createComposer({ onSay: (text) => sayAsSomebody(text), onReact: react, maxChars: MAX_CHAT_CHARS });
  const unpaid = h('button', { class: 'unpaid', type: 'button', hidden: true, onclick: () => purchases.payLater(unpaidOrders(store.get())[0]) }, 'An order waits for your payment');
  const offers = h('div', { class: 'offers' }, unpaid, shopbar.element, sale.element, product.element);
  root.replaceChildren(h('main', { class: 'room' }, stage.element, h('div', { class: 'panel' }, chat.element, offers, composer.element)));

  new ResizeObserver(() => stage.element.style.setProperty('--offers-height', `${offers.offsetHeight}px`)).observe(offers);

  let quiet = null;
  function showConnection(state, why) {
    clearTimeout(quiet);
    const text = WAY_IN[state] ?? null;
    // The first connection and a quick return show nothing.
    if (text === null) stage.connection(null);
    else quiet = setTimeout(() => stage.connection(text), QUIET_MS);
    if (state === 'over') {
      const title = why?.code === 'not_found' ? 'There is no such show' : 'You have left the show';
      const back = h('p', {}, h('a', { class: 'link', href: '/' }, 'See what is on air'));
      stage.curtain(h('div', { class: 'curtain-words' }, h('p', { class: 'curtain-title' }, title), why?.code && h('p', {}, words(why)), back));
    }
  }

  async function account() {
    if (purchases.running()) return;
    if (session.user() === null) await purchases.signIn('Chat and buy under your name');
    else await showAccount({ sheet, session, api, toast, stream, unread: () => unread, onRead: setUnread }, purchases.payLater);
  }

  let unread = 0;
  function setUnread(count) {
    unread = count;
    header.renderNews(count);
  }

  async function countUnread() {
    setUnread(0);
    if (session.user() !== null) await api.unread().then(({ count }) => setUnread(count), () => null);
  }

  async function putIntoCart({ product: of, variant, quantity }) {
    try {
      await cart.add(variant.id, quantity);
      toast(`${of.title}: in your cart`);
    } catch (error) {
      toast(words(error), 'problem');
    }
  }

  async function lineUp() {
    if (purchases.running()) return;
    sheet.begin();
    try {
      sheet.busy('In this show');
      const { items } = await api.lineUp(stream);
      if ((await askAboutLineUp(sheet, items, cart.add)) === 'cart') return await purchases.basket();
    } catch (error) {
      if (!(error instanceof Dismissed)) toast(words(error), 'problem');
    }
    return sheet.close();
  }

  function react(kind) {
    floats.tap(kind);
  }

  async function release(held) {
    try {
      await live.call({ cmd: 'release', reservation: held.reservation, request_id: uuid() });
      store.dispatch({ type: 'hold', reservation: { ...held, status: 'released' } });
    } catch (error) {
      toast(words(error), 'problem');
    }
  }

  async function unwait(sale) {
    try {
      await live.call({ cmd: 'unwait', sale: sale.id, request_id: uuid() });
      store.dispatch({ type: 'waiting', place: { sale: sale.id, status: 'left' } });
    } catch (error) {
      toast(words(error), 'problem');
    }
  }

  async function sayAsSomebody(text) {
    if (session.user() === null) await purchases.signIn('To say something');
    if (session.user() === null) return false;
    say(text, uuid());
    return true;
  }

  /** Says it under a key that stays the same if it has to be said again. */
  async function say(text, key) {
    store.dispatch({ type: 'unsay', key });
    store.dispatch({ type: 'saying', key, text });
    chat.toEnd();
    try {
      const { message, result } = await live.call({ cmd: 'chat', text, request_id: key });
      store.dispatch({ type: result === 'held_for_review' ? 'held' : 'said', key, message });
    } catch (error) {
      store.dispatch({ type: 'unsaid', key, error: error.code ?? 'internal' });
    }
  }

  function showStatus(room, before) {
    const status = room.stream?.status;
    if (!status || status === before?.stream?.status) return;
    if (status === 'live') stage.curtain(null);
    else if (status === 'scheduled') stage.curtain(h('div', { class: 'curtain-words' }, h('p', { class: 'curtain-title' }, 'Starting soon'), h('p', {}, 'Stay here: the show begins by itself.')));
    else showEnd();
  }

  async function showEnd() {
    const next = h('div', {});
    stage.curtain(h('div', { class: 'curtain-words' }, h('p', { class: 'curtain-title' }, 'The show is over'), h('p', {}, 'What you have bought is yours; what you hold can still be paid.'), next));
    const { items } = await api.liveStreams().catch(() => ({ items: [] }));
    const others = items.filter((other) => other.id !== stream);
    if (others.length > 0) next.replaceChildren(h('p', { class: 'strong' }, 'On air now'), showList(others));
  }

  function tellOwn(room, action) {
    if (action.type === 'notification') setUnread(unread + 1);
    if (purchases.running()) return;
    if (action.type === 'hold' && action.reservation.status === 'expired') toast('Your hold ran out, and the item went back on the table.');
    if (action.type === 'hold' && action.reservation.offered && action.reservation.status === 'held') toast('It is your turn: it is held for you.');
    if (action.type === 'waiting' && action.place.status === 'ended') toast('The sale is over, and nothing came free for you.');
    if (action.type === 'order' && action.status === 'paid') toast('Paid. Thank you!');
    if (action.type === 'notification') {
      const text = told(action.notification, stream);
      if (text !== null) toast(text);
    }
  }

  store.view((room, before) => {
    stage.render(room);
    header.render(room);
    product.render(room, before);
    sale.render(room);
    chat.render(room, before);
    unpaid.hidden = unpaidOrders(room).length === 0;
    showStatus(room, before);
    stage.away(room.stream?.status === 'live' && room.stream.host_away !== undefined);
  });
  store.listen(tellOwn);
  header.renderUser(session.user());
  countUnread();
  session.onChange((user) => {
    header.renderUser(user);
    countUnread();
    live.reidentify();
  });
  cart.onChange(shopbar.renderCart);
  shopbar.renderCart(cart.count());
  setInterval(sale.tick, TICK_MS);
  addEventListener('online', live.nudge);
  document.addEventListener('visibilitychange', () => !document.hidden && live.nudge());
  live.start();
  if (paying) purchases.comeBack(paying);
}
