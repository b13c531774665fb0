// Runs the browser test: against BASE_URL if it is set, else against a server of its own
// that it starts with a show on air and stops again.
//
//   HAWKER_BIN     the program to start (default: target/debug/hawker)
//   BASE_URL       a running server with a show on air, instead of starting one
//   DEMO_PASSWORD  of its demo accounts, as it has printed it
//   CHROMIUM       the browser (default: /usr/bin/chromium)
//   SCREENSHOTS    where pictures go (default: target/screenshots)

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { launch } from './browser.mjs';
import { fillTheCart } from './cart.mjs';
import { showPictures } from './pictures.mjs';
import { startServer } from './server.mjs';
import { watchAndBuy } from './watch-and-buy.mjs';

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const program = process.env.HAWKER_BIN ?? path.join(top, 'target/debug/hawker');
const screenshots = path.resolve(process.env.SCREENSHOTS ?? path.join(top, 'target/screenshots'));

await mkdir(screenshots, { recursive: true });
const server = process.env.BASE_URL ? { baseUrl: process.env.BASE_URL, password: process.env.DEMO_PASSWORD, stop: async () => {} } : await startServer(program);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.stop().finally(() => process.exit(1)));
try {
  const browser = await launch(process.env.CHROMIUM ?? '/usr/bin/chromium');
  try {
    await showPictures({ browser, baseUrl: server.baseUrl });
    await fillTheCart({ browser, baseUrl: server.baseUrl, password: server.password, screenshots });
    await watchAndBuy({ browser, baseUrl: server.baseUrl, screenshots });
  } finally {
    await browser.close();
  }
  console.log(`the browser test has passed; pictures are in ${screenshots}`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  await server.stop();
}
