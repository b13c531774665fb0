// Builds elements. Text becomes text nodes and nothing else: there is no way in this page
// to turn what somebody wrote into markup.

/**
 * `h('button', {class: 'go', type: 'button', onclick}, 'Go')`. Names that start with `on`
 * are listeners, `true` is an attribute without a value, null and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/**
 * Takes the drawings into the page, once: an icon that pointed into the file would ask the
 * server for it each time one is drawn, and reactions draw many. Without them the page works.
 */
export async function loadIcons() {
  try {
    const answer = await fetch('/assets/img/icons.svg');
    const { documentElement: sprite } = new DOMParser().parseFromString(await answer.text(), 'image/svg+xml');
    sprite.setAttribute('class', 'unseen');
    sprite.setAttribute('aria-hidden', 'true');
    document.body.prepend(document.importNode(sprite, true));
  } catch {
    // Buttons have labels, and words beside them.
  }
}

/** A drawing of assets/img/icons.svg; decoration, so its button needs a label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', `icon icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('viewBox', '0 0 24 24');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Writes text only where it differs, so that a ticking clock costs nothing in between. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Whether this viewer has asked for less motion. */
export const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** A picture's address if it may be shown: ours, inline, or a seller's link by HTTPS. */
export function pictureAddress(url) {
  if (!url) return null;
  if (/^data:image\//i.test(url)) return url;
  try {
    const full = new URL(url, location.href);
    return full.origin === location.origin || full.protocol === 'https:' ? full.href : null;
  } catch {
    return null;
  }
}

/** A product's picture, or its first letter where there is none. */
export function picture(url, title, className) {
  const source = pictureAddress(url);
  if (source) {
    const image = h('img', { class: className, src: source, alt: '', decoding: 'async', referrerpolicy: 'no-referrer' });
    image.addEventListener('error', () => image.replaceWith(letter(title, className)), { once: true });
    return image;
  }
  return letter(title, className);
}

function letter(title, className) {
  return h('span', { class: `${className} letter`, 'aria-hidden': 'true' }, (title.trim()[0] ?? '?').toUpperCase());
}
