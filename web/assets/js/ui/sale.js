// The flash sale: price, countdown by the server's clock, what is left, and one button.
// When units are held for this viewer it counts down their hold instead.

import { countdown, spokenTime } from '../clock.js';
import { formatMoney, percentOff } from '../money.js';
import { currentSale, ownHold, ownPlace, salePhase } from '../room.js';
import { h, icon, picture, setText } from './dom.js';
import { createStepper } from './stepper.js';

// A sale that is over stays in sight this long, so that nobody wonders where it went.
const FAREWELL_MS = 10_000;
const URGENT_MS = 15_000;

/**
 * @param {object} options
 * @param {() => number} options.now the server's time
 * @param {(sale: object, quantity: number) => Promise<void>} options.onGrab
 * @param {(sale: object, quantity: number) => Promise<void>} options.onWait stand in line
 * @param {(sale: object) => Promise<void>} options.onUnwait
 * @param {(hold: object) => void} options.onCheckOut
 * @param {(hold: object) => Promise<void>} options.onRelease
 */
export function createSale({ now, onGrab, onWait, onUnwait, onCheckOut, onRelease }) {
  const kicker = h('p', { class: 'sale-kicker' }, icon('bolt'), h('span', {}, 'Flash sale'));
  const clock = h('p', { class: 'sale-clock', role: 'timer' });
  const shot = h('div', { class: 'card-shot' });
  const title = h('h2', { class: 'card-title' });
  const price = h('strong', { class: 'price price-sale' });
  const usual = h('s', { class: 'price-usual' });
  const off = h('span', { class: 'off' });
  const bar = h('div', { class: 'bar', role: 'progressbar', 'aria-label': 'Units left', 'aria-valuemin': '0' }, h('span', { class: 'bar-fill' }));
  const left = h('p', { class: 'left' });
  const terms = h('p', { class: 'terms' });
  const stepper = createStepper('Units');
  const grab = h('button', { class: 'go go-sale', type: 'button', onclick: () => busily(grab, () => (salePhase(sale, now()) === 'sold_out' ? onWait : onGrab)(sale, stepper.value())) }, 'Grab it');
  const leave = h('button', { class: 'link', type: 'button', onclick: () => busily(leave, () => onUnwait(sale)) }, 'Leave the line');
  const checkOut = h('button', { class: 'go go-sale', type: 'button', onclick: () => onCheckOut(held) }, 'Check out');
  const release = h('button', { class: 'link', type: 'button', onclick: () => busily(release, () => onRelease(held)) }, 'Let it go');
  const element = h(
    'section',
    { class: 'card sale', 'aria-label': 'Flash sale', hidden: true },
    h('div', { class: 'awning', 'aria-hidden': 'true' }),
    h('div', { class: 'sale-head' }, kicker, clock),
    shot,
    h('div', { class: 'card-words' }, title, h('div', { class: 'card-line' }, price, usual, off)),
    h('div', { class: 'sale-left' }, bar, h('div', { class: 'sale-line' }, left, terms)),
    h('div', { class: 'card-acts' }, stepper.element, release, leave, grab, checkOut),
  );
  let room = null;
  let sale = null;
  let held = null;
  let place = null;
  let shownSale = null;
  let overSince = null;

  async function busily(button, work) {
    button.disabled = true;
    button.setAttribute('aria-busy', 'true');
    try {
      await work();
    } finally {
      button.removeAttribute('aria-busy');
      button.disabled = false;
      draw();
    }
  }

  function introduce() {
    if (shownSale === sale.id) return;
    shownSale = sale.id;
    overSince = null;
    shot.replaceChildren(picture(sale.image_url, sale.title, 'shot'));
    setText(title, sale.title);
    const money = (minor) => formatMoney({ minor, currency: sale.currency });
    setText(price, money(sale.price_minor));
    const percent = percentOff(sale.price_minor, sale.usual_price_minor);
    setText(usual, percent > 0 ? money(sale.usual_price_minor) : '');
    setText(off, percent > 0 ? `−${percent}%` : '');
    bar.setAttribute('aria-valuemax', String(sale.quantity));
  }

  function drawStock(phase) {
    bar.firstElementChild.style.setProperty('--full', String(Math.min(1, sale.remaining / sale.quantity)));
    bar.setAttribute('aria-valuenow', String(sale.remaining));
    setText(left, phase === 'sold_out' ? `All ${sale.quantity} taken` : `${sale.remaining} of ${sale.quantity} left`);
    setText(terms, place ? `You are ${place.position === 1 ? 'next' : `number ${place.position}`} in line` : `${sale.per_buyer} per person`);
  }

  function drawActs(phase) {
    const mine = held !== null;
    checkOut.hidden = !mine;
    release.hidden = !mine || held.status !== 'held';
    // Who is in line gets what comes free without another press.
    grab.hidden = mine || place !== null;
    leave.hidden = mine || place === null;
    const most = phase === 'sold_out' ? sale.quantity : sale.remaining;
    stepper.limit(Math.min(sale.per_buyer, Math.max(most, 1)));
    stepper.element.hidden ||= mine || place !== null || !['open', 'sold_out'].includes(phase);
    const label = { open: 'Grab it', soon: 'Not yet', sold_out: 'Wait in line', over: 'Over' }[phase];
    setText(grab, grab.hasAttribute('aria-busy') ? 'One moment' : label);
    if (!grab.hasAttribute('aria-busy')) grab.disabled = !['open', 'sold_out'].includes(phase);
  }

  function draw() {
    if (room === null) return;
    const time = now();
    sale = currentSale(room, time);
    const phase = sale && salePhase(sale, time);
    held = sale && ownHold(room, sale.id, time);
    place = sale && ownPlace(room, sale.id);
    if (phase === 'over' && held === null) overSince ??= time;
    else overSince = null;
    const gone = sale === null || (overSince !== null && time - overSince > FAREWELL_MS);
    element.hidden = gone;
    const ofProduct = !gone && phase !== 'over' && room.featured?.id === sale.product;
    element.parentElement?.classList.toggle('has-sale', ofProduct);
    // Sold out: on a phone, too, the product may still be had at its usual price.
    element.parentElement?.classList.toggle('sale-first', ofProduct && (phase !== 'sold_out' || held !== null || place !== null));
    if (gone) return;
    introduce();
    element.className = `card sale sale-${phase} ${held ? 'sale-held' : ''}`;
    drawStock(phase);
    drawActs(phase);
    drawClock(phase, time);
  }

  function drawClock(phase, time) {
    const until = held ? held.expires_at : phase === 'soon' ? sale.opens_at : sale.ends_at;
    const rest = until - time;
    const what = held ? 'Yours for' : phase === 'soon' ? 'Opens in' : 'Ends in';
    setText(kicker.lastElementChild, held ? `${held.quantity} held for you` : phase === 'sold_out' ? 'Sold out for now' : 'Flash sale');
    setText(clock, phase === 'over' && !held ? 'Over' : held?.status === 'paying' ? 'Paying' : countdown(rest));
    clock.setAttribute('aria-label', `${what} ${spokenTime(Math.ceil(rest / 10_000) * 10_000)}`);
    clock.classList.toggle('urgent', rest > 0 && rest < URGENT_MS && phase !== 'soon');
  }

  return {
    element,
    render(next) {
      room = next;
      draw();
    },
    tick: draw,
  };
}
