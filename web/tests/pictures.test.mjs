// What a page does with the address of a picture: which it shows, and what stands in for one
// that is not there. In a real browser this goes on in browser/pictures.mjs.

import assert from 'node:assert/strict';
import test from 'node:test';

import { picture, pictureAddress } from '../assets/js/ui/dom.js';

/** As much of an element as a picture needs. */
function element(tag) {
  const listeners = {};
  return {
    tag,
    attributes: {},
    text: '',
    stead: null,
    append(...children) {
      this.text += children.join('');
    },
    setAttribute(name, value) {
      this.attributes[name] = value;
    },
    addEventListener(name, work, options) {
      listeners[name] = { work, once: options?.once ?? false };
    },
    replaceWith(other) {
      this.stead = other;
    },
    /** Has something happen to it; the second time only where somebody still listens. */
    happen(name) {
      const { work, once } = listeners[name] ?? {};
      if (once) delete listeners[name];
      work?.();
    },
  };
}

globalThis.location = new URL('https://shop.example/show/1');
globalThis.document = { createElement: element };

test('a picture is shown from here, inline, or by HTTPS', () => {
  for (const [address, full] of [
    ['/media/a-large.jpg', 'https://shop.example/media/a-large.jpg'],
    ['https://pictures.example/mug.png', 'https://pictures.example/mug.png'],
    ['data:image/svg+xml,%3Csvg/%3E', 'data:image/svg+xml,%3Csvg/%3E'],
    ['//pictures.example/mug.png', 'https://pictures.example/mug.png'],
  ]) assert.equal(pictureAddress(address), full);
});

test('what is no address of a picture is not asked for', () => {
  for (const address of [
    '', null, undefined, 'http://pictures.example/mug.png', 'javascript:alert(1)', 'data:text/html,hello', 'blob:null/1', 'ftp://pictures.example/mug.png', 'https://[', 'file:///etc/hostname',
  ]) assert.equal(pictureAddress(address), null, String(address));
});

test('a page that came without TLS still shows its own pictures', () => {
  const before = globalThis.location;
  globalThis.location = new URL('http://127.0.0.1:8080/');
  assert.equal(pictureAddress('/media/a.jpg'), 'http://127.0.0.1:8080/media/a.jpg');
  assert.equal(pictureAddress('http://127.0.0.1:9090/media/a.jpg'), null);
  globalThis.location = before;
});

test('a product without a picture has the first letter of its title', () => {
  for (const [url, title, letter] of [['', 'mug', 'M'], [null, '  ähre', 'Ä'], ['javascript:alert(1)', 'Bowl', 'B'], ['', ' ', '?']]) {
    const shown = picture(url, title, 'shot');
    assert.deepEqual([shown.tag, shown.attributes.class, shown.text], ['span', 'shot letter', letter]);
    assert.equal(shown.attributes['aria-hidden'], 'true', 'the title stands beside it');
  }
});

test('a product\'s picture that is missing becomes its letter, once', () => {
  const shown = picture('/media/gone.jpg', 'Mug', 'shot');
  assert.deepEqual([shown.tag, shown.attributes.src, shown.attributes.alt], ['img', 'https://shop.example/media/gone.jpg', '']);
  assert.equal(shown.attributes.referrerpolicy, 'no-referrer', 'a shop\'s link learns nothing of who looks');
  assert.equal(shown.stead, null, 'while it is there, or on its way');
  shown.happen('error');
  const { stead } = shown;
  assert.deepEqual([stead.tag, stead.attributes.class, stead.text], ['span', 'shot letter', 'M']);
  shown.happen('error');
  assert.equal(shown.stead, stead);
});
