// Where mailed links lead: confirming an address, choosing a new password, asking for a
// link to do so. What the link carries stands behind the # and is taken out of the address
// at once, so that neither history nor a reload has it. Nothing is sent before somebody
// presses the button: programs that look at links ahead of people spend none.

import { auth } from './api.js';
import { createSession } from './session.js';
import { h } from './ui/dom.js';
import { field, form } from './ui/fields.js';

const app = document.getElementById('app');
const asked = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, '', location.pathname);

function show(title, ...parts) {
  app.replaceChildren(h('section', { class: 'slip' }, h('h1', { class: 'sheet-title' }, title), parts));
}

const home = () => h('p', {}, h('a', { class: 'link', href: '/' }, 'To the shows'));

// The link shows who reads the mail; the session or the password, whose account it is.
async function confirm(link) {
  const session = createSession();
  await session.restore();
  const fields = session.user()
    ? [h('p', {}, 'One press, and the address is confirmed.')]
    : [field('Password', { name: 'password', type: 'password', autocomplete: 'current-password', required: true, maxlength: '128' }, 'Of the account that the address is for.')];
  show('Confirm your e-mail', form({
    fields,
    label: 'Confirm',
    submit: async ({ password }) => auth.confirmEmail(link, { password, token: await session.token() }),
    done: () => show('Confirmed', h('p', {}, 'Thank you. The address is yours.'), home()),
    foot: h('p', {}, 'You do not know of such an account? ', h('a', { class: 'link', href: '/account' }, 'Choose a new password'), ' and it is yours alone.'),
  }));
}

function reset(token) {
  show('A new password', form({
    fields: [
      field('New password', { name: 'password', type: 'password', autocomplete: 'new-password', required: true, minlength: '8', maxlength: '128' }, 'At least 8 characters. You will be signed out everywhere.'),
    ],
    label: 'Set it',
    submit: ({ password }) => auth.resetPassword(token, password),
    done: () => show('Done', h('p', {}, 'Sign in with your new password.'), home()),
  }));
}

function ask() {
  show('Forgotten your password?', form({
    fields: [field('E-mail', { name: 'email', type: 'email', autocomplete: 'email', required: true, maxlength: '254' })],
    label: 'Mail me a link',
    submit: ({ email }) => auth.askToReset(email),
    done: () => show('Look into your mail', h('p', {}, 'If the address has an account, a link is on its way. It is good for half an hour.'), home()),
  }));
}

if (asked.get('confirm')) confirm(asked.get('confirm'));
else if (asked.get('reset')) reset(asked.get('reset'));
else ask();
