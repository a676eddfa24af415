// What a first visit costs and whom it concerns: few bytes, all of them the hub's own, under a policy without holes.
//
// Needs what two_nodes.test.mjs needs, but Redis.

import assert from 'node:assert/strict';
import test from 'node:test';
import { hub } from './hubs.mjs';
import { browser } from './pages.mjs';

const BYTES_MAX = 40_000;

test('a first visit loads at most 40,000 bytes, all from its own origin, under a strict policy', async (t) => {
  const { url } = await hub(t);
  const chrome = await browser(t);
  const page = await (await chrome.newContext()).newPage();
  const devtools = await page.context().newCDPSession(page);
  /** @type {Map<string, {url: string, bytes?: number}>} */
  const loads = new Map();
  let policy = '';
  devtools.on('Network.requestWillBeSent', ({ requestId, request }) => loads.set(requestId, { url: request.url }));
  // On the wire: heads and bodies, as they are encoded.
  devtools.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const load = loads.get(requestId);
    if (load) load.bytes = encodedDataLength;
  });
  await devtools.send('Network.enable');
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  policy = (await page.goto(url)).headers()['content-security-policy'] ?? '';
  await page.locator('palabre-status .connection', { hasText: 'Connected' }).waitFor();
  await page.waitForLoadState('networkidle');

  const all = [...loads.values()];
  for (const load of all) assert.equal(new URL(load.url).origin, url);
  assert.deepEqual(sockets, [`${url.replace('http', 'ws')}/ws`]);
  assert.ok(all.every(({ bytes }) => bytes > 0), 'all is loaded');
  const paths = all.map((load) => new URL(load.url).pathname);
  for (const path of ['/', '/app.js', '/style.css', '/palabre.js', '/palabre-elements.js']) assert.ok(paths.includes(path));
  const bytes = all.reduce((sum, load) => sum + load.bytes, 0);
  t.diagnostic(`${bytes} bytes in ${all.length} answers`);
  assert.ok(bytes <= BYTES_MAX, `${bytes} bytes`);

  assert.match(policy, /default-src '(none|self)'/);
  assert.doesNotMatch(policy, /unsafe-|\*|data:|blob:/);
});
