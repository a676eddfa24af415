// The processes behind a browser test: a Redis of its own and hubs as they ship, on free ports of the loopback.
//
// Each is ended by its own pid. Nothing here knows of pages; pages.mjs opens those.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.PALABRE_BIN ?? fileURLToPath(new URL('../../target/debug/palabre', import.meta.url));
const START_MS = 10_000;
// Nodes that know each other's guests, as those of one cluster do.
const SECRET = 'known to all nodes of this test';

/**
 * Ends a process by its pid and waits until it is gone.
 * @param {import('node:child_process').ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
export async function end(child, signal = 'SIGTERM') {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/**
 * A Redis that keeps nothing, stopped when the test is over.
 * @param {import('node:test').TestContext} t
 * @returns {Promise<string>} its URL
 */
export async function redis(t) {
  const dir = await mkdtemp(path.join(tmpdir(), 'palabre-redis-'));
  const port = await freePort();
  const options = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir];
  const child = spawn('redis-server', options.map(String), { stdio: 'ignore' });
  t.after(async () => {
    await end(child);
    await rm(dir, { recursive: true, force: true });
  });
  await answers(port, child);
  return `redis://127.0.0.1:${port}`;
}

/**
 * A hub process, stopped when the test is over.
 * @param {import('node:test').TestContext} t
 * @param {{redisUrl?: string, listen?: string, settings?: Record<string, string>}} options
 * @returns {Promise<{url: string, child: import('node:child_process').ChildProcess}>}
 */
export async function hub(t, { redisUrl, listen = '127.0.0.1:0', settings = {} } = {}) {
  const cwd = await mkdtemp(path.join(tmpdir(), 'palabre-hub-'));
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(PALABRE_|REDIS_URL$)/.test(key)));
  Object.assign(env, { PALABRE_AUTH_SECRET: SECRET }, settings);
  const args = ['serve', '--listen', listen, ...(redisUrl ? ['--redis-url', redisUrl] : [])];
  const child = spawn(BINARY, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text) => (log += text));
  t.after(async () => {
    await end(child);
    await rm(cwd, { recursive: true, force: true });
  });
  const started = new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(new Error(`${BINARY} does not start; cargo build builds it`, { cause })));
    child.on('exit', (code) => reject(new Error(`${BINARY} ended with ${code} before it listened:\n${log}`)));
    createInterface(child.stdout).on('line', (line) => {
      const url = /^listening on (http:\S+)$/.exec(line)?.[1];
      if (url) resolve(url);
    });
  });
  return { url: await within(started, `${BINARY} to listen`), child };
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function answers(port, child) {
  const until = Date.now() + START_MS;
  while (Date.now() < until && child.exitCode === null) {
    try {
      const socket = net.connect(port, '127.0.0.1');
      await once(socket, 'connect');
      socket.write('PING\r\n');
      const [reply] = await once(socket, 'data');
      socket.destroy();
      if (String(reply).startsWith('+PONG')) return;
    } catch {
      await pause(20); // Refused: it is not up yet.
    }
  }
  throw new Error(`redis-server did not answer on port ${port}`);
}

async function within(promise, what) {
  const over = new AbortController();
  const deadline = pause(START_MS, undefined, { signal: over.signal }).then(() => {
    throw new Error(`waited ${START_MS} ms for ${what}`);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    over.abort();
    deadline.catch(() => {}); // Aborted: nobody waits for it any more.
  }
}
