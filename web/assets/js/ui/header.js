// The line above the picture: whose show it is, whether it is on air, how many watch, and
// who is signed in.

import { h, icon, setText } from './dom.js';

const STATUS = { live: 'Live', scheduled: 'Soon', ended: 'Ended', cancelled: 'Off' };
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

/** @param {{onAccount: () => void}} options */
export function createHeader({ onAccount }) {
  const initial = h('span', { class: 'shop-mark', 'aria-hidden': 'true' });
  const title = h('h1', { class: 'show-title' });
  const shop = h('p', { class: 'shop-name' });
  const badge = h('span', { class: 'badge' });
  const count = h('span', {});
  const viewers = h('span', { class: 'viewers', role: 'img', hidden: true }, icon('eye'), count);
  const about = h('div', { class: 'shop', hidden: true }, initial, h('div', { class: 'shop-words' }, title, shop));
  const who = h('span', { class: 'account-name' });
  const news = h('span', { class: 'account-news', 'aria-hidden': 'true', hidden: true });
  const account = h('button', { class: 'account', type: 'button', onclick: onAccount }, icon('person'), who, news);
  let name = null;
  let unread = 0;

  function label() {
    const fresh = unread === 0 ? '' : `, ${unread} new`;
    account.setAttribute('aria-label', name === null ? 'Sign in' : `Account of ${name}${fresh}`);
    news.hidden = name === null || unread === 0;
    setText(news, unread > 99 ? '99+' : String(unread));
  }
  const element = h(
    'header',
    { class: 'top' },
    about,
    h('div', { class: 'top-end' }, badge, viewers, account),
  );

  return {
    element,
    render({ stream, viewers: watching }) {
      if (!stream) return;
      about.hidden = false;
      viewers.hidden = false;
      setText(initial, (stream.shop.trim()[0] ?? '?').toUpperCase());
      setText(title, stream.title);
      setText(shop, stream.shop);
      setText(badge, STATUS[stream.status] ?? '');
      badge.className = `badge badge-${stream.status}`;
      setText(count, compact.format(watching));
      viewers.setAttribute('title', `${watching} watching`);
      viewers.setAttribute('aria-label', `${watching} watching`);
      document.title = `${stream.title} · ${stream.shop} · Hawker`;
    },
    renderUser(user) {
      setText(who, user ? user.display_name : 'Sign in');
      name = user?.display_name ?? null;
      label();
    },
    /** How much was told that was not read. */
    renderNews(count) {
      unread = count;
      label();
    },
  };
}
