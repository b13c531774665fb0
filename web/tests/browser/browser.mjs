// The browser, and pages that fail the test for what nobody looks at: errors in the console,
// exceptions, answers of 500 and more, and requests to anywhere but the server under test.

import { chromium } from 'playwright-core';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** Every wait of the test ends by this. */
export const DEADLINE_MS = 30_000;

export const SCREENS = {
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
  desktop: { viewport: { width: 1280, height: 800 } },
};

export const launch = (executablePath) => chromium.launch({ executablePath, args: FLAGS, timeout: DEADLINE_MS });

/** Opens the page on a screen. `faults` fills with what went wrong behind the scenes. */
export async function openPage(browser, screen, baseUrl) {
  const context = await browser.newContext({ ...SCREENS[screen], locale: 'en-GB', timezoneId: 'Europe/Berlin' });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  const faults = [];
  const home = new URL(baseUrl);
  const atHome = (url) => url.protocol === 'data:' || url.origin === home.origin;
  // The engine listens on a port of its own.
  const toEngine = (url) => ['ws:', 'wss:'].includes(url.protocol) && url.hostname === home.hostname;

  page.on('console', (message) => message.type() === 'error' && faults.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => faults.push(`exception: ${error.stack ?? error}`));
  page.on('request', (request) => !atHome(new URL(request.url())) && faults.push(`elsewhere: ${request.url()}`));
  page.on('websocket', (socket) => !toEngine(new URL(socket.url())) && faults.push(`elsewhere: ${socket.url()}`));
  // What a reload cuts off is nobody's fault.
  page.on('requestfailed', (request) => request.failure()?.errorText !== 'net::ERR_ABORTED' && faults.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  page.on('response', (response) => response.status() >= 500 && faults.push(`${response.status()}: ${response.url()}`));

  const answer = await page.goto(baseUrl);
  if (!answer.ok()) faults.push(`${answer.status()}: ${baseUrl}`);
  return { context, page, faults };
}
