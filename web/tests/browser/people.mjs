// What every visit to the page has in common: who comes, where things go, how it is paid, and
// that nothing went wrong behind the scenes.

import assert from 'node:assert/strict';
import path from 'node:path';

import { openPage } from './browser.mjs';

export const button = (page, name) => page.getByRole('button', { name, exact: typeof name === 'string' });

/** What tells this run's people and words from those of another. */
export const run = Date.now().toString(36);

/** Fills the sheet that asks who this is. */
export async function createAccount(page, name) {
  await page.getByLabel('Your name in the chat').fill(name);
  await page.getByLabel('E-mail').fill(`${name.toLowerCase().replaceAll(' ', '-')}-${run}@example.com`);
  await page.getByLabel('Password').fill(`correct horse ${run}`);
  await button(page, 'Create account').click();
}

export async function enterAddress(page) {
  await page.getByLabel('Full name').fill('Demo Buyer');
  await page.getByLabel('Street and number').fill('12 Quay Street');
  await page.getByLabel('Postcode').fill('20457');
  await page.getByLabel('Town').fill('Hamburg');
  await page.getByLabel('Country').selectOption('DE');
  await button(page, 'Use this address').click();
}

export const total = async (page) => (await page.locator('dialog .sum-total dd').textContent()).trim();

export async function payWith(page, card) {
  await page.getByLabel(card).check();
  await button(page, /^Pay /).click();
}

/** The second step, on the test provider's own page, and back. */
export async function approveAtTheBank(page) {
  await button(page, 'Go to your bank').click();
  await page.getByRole('heading', { name: 'Test bank' }).waitFor();
  await button(page, 'Approve').click();
}

/** A part of the test on a screen of its own. */
export async function act({ browser, screen, baseUrl, screenshots, part, name, address = baseUrl, expected = () => false }) {
  const { context, page, faults } = await openPage(browser, screen, address);
  const shot = (of) => page.screenshot({ path: path.join(screenshots, `${screen}-${of}.png`) });
  try {
    await part(page, shot);
  } catch (error) {
    await shot('failure').catch(() => null);
    error.message = `${screen}: ${error.message}\n${faults.join('\n')}`;
    throw error;
  } finally {
    await context.close();
  }
  assert.deepEqual(faults.filter((fault) => !expected(fault)), [], `${screen}: faults behind the scenes`);
  console.log(`${screen}: ${name}`);
}
