// Signing in, or making an account, in the sheet and in the middle of something.

import { field, form } from '../ui/fields.js';
import { h } from '../ui/dom.js';

const email = () => field('E-mail', { name: 'email', type: 'email', autocomplete: 'email', required: true, maxlength: '254' });

function newAccount(session, done, turn) {
  return form({
    fields: [
      field('Your name in the chat', { name: 'display_name', type: 'text', autocomplete: 'nickname', required: true, maxlength: '40', autofocus: true }),
      email(),
      field('Password', { name: 'password', type: 'password', autocomplete: 'new-password', required: true, minlength: '8', maxlength: '200' }, 'At least 8 characters.'),
    ],
    label: 'Create account',
    submit: (values) => session.register(values),
    done,
    foot: h('p', { class: 'turn' }, 'Been here before? ', h('button', { class: 'link', type: 'button', onclick: turn }, 'Sign in')),
  });
}

function oldAccount(session, done, turn) {
  return form({
    fields: [
      field('E-mail', { name: 'email', type: 'email', autocomplete: 'email', required: true, maxlength: '254', autofocus: true }),
      field('Password', { name: 'password', type: 'password', autocomplete: 'current-password', required: true, maxlength: '200' }),
    ],
    label: 'Sign in',
    submit: (values) => session.login(values),
    done,
    foot: h('p', { class: 'turn' }, 'New here? ', h('button', { class: 'link', type: 'button', onclick: turn }, 'Create an account')),
  });
}

/** Asks until somebody is signed in. `why` says what for. */
export async function askToSignIn(sheet, session, why) {
  let known = false;
  while (session.user() === null) {
    await sheet.ask({
      title: known ? 'Welcome back' : 'Join in',
      trail: why,
      build(done) {
        const turn = () => {
          known = !known;
          done();
        };
        return (known ? oldAccount : newAccount)(session, done, turn);
      },
    });
  }
}
