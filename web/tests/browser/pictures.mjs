// What the page does with pictures in a real browser, with those that are there, with those
// that are missing, and with a show's cover that is another one meanwhile. The page's own
// modules are asked, in a page that the server under test serves, under its policy.

import assert from 'node:assert/strict';

import { openPage } from './browser.mjs';

// A grey pixel.
const PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg==', 'base64');

/** Everything at /media/ that is called there is there, after a moment; the rest is not. */
async function serve(context) {
  const asked = [];
  await context.route('**/media/**', (route) => {
    const name = new URL(route.request().url()).pathname.split('/').at(-1);
    asked.push(name);
    if (name.startsWith('there')) return route.fulfill({ contentType: 'image/png', body: PIXEL });
    return route.fulfill({ status: 404, contentType: 'application/problem+json', body: '{}' });
  });
  return asked;
}

/** Puts a product's picture into the page, under an id. */
const put = (page, id, url) =>
  page.evaluate(async ([id, url]) => {
    const { h, picture } = await import('/assets/js/ui/dom.js');
    document.body.append(h('p', { id }, picture(url, 'Mug', 'shot')));
  }, [id, url]);

async function ofProducts(page, asked) {
  await put(page, 'there', '/media/there.png');
  await page.waitForFunction(() => document.querySelector('#there img')?.naturalWidth === 1);
  await put(page, 'missing', '/media/missing.png');
  await page.locator('#missing .letter', { hasText: 'M' }).waitFor({ state: 'attached' });
  assert.equal(await page.locator('#missing img').count(), 0, 'no broken picture stays');
  await put(page, 'none', '');
  await put(page, 'elsewhere', 'http://pictures.example/media/there.png');
  for (const id of ['none', 'elsewhere']) assert.equal(await page.locator(`#${id} .letter`).textContent(), 'M');
  assert.deepEqual(asked, ['there.png', 'missing.png'], 'nothing else is asked for');
}

/** The stage of a show: what is shown of its cover, and the scene without one. */
async function ofShows(page) {
  await page.evaluate(async () => {
    const { createStage } = await import('/assets/js/ui/stage.js');
    const stage = createStage();
    stage.element.id = 'probe';
    document.body.append(stage.element);
    window.setCover = (cover_url) => stage.render({ stream: { id: 'r1', cover_url } });
  });
  const cover = page.locator('#probe img.cover');
  const set = (url) => page.evaluate((url) => window.setCover(url), url);
  const isHidden = (hidden) => page.waitForFunction((hidden) => document.querySelector('#probe img.cover').hidden === hidden, hidden);
  const shows = (end) => page.waitForFunction((end) => {
    const image = document.querySelector('#probe img.cover');
    return !image.hidden && image.complete && image.naturalWidth === 1 && image.src.endsWith(end);
  }, end);

  await set('');
  assert.ok(await cover.isHidden(), 'a show without a cover has its scene alone');
  assert.ok(await page.locator('#probe canvas.scene').count());
  await set('/media/there-1.png');
  await shows('/media/there-1.png');
  await set('/media/there-2.png');
  await shows('/media/there-2.png');
  await set('/media/missing-cover.png');
  await isHidden(true);
  await set('/media/there-3.png');
  await shows('/media/there-3.png');
  await set('');
  await isHidden(true);
}

export async function showPictures({ browser, baseUrl }) {
  const { context, page, faults } = await openPage(browser, 'desktop', baseUrl);
  try {
    const asked = await serve(context);
    await ofProducts(page, asked);
    await ofShows(page);
  } finally {
    await context.close();
  }
  // Of a picture that is missing the browser says so itself.
  const others = faults.filter((fault) => !fault.includes('the server responded with a status of 404'));
  assert.deepEqual(others, [], 'pictures: faults behind the scenes');
  console.log('desktop: pictures shown, and what stands in for those that are missing');
}
