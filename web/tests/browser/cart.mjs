// Two buyers with a cart. One, on a phone, fills it before signing in, is told of a price that
// has changed, is refused a code and uses another, is declined, pays with a card whose bank
// asks back, and calls the order off. The other, on a desktop, answers the bank on its own
// page, gets a parcel, sends it back, and is told of money that came too late.

import assert from 'node:assert/strict';

import { act, approveAtTheBank, button, createAccount, enterAddress, payWith, run, total } from './people.mjs';
import { signInHost } from './host.mjs';

const dialog = (page) => page.locator('dialog');
const status = (page, words) => dialog(page).locator('.order-status', { hasText: words }).waitFor();
const openOrder = (page) => dialog(page).locator('.order-row').first().click();
const cart = (page, pieces) => button(page, `Cart: ${pieces} pieces`);

/** Puts two more of the line-up into the cart, and what is held up to the camera; answers the variants. */
async function fill(page, shot) {
  const held = page.locator('.product .go-cart:not([disabled])');
  await held.waitFor();
  const shown = [await page.locator('.product').innerText()];
  await held.click();
  await button(page, 'Cart: 1 piece').waitFor();
  // What is shown may change at any time.
  shown.push(await page.locator('.product').innerText());
  await button(page, 'In this show').click();
  const rows = dialog(page).locator('.lined-up');
  await rows.first().waitFor();
  await shot('line-up');
  const titles = await rows.locator('.strong').allTextContents();
  const last = rows.nth(titles.findLastIndex((title) => shown.every((text) => !text.includes(title))));
  for (const pieces of [2, 3]) {
    await last.getByRole('button', { name: /into the cart/ }).click();
    await cart(page, pieces).waitFor({ state: 'attached' });
  }
  assert.match(await dialog(page).locator('.said').textContent(), /: in your cart$/);
  await button(page, 'To the cart').click();
}

async function payAndBeAsked(page, price) {
  await payWith(page, 'A card that is declined');
  await page.getByText('The bank declined the card').waitFor();
  await payWith(page, 'A card whose bank asks back');
  await button(page, 'Not now').waitFor();
  assert.ok(await page.getByText(`you who pays ${price}`).isVisible());
}

async function callOff(page, shot) {
  await button(page, 'Call the order off').click();
  await button(page, 'No, leave it').waitFor();
  await shot('call-off');
  await button(page, 'Call it off').click();
  await status(page, 'Called off');
  await dialog(page).getByText(/for what was called off: /).waitFor();
  assert.equal(await button(page, 'Call the order off').count(), 0);
  await shot('called-off');
}

/** The refund is told of, and leads back to the order. */
async function readNews(page, shot) {
  await button(page, 'Back to your orders').click();
  await button(page, /^News/).click();
  const news = dialog(page).locator('[data-kind="refund_paid"]').first();
  await news.waitFor();
  await shot('news');
  await news.getByRole('button', { name: /^Order / }).click();
  await status(page, 'Called off');
}

const onThePhone = (host) => async (page, shot) => {
  await fill(page, shot);
  await createAccount(page, 'Cart Viewer');
  const lines = dialog(page).locator('.basket-row');
  await lines.nth(1).waitFor();
  assert.equal(await lines.count(), 2, 'what a guest has chosen is there after signing in');
  const changed = await lines.last().getAttribute('data-variant');
  await button(page, 'Close').click();
  await host.setPrice(changed, 1_234);
  await cart(page, 3).click();
  const dearer = dialog(page).locator(`[data-variant="${changed}"]`);
  await dearer.getByText('The price is now €12.34').waitFor();
  await dearer.getByRole('button', { name: /^More/ }).click();
  await dearer.getByText('3 × €12.34').waitFor();
  await shot('cart');
  await lines.first().getByRole('button', { name: /^Remove/ }).click();
  await lines.nth(1).waitFor({ state: 'detached' });
  assert.ok(await dialog(page).evaluate((sheet) => sheet.contains(document.activeElement)), 'the focus stays in the sheet');

  await button(page, 'Check out').click();
  await enterAddress(page);
  await button(page, 'Place the order').waitFor();
  const whole = await total(page);
  const code = page.getByLabel('Discount code');
  await code.fill('NO-SUCH-CODE');
  await button(page, 'Use it').click();
  await page.getByText('There is no such discount code.').waitFor();
  assert.equal(await total(page), whole);
  await shot('code-refused');
  await code.fill(`less-${run}`);
  await button(page, 'Use it').click();
  await dialog(page).locator('.sum', { hasText: `Discount (LESS-${run.toUpperCase()})` }).waitFor();
  const price = await total(page);
  assert.notEqual(price, whole);
  await shot('code-used');
  await button(page, 'Place the order').click();
  await button(page, `Pay ${price}`).waitFor();
  await button(page, 'Close').click();
  await button(page, 'Cart: empty').waitFor();

  // Put away unpaid: it waits with the orders.
  await button(page, /^Account of Cart Viewer/).click();
  await openOrder(page);
  await status(page, 'Not paid yet');
  await button(page, `Pay ${price}`).click();
  await payAndBeAsked(page, price);
  await button(page, 'Not now').click();
  await page.locator('.toast', { hasText: 'waits for your answer' }).waitFor();
  await button(page, /^Account of Cart Viewer/).click();
  await openOrder(page);
  await button(page, `Pay ${price}`).click();
  await approveAtTheBank(page);
  await page.getByRole('heading', { name: 'Yours. Thank you!' }).waitFor();
  assert.equal(await total(page), price);
  await button(page, 'Back to the show').click();

  await button(page, /^Account of Cart Viewer/).click();
  await openOrder(page);
  await status(page, 'Paid');
  await shot('order-paid');
  await callOff(page, shot);
  await readNews(page, shot);
};

