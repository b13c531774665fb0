// What somebody was told, as a list in the sheet: what is new first marked, then read. Leads
// to the order or the show that it is about.

import { orderOf, showOf, told } from '../notifications.js';
import { h } from './dom.js';

const when = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

function row(one, here, done) {
  const order = orderOf(one);
  const show = showOf(one, here);
  return h(
    'li',
    { class: `news ${one.read_at ? '' : 'news-new'}`, 'data-kind': one.kind },
    h('p', {}, !one.read_at && h('span', { class: 'news-mark' }, 'New'), told(one, null) ?? 'There is news.'),
    one.reason && h('p', { class: 'fine' }, one.reason),
    h(
      'p',
      { class: 'fine news-foot' },
      h('time', { datetime: one.created_at }, when.format(new Date(one.created_at))),
      order && h('button', { class: 'link', type: 'button', onclick: () => done({ act: 'open', order: order.id }) }, `Order ${order.number}`),
      show && h('a', { class: 'link', href: `/live/${show.id}` }, show.status === 'live' ? 'Watch' : 'See the show'),
    ),
  );
}

/** Resolves with `{act: 'open', order}` or `{act: 'back'}`. What is shown counts as read. */
export async function askAboutNews({ sheet, api, stream, onRead }) {
  sheet.busy('Your news');
  const news = [];
  let cursor = null;
  for (;;) {
    const page = await api.notifications(cursor);
    news.push(...page.items);
    const fresh = page.items.filter((one) => !one.read_at).map((one) => one.id);
    if (fresh.length > 0) api.markRead(fresh).then(({ count }) => onRead(count), () => null);
    const answer = await sheet.ask({
      title: 'News',
      trail: 'What you were told',
      build: (done) =>
        h(
          'div',
          { class: 'stack' },
          news.length === 0 ? h('p', {}, 'Nothing yet.') : h('ul', { class: 'told' }, news.map((one) => row(one, stream, done))),
          page.next_cursor && h('button', { class: 'second', type: 'button', onclick: () => done({ act: 'more' }) }, 'Earlier news'),
          h('button', { class: 'link', type: 'button', onclick: () => done({ act: 'back' }) }, 'Back to your orders'),
        ),
    });
    if (answer.act !== 'more') return answer;
    cursor = page.next_cursor;
  }
}
