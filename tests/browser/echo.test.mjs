// The layer below the protocol, as somebody else's WebSockets see it: Chromium's, and Node's own.
//
// What no browser would send is sent by hand elsewhere. Needs what two_nodes.test.mjs needs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';
import { hub } from './hubs.mjs';
import { browser } from './pages.mjs';

const SIZES = [0, 1, 125, 126, 127, 128, 1_024, 2_047, 2_048, 2_049, 65_535, 65_536];
const TEXTS = ['', 'Hello-µ@ßöäüàá-UTF-8!!', '\u0000\u007f\uffff', '🌳'.repeat(1_000), 'a\r\nb\tc'];

/**
 * Runs where the WebSocket is, so it may use nothing from outside but its arguments.
 * @param {{url: string, sizes: number[], texts: string[]}} asked
 * @returns {Promise<{echoed: string[], closed: {code: number, wasClean: boolean}[]}>}
 */
async function look({ url, sizes, texts }) {
  const open = () =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => resolve(socket);
      socket.onerror = () => reject(new Error('no WebSocket'));
    });
  const next = (socket) => new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
  const end = (socket) =>
    new Promise((resolve) => (socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean })));
  const echoed = [];
  const socket = await open();
  for (const text of [...sizes.map((size) => '*'.repeat(size)), ...texts]) {
    const echo = next(socket);
    socket.send(text);
    echoed.push((await echo) === text ? 'same' : `text of ${text.length}`);
  }
  for (const size of sizes) {
    const bytes = Uint8Array.from({ length: size }, (_, index) => index * 7);
    const echo = next(socket);
    socket.send(bytes);
    const back = new Uint8Array(await echo);
    const same = back.length === size && back.every((byte, index) => byte === bytes[index]);
    echoed.push(same ? 'same' : `binary of ${size}`);
  }
  // Many at once come back in their order.
  const many = Array.from({ length: 1_000 }, (_, number) => `number ${number}`);
  const all = new Promise((resolve) => {
    const came = [];
    socket.onmessage = ({ data }) => came.push(data) === many.length && resolve(came);
  });
  for (const text of many) socket.send(text);
  echoed.push((await all).join() === many.join() ? 'same' : 'many');
  const closed = [];
  for (const code of [1000, 3000, 3999, 4000, 4999]) {
    const other = await open();
    const ended = end(other);
    other.close(code, 'why');
    closed.push(await ended);
  }
  const ended = end(socket);
  socket.send('*'.repeat(65_537));
  closed.push(await ended);
  return { echoed, closed };
}

function judge({ echoed, closed }) {
  assert.deepEqual([...new Set(echoed)], ['same']);
  assert.equal(echoed.length, 2 * SIZES.length + TEXTS.length + 1);
  assert.deepEqual(
    closed.map(({ code }) => code),
    [1000, 3000, 3999, 4000, 4999, 1009],
  );
  assert.ok(closed.every(({ wasClean }) => wasClean));
}

const echo = async (t) => (await hub(t, { settings: { PALABRE_SERVER_ECHO: 'true' } })).url;

test("Chromium's WebSocket is sent back what it says, and ends as it should", async (t) => {
  const url = await echo(t);
  const page = await (await browser(t)).newPage();
  await page.goto(`${url}/health`);
  judge(await page.evaluate(look, { url: `${url.replace('http', 'ws')}/echo`, sizes: SIZES, texts: TEXTS }));
});

test("Node's WebSocket is sent back what it says, and ends as it should", async (t) => {
  const url = `${(await echo(t)).replace('http', 'ws')}/echo`;
  const asked = JSON.stringify({ url, sizes: SIZES, texts: TEXTS });
  const script = `(${look})(${asked}).then((found) => console.log(JSON.stringify(found)))`;
  // Older ones have it behind a flag, and newer ones know the flag still.
  const args = ['--experimental-websocket', '--eval', script];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 });
  judge(JSON.parse(stdout));
});
