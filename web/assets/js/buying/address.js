// Where it goes: one of the addresses on file, or a new one.

import { choice, field, form, require } from '../ui/fields.js';
import { h } from '../ui/dom.js';
import { countries, countryName, likelyCountry, needsPostcode, needsRegion } from './countries.js';

/** An address in lines, as on a parcel. */
export function addressLines(address) {
  return [address.recipient, address.line1, address.line2, `${address.postal_code} ${address.city}`.trim(), address.region, countryName(address.country)].filter(Boolean);
}

function newAddress(api, done, foot) {
  const postcode = field('Postcode', { name: 'postal_code', autocomplete: 'shipping postal-code', required: true, maxlength: '20' });
  const region = field('State or province', { name: 'region', autocomplete: 'shipping address-level1', required: true, maxlength: '80' });
  const country = choice('Country', { name: 'country', autocomplete: 'shipping country', required: true, onchange: (event) => suit(event.target.value) }, countries(), likelyCountry());

  /** Asks for what an address needs there. */
  function suit(code) {
    require(postcode, needsPostcode(code));
    require(region, needsRegion(code));
    region.hidden = !needsRegion(code);
  }

  suit(likelyCountry());
  return form({
    fields: [
      country,
      field('Full name', { name: 'recipient', autocomplete: 'shipping name', required: true, maxlength: '100', autofocus: true }),
      field('Street and number', { name: 'line1', autocomplete: 'shipping address-line1', required: true, maxlength: '120' }),
      field('Flat, floor, company', { name: 'line2', autocomplete: 'shipping address-line2', maxlength: '120' }),
      h('div', { class: 'field-row' }, postcode, field('Town', { name: 'city', autocomplete: 'shipping address-level2', required: true, maxlength: '80' })),
      region,
      field('Phone, for the courier', { name: 'phone', type: 'tel', autocomplete: 'shipping tel', maxlength: '32' }),
    ],
    label: 'Use this address',
    submit: (values) => api.addAddress(addressOf(values)),
    done,
    foot,
  });
}

/**
 * What was left empty is left out, rather than sent as an empty text; a state is of a
 * country that has them.
 */
export function addressOf(values) {
  const filled = Object.entries(values).filter(([name, value]) => value.trim() !== '' && (name !== 'region' || needsRegion(values.country)));
  return Object.fromEntries(filled);
}

function chooseAddress(addresses, done) {
  const preferred = addresses.find((address) => address.is_default_shipping) ?? addresses[0];
  const options = addresses.map((address) =>
    h(
      'label',
      { class: 'option' },
      h('input', { type: 'radio', name: 'address', value: address.id, checked: address === preferred, autofocus: address === preferred }),
      h('span', { class: 'option-words' }, addressLines(address).map((line, i) => h('span', { class: i === 0 ? 'strong' : '' }, line))),
    ),
  );
  return form({
    fields: h('fieldset', { class: 'options' }, h('legend', { class: 'unseen' }, 'Address'), options),
    label: 'Send it here',
    submit: (values) => addresses.find((address) => address.id === values.address),
    done,
    foot: h('p', { class: 'turn' }, h('button', { class: 'link', type: 'button', onclick: () => done(null) }, 'Another address')),
  });
}

/** Resolves with the address to send to. */
export async function askForAddress(sheet, api) {
  const trail = 'Step 1 of 3';
  sheet.busy('Your addresses');
  const { items } = await api.addresses();
  if (items.length > 0) {
    const chosen = await sheet.ask({ title: 'Where to?', trail, build: (done) => chooseAddress(items, done) });
    if (chosen) return chosen;
  }
  return sheet.ask({ title: 'Where to?', trail, build: (done) => newAddress(api, done) });
}
