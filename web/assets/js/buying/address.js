// Where it goes: one of the addresses on file, or a new one.

import { choice, field, form } from '../ui/fields.js';
import { h } from '../ui/dom.js';
import { countries, countryName, likelyCountry } from './countries.js';

/** An address in lines, as on a parcel. */
export function addressLines(address) {
  return [address.recipient, address.line1, address.line2, `${address.postal_code} ${address.city}`.trim(), address.region, countryName(address.country)].filter(Boolean);
}

function newAddress(api, done, foot) {
  return form({
    fields: [
      field('Full name', { name: 'recipient', autocomplete: 'shipping name', required: true, maxlength: '120', autofocus: true }),
      field('Street and number', { name: 'line1', autocomplete: 'shipping address-line1', required: true, maxlength: '200' }),
      field('Flat, floor, company', { name: 'line2', autocomplete: 'shipping address-line2', maxlength: '200' }),
      h(
        'div',
        { class: 'field-row' },
        field('Postcode', { name: 'postal_code', autocomplete: 'shipping postal-code', required: true, maxlength: '20' }),
        field('Town', { name: 'city', autocomplete: 'shipping address-level2', required: true, maxlength: '120' }),
      ),
      choice('Country', { name: 'country', autocomplete: 'shipping country', required: true }, countries(), likelyCountry()),
      field('Phone, for the courier', { name: 'phone', type: 'tel', autocomplete: 'shipping tel', maxlength: '40' }),
    ],
    label: 'Use this address',
    // What was left empty is left out, rather than sent as an empty text.
    submit: (values) => api.addAddress(Object.fromEntries(Object.entries(values).filter(([, value]) => value.trim() !== ''))),
    done,
    foot,
  });
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
