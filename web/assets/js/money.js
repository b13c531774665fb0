// Money as people read it. Amounts arrive as whole minor units and an ISO 4217 code and
// stay whole: no arithmetic on fractions happens here or anywhere else in the page.

const formats = new Map();

function formatOf(currency, locale) {
  const key = `${locale ?? ''}|${currency}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, { style: 'currency', currency });
    formats.set(key, format);
  }
  return format;
}

/** The digits after the point of a currency: 2 for EUR, 0 for JPY. */
export function exponent(currency) {
  return formatOf(currency, 'en').resolvedOptions().maximumFractionDigits;
}

/** `1999, 2` → `"19.99"`: exact, because it moves a point through text. */
export function decimal(minor, digits) {
  const sign = minor < 0 ? '-' : '';
  const text = String(Math.abs(minor)).padStart(digits + 1, '0');
  if (digits === 0) return sign + text;
  return `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** `{minor: 1999, currency: "EUR"}` → `"€19.99"`, in the reader's own manner. */
export function formatMoney({ minor, currency }, locale) {
  if (!Number.isSafeInteger(minor)) throw new RangeError('an amount is a whole number of minor units');
  // Text, not a float: Intl formats a decimal string digit by digit.
  return formatOf(currency, locale).format(decimal(minor, exponent(currency)));
}

/** The lowest price of a card's variants and whether others cost more. */
export function priceRange(variants) {
  const prices = variants.map((variant) => variant.price_minor);
  if (prices.length === 0) return null;
  const from = Math.min(...prices);
  return { from, varies: prices.some((price) => price !== from) };
}

/** How much less `now` is than `before`, in whole percent rounded down; 0 when it is not. */
export function percentOff(now, before) {
  if (before <= 0 || now >= before) return 0;
  return Math.floor(((before - now) * 100) / before);
}
