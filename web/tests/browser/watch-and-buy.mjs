// Two viewers in a real browser. One, on a phone, joins while writing, grabs a unit of the
// flash sale and pays with a card that works. The other, on a desktop, buys what is on show
// the ordinary way, is declined, and pays with a card whose bank asks back.

import assert from 'node:assert/strict';

import { DEADLINE_MS } from './browser.mjs';
import { act, approveAtTheBank, button, createAccount, enterAddress, payWith, run, total } from './people.mjs';

// A simulated show opens a sale again and again; this is how long one may let wait.
const SALE_DEADLINE_MS = 180_000;
const LINES_WANTED = 5;

async function watchChat(page) {
  await page.waitForFunction((wanted) => document.querySelectorAll('.chat-list .line').length >= wanted, LINES_WANTED, { timeout: DEADLINE_MS });
  await page.locator('.badge-live').waitFor();
  const first = await page.locator('.chat-list .line').last().textContent();
  // It is alive: something is said that was not there before.
  await page.waitForFunction((known) => document.querySelector('.chat-list .line:last-child')?.textContent !== known, first, { timeout: DEADLINE_MS });
}

/** Says something; the message has to come back, acknowledged, as text and not as markup. */
async function say(page, words) {
  const own = page.locator('.line-own[data-acknowledged="true"]', { hasText: words });
  await own.waitFor();
  assert.equal(await own.locator('.words').textContent(), words);
}

async function write(page, words) {
  await page.getByLabel('Chat message').fill(words);
  await page.getByLabel('Chat message').press('Enter');
}

/** Holds a unit of a sale. Others buy, too: when they were quicker, waits for another chance. */
async function grab(page) {
  const until = Date.now() + SALE_DEADLINE_MS;
  const held = page.getByRole('heading', { name: 'Where to?' });
  const refused = page.getByRole('heading', { name: 'That did not work' });
  const beaten = page.locator('.toast-problem');
  const chance = page.locator('.go-sale:not([disabled])', { hasText: 'Grab it' });
  while (Date.now() < until) {
    await chance.waitFor({ timeout: SALE_DEADLINE_MS });
    // The sale may sell out between the look and the click, and a click that is reported
    // as failed may have been one: what the page shows next decides.
    await chance.click({ timeout: 5_000 }).catch(() => null);
    await held.or(refused).or(beaten).or(chance).first().waitFor({ timeout: SALE_DEADLINE_MS });
    if (await held.isVisible()) return;
    if (await refused.isVisible()) await button(page, 'Back to the show').click();
    if (await beaten.first().isVisible()) await beaten.first().waitFor({ state: 'detached' });
  }
  throw new Error('no unit of a flash sale could be had in time');
}

/** Looks at the prices, orders, and answers what it costs. */
async function placeOrder(page, shot) {
  await button(page, 'Place the order').waitFor();
  const price = await total(page);
  await shot('order');
  await button(page, 'Place the order').click();
  await button(page, `Pay ${price}`).waitFor();
  return price;
}

async function seeReceipt(page, price, shot) {
  await page.getByRole('heading', { name: 'Yours. Thank you!' }).waitFor();
  assert.equal(await total(page), price, 'the receipt is over what was ordered');
  assert.match(await page.locator('.order-number').textContent(), /\d/);
  await shot('receipt');
  await button(page, 'Back to the show').click();
  await page.locator('dialog').waitFor({ state: 'hidden' });
}

async function onThePhone(page, shot) {
  await watchChat(page);
  await page.locator('.sale:visible, .product:visible').first().waitFor();
  await shot('room');

  const words = `Hello from the <b>phone</b> ${run}`;
  await write(page, words);
  await createAccount(page, 'Pocket Viewer');
  await say(page, words);
  await button(page, 'Send a heart').click();

  await grab(page);
  await shot('address');
  await enterAddress(page);
  const price = await placeOrder(page, shot);
  assert.ok(await page.locator('.sheet-clock').isVisible(), 'the hold counts down');
  await shot('payment');
  await payWith(page, 'A card that works');
  await seeReceipt(page, price, shot);
}

async function onTheDesktop(page, shot) {
  await watchChat(page);
  const buy = page.locator('.product .go:not([disabled])');
  await buy.waitFor();
  await shot('room');
  await buy.click();
  await createAccount(page, 'Desk Viewer');
  await enterAddress(page);
  const price = await placeOrder(page, shot);
  await payWith(page, 'A card that is declined');
  await page.getByText('The bank declined the card').waitFor();
  await shot('declined');
  await payWith(page, 'A card whose bank asks back');
  await approveAtTheBank(page);
  await seeReceipt(page, price, shot);
  const words = `Got one ${run}`;
  await write(page, words);
  await say(page, words);

  // Signed in by the cookie alone, and the message is there for who comes later.
  await page.reload();
  await button(page, 'Account of Desk Viewer').waitFor();
  await page.locator('.line', { hasText: words }).waitFor();
  await button(page, 'Account of Desk Viewer').click();
  await page.locator('dialog .order-row', { hasText: 'Paid' }).click();
  assert.equal(await total(page), price);
}

export async function watchAndBuy({ browser, baseUrl, screenshots }) {
  await act({ browser, screen: 'phone', baseUrl, screenshots, part: onThePhone, name: 'watched, chatted and bought' });
  await act({ browser, screen: 'desktop', baseUrl, screenshots, part: onTheDesktop, name: 'watched, chatted and bought' });
}