/** A bank's page, at an address of its own; what it is told of nobody believes. */
async function openBank(page, baseUrl) {
  const bank = `${baseUrl}/bank`;
  await page.route('**/bank', (route) => route.fulfill({ contentType: 'text/html', body: `<h1>Bank</h1><a href="${baseUrl}/?result=whatever">Back to the shop</a>` }));
  const asks = async (route) => {
    const answer = await route.fetch();
    const payment = await answer.json();
    if (payment.status === 'requires_action') payment.next_action = { type: 'redirect', url: bank };
    await route.fulfill({ response: answer, json: payment });
  };
  await page.route('**/orders/*/payments', asks);
  await page.route('**/orders/*/payments/*', asks);
}

async function sendAndTakeBack(page, host, number, shot) {
  const order = await host.order(number);
  await host.send(order.id, `JD${run}`);
  await button(page, /^Account of Bank Viewer/).click();
  await openOrder(page);
  await status(page, 'On its way');
  assert.ok(await dialog(page).getByText(`JD${run}`.toUpperCase()).isVisible());
  await shot('order-shipped');
  await dialog(page).getByRole('button', { name: /never came$/ }).click();
  await page.getByLabel('Why').fill('Nothing was at my door');
  await shot('never-came');
  await button(page, 'Tell the shop').click();
  await dialog(page).getByText('The shop has not answered yet').waitFor();
  await shot('order-claimed');
  await dialog(page).getByRole('button', { name: /has come after all$/ }).click();
  await dialog(page).getByText('nobody looks for it any more').waitFor();
  await button(page, 'It has arrived').click();
  await status(page, 'Delivered');
  await dialog(page).getByRole('button', { name: /^Send .* back$/ }).click();
  await page.getByLabel('Why').fill('It is too small for my hands');
  await shot('send-back');
  await button(page, 'Ask the shop').click();
  await dialog(page).getByText('The shop has not answered yet').waitFor();
  const asked = await host.returnOf(order.id);
  await host.approve(asked.id, 'Please send it to 1 Quay Street');
  await host.receive(asked.id, 1);
  await button(page, 'Back to your orders').click();
  await openOrder(page);
  await dialog(page).getByText(/for what you sent back: /).waitFor();
  await dialog(page).getByText('The shop says: Please send it to 1 Quay Street').waitFor();
  await shot('order-returned');
  await button(page, 'Close').click();
}

/** Money that came after its order had ended: nowhere is it called paid. */
async function payTooLate(page, shot) {
  await page.locator('.product .go:not([disabled])').click();
  await button(page, 'Send it here').click();
  await button(page, 'Place the order').click();
  await button(page, /^Pay /).waitFor();
  await page.route('**/orders/*', async (route) => {
    const answer = await route.fetch();
    const order = await answer.json();
    const refund = { id: order.id, kind: 'late_payment', status: 'submitted', amount: order.total, reason: '', items: [], created_at: order.created_at };
    await route.fulfill({ response: answer, json: { ...order, status: 'expired', paid_at: null, refunds: [refund] } });
  });
  await payWith(page, 'A card that works');
  await page.getByRole('heading', { name: 'Refunded' }).waitFor();
  assert.match(await dialog(page).getByRole('alert').textContent(), /came after the order had ended.*goes back to you/);
  assert.equal(await page.getByText(/Thank you/).count(), 0, 'nobody is thanked for it');
  await shot('too-late');
}

const onTheDesktop = (host, baseUrl) => async (page, shot) => {
  await page.locator('.product .go-cart:not([disabled])').click();
  await button(page, 'Cart: 1 piece').click();
  await createAccount(page, 'Bank Viewer');
  await button(page, 'Check out').click();
  await enterAddress(page);
  await button(page, 'Place the order').waitFor();
  const price = await total(page);
  await button(page, 'Place the order').click();
  await button(page, `Pay ${price}`).waitFor();
  await openBank(page, baseUrl);
  await payWith(page, 'A card whose bank asks back');
  await button(page, 'Go to your bank').click();
  await page.getByRole('heading', { name: 'Bank' }).waitFor();
  await page.getByRole('link', { name: 'Back to the shop' }).click();
  await page.getByRole('heading', { name: 'Yours. Thank you!' }).waitFor();
  assert.equal(await total(page), price);
  assert.equal(new URL(page.url()).search, '', 'nothing of the bank stays in the address');
  const number = Number(await page.locator('.order-number').textContent());
  await shot('back-from-bank');
  await button(page, 'Back to the show').click();
  await sendAndTakeBack(page, host, number, shot);
  await payTooLate(page, shot);
};

export async function fillTheCart({ browser, baseUrl, password, screenshots }) {
  assert.ok(password, 'the demo accounts need a password: DEMO_PASSWORD');
  const host = await signInHost(baseUrl, password);
  await host.addCode(`LESS-${run}`, 1_500);
  // A code that is refused is an answer of 404, of which the browser says so itself.
  const expected = (fault) => fault.includes('the server responded with a status of 4');
  await act({ browser, screen: 'phone', baseUrl, screenshots, part: onThePhone(host), name: 'filled a cart, used a code, paid and called off', expected });
  await act({ browser, screen: 'desktop', baseUrl, screenshots, part: onTheDesktop(host, baseUrl), name: 'came back from a bank, got a parcel and sent it back', expected });
}
