// What the page asks for in an address is what the server demands there, neither more nor less.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { addressOf } from '../assets/js/buying/address.js';
import { countries, needsPostcode, needsRegion } from '../assets/js/buying/countries.js';

const ofServer = (file) => readFileSync(new URL(`../../core-api/src/addresses/${file}`, import.meta.url), 'utf8');
const source = ofServer('country.rs');
const listed = (name) => new RegExp(`const ${name}: &str = "([^"]*)"`).exec(source)[1].split(/[\s\\]+/).sort();

test('the page knows the server\'s countries, and what an address needs there', () => {
  const codes = countries().map(([code]) => code);
  assert.deepEqual([...codes].sort(), listed('COUNTRIES'));
  assert.deepEqual(codes.filter(needsRegion).sort(), [...ofServer('regions.rs').matchAll(/"([A-Z]{2})" => Some/g)].map(([, code]) => code).sort());
  assert.deepEqual(codes.filter((code) => !needsPostcode(code)).sort(), listed('WITHOUT_POSTAL_CODES'));
});

test('no field takes more than the server does', () => {
  const page = readFileSync(new URL('../assets/js/buying/address.js', import.meta.url), 'utf8');
  const model = readFileSync(new URL('../../core-api/src/addresses/model.rs', import.meta.url), 'utf8');
  const taken = [...model.matchAll(/custom\(shown\(\d, (\d+)\)\)\)\](?:\s*#\[serde\(default\)\])?\s*pub (\w+): String/g)].map(([, most, name]) => [name, most]);
  assert.equal(taken.length, 7);
  for (const [name, most] of taken) assert.match(page, new RegExp(`name: '${name}'[^}]*maxlength: '${most}'`), name);
});

test('what was left empty is not sent, nor a state where there are none', () => {
  const values = { recipient: 'Demo Buyer', line2: ' ', region: 'OR', country: 'DE', postal_code: '' };
  assert.deepEqual(addressOf(values), { recipient: 'Demo Buyer', country: 'DE' });
  assert.equal(addressOf({ ...values, country: 'US' }).region, 'OR');
});
