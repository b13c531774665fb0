// Starts the page: who is signed in, which show, and in which room.

import { createApi } from './api.js';
import { createSession } from './session.js';
import { loadIcons } from './ui/dom.js';
import { showLobby } from './ui/lobby.js';
import { showRoom } from './ui/room-view.js';
import { createToasts } from './ui/toast.js';

const root = document.getElementById('app');
const session = createSession();
const api = createApi(session);
const toast = createToasts();

const open = (stream) => showRoom({ root, stream, session, api, toast });

await Promise.all([session.restore(), loadIcons()]);
const named = /^\/live\/([0-9a-f-]{36})\/?$/i.exec(location.pathname);
if (named) open(named[1]);
else await showLobby(root, api, (stream) => open(stream.id));
