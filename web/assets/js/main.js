// Starts the page: who is signed in, which show, and in which room.

import { createApi } from './api.js';
import { takePaying } from './buying/away.js';
import { createCartKeeper } from './cart-keeper.js';
import { createSession } from './session.js';
import { storageOf } from './storage.js';
import { loadIcons } from './ui/dom.js';
import { showLobby } from './ui/lobby.js';
import { showRoom } from './ui/room-view.js';
import { createToasts } from './ui/toast.js';

const root = document.getElementById('app');
const session = createSession();
const api = createApi(session);
const toast = createToasts();

const cart = createCartKeeper({ session, api, say: toast, storage: storageOf('localStorage') });
session.onChange(cart.identify);

const paying = takePaying(storageOf('sessionStorage'), location.search);
if (location.search !== '') history.replaceState(null, '', location.pathname);
const open = (stream) => showRoom({ root, stream, session, api, toast, cart, paying });

await Promise.all([session.restore(), loadIcons()]);
const named = /^\/live\/([0-9a-f-]{36})\/?$/i.exec(location.pathname)?.[1] ?? paying?.stream;
if (named) open(named);
else await showLobby(root, api, (stream) => open(stream.id));
