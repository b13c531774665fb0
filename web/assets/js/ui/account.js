// Who is signed in: their orders, what they were told, and the way out.

import { showOrder, askWhichOrder } from '../orders/list.js';
import { words } from '../errors.js';
import { Dismissed } from './sheet.js';
import { h } from './dom.js';
import { askAboutNews } from './news.js';

/**
 * @param {{sheet, session, api, toast, stream: string, unread: () => number, onRead: (count: number) => void}} tools
 * @param {(order: string) => Promise<void>} payLater
 * @param {string | null} first an order to begin with
 */
export async function showAccount(tools, payLater, first = null) {
  const { sheet, session, api, toast, unread } = tools;
  const foot = (done) =>
    h(
      'div',
      { class: 'account-foot' },
      h('button', { class: 'link', type: 'button', onclick: () => done({ act: 'news' }) }, unread() > 0 ? `News (${unread()})` : 'News'),
      h('button', { class: 'link', type: 'button', onclick: () => done({ act: 'leave' }) }, 'Sign out'),
    );
  sheet.begin();
  try {
    let wish = first === null ? { act: 'back' } : { act: 'open', order: first };
    while (wish.act !== 'leave') {
      if (wish.act === 'back') wish = await askWhichOrder(sheet, api, session.user().display_name, foot);
      else if (wish.act === 'news') wish = await askAboutNews(tools);
      else if (wish.act === 'open') {
        const { order } = wish;
        wish = { act: await showOrder(tools, order) };
        if (wish.act === 'pay') return await payLater(order);
      }
    }
    await session.logout();
  } catch (error) {
    if (!(error instanceof Dismissed)) toast(words(error), 'problem');
  }
  return sheet.close();
}
