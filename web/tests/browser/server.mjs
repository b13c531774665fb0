// Starts the all-in-one program in a temporary directory, on ports that are free, and stops
// it again. What it said is printed when it does not come up.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const START_DEADLINE_MS = 120_000;
const STOP_DEADLINE_MS = 30_000;
const KEPT_BYTES = 64 * 1024;

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** Asks until the page's show is there: the server is ready, and somebody is on air. */
async function onAir(baseUrl, gone) {
  const until = Date.now() + START_DEADLINE_MS;
  while (Date.now() < until && !gone()) {
    try {
      const answer = await fetch(`${baseUrl}/streams/live`, { signal: AbortSignal.timeout(5_000) });
      if (answer.ok && (await answer.json()).items.length > 0) return true;
    } catch {
      // Not listening yet.
    }
    await delay(100);
  }
  return false;
}

export async function startServer(program) {
  const directory = await mkdtemp(path.join(tmpdir(), 'hawker-browser-'));
  // Its Postgres runs as another user when this runs as root, and has to get in.
  await chmod(directory, 0o755);
  const [http, live] = [await freePort(), await freePort()];
  const baseUrl = `http://127.0.0.1:${http}`;
  const child = spawn(
    program,
    ['run', '--show', '--http', `127.0.0.1:${http}`, '--live', `127.0.0.1:${live}`, '--data-dir', path.join(directory, 'data')],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let said = '';
  const keep = (text) => {
    said = (said + text).slice(-KEPT_BYTES);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.on('error', (error) => keep(String(error)));
  const exited = new Promise((resolve) => {
    child.once('close', resolve);
    child.once('error', resolve);
  });
  let gone = false;
  exited.then(() => {
    gone = true;
  });

  async function stop() {
    if (!gone) child.kill('SIGTERM');
    const inTime = await Promise.race([exited.then(() => true), delay(STOP_DEADLINE_MS, false, { ref: false })]);
    if (!inTime) child.kill('SIGKILL');
    await exited;
    await rm(directory, { recursive: true, force: true });
    if (!inTime) throw new Error('the server did not stop in time');
  }

  if (!(await onAir(baseUrl, () => gone))) {
    await stop();
    throw new Error(`no show came on air at ${baseUrl}; the server said:\n${said}`);
  }
  return { baseUrl, password: /with the password (\S+)/.exec(said)?.[1] ?? null, stop };
}
