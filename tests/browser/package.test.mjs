// The client as npm has it: packed, installed into an empty folder, used in Node and by a compiler; and as a hub serves
// it, in a worker. The programs are those of clients/js/README.md and docs/cookbook.md.
//
// Needs what two_nodes.test.mjs needs, and npm, which reaches for nothing: it is told to stay offline.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import test, { after, before } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { end, hub } from './hubs.mjs';
import { browser } from './pages.mjs';
import { folder, forHub, installed, look, peer, ROOT, shown, Site, snippets } from './snippets.mjs';

const OPTIONS = { timeout: 90_000 };
const CLIENT = path.join(ROOT, 'clients/js');
const README = await snippets('clients/js/README.md');
const COOKBOOK = await snippets('docs/cookbook.md');
const run = promisify(execFile);

/** @type {string} a folder with `ws` and the package, as npm installs it */
let home;
let clear;
after(() => clear());
before(async () => {
  home = await folder({ after: (remove) => (clear = remove) });
  await npm(['pack', '--pack-destination', home], CLIENT);
  const [packed] = (await readdir(home)).filter((name) => name.endsWith('.tgz'));
  assert.equal(packed, 'palabre-client-0.1.0.tgz', 'the name that the documents say');
  await writeFile(path.join(home, 'package.json'), '{ "private": true, "type": "module" }');
  await npm(['install', `./${packed}`], home);
  for (const name of ['ws', '@types/ws', '@types/node']) {
    await mkdir(path.dirname(path.join(home, 'node_modules', name)), { recursive: true });
    await symlink(installed(name), path.join(home, 'node_modules', name));
  }
});

async function npm(args, cwd) {
  const quiet = ['--offline', '--no-audit', '--no-fund', '--no-update-notifier'];
  await run('npm', [...args, ...quiet], { cwd });
}

test('the package has sources, types and licences, and needs nothing', OPTIONS, async () => {
  const at = path.join(home, 'node_modules/@palabre/client');
  assert.deepEqual((await readdir(at)).sort(), ['LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'package.json', 'src', 'types']);
  const { dependencies } = JSON.parse(await readFile(path.join(at, 'package.json'), 'utf8'));
  assert.equal(dependencies, undefined);
});

test('the program of the README sends from Node', OPTIONS, async (t) => {
  const { url } = await hub(t);
  const { hears } = await peer(t, url);
  await writeFile(path.join(home, 'node.mjs'), forHub(README.node, url));
  const { stdout } = await run(process.execPath, ['node.mjs'], { cwd: home, timeout: 30_000 });
  const { id } = await hears('Hello from Node');
  assert.equal(stdout, `${id} node\n`);
});

test('importing the package and its elements does nothing where there is neither a WebSocket nor a document', OPTIONS, async () => {
  const script = `
    const { createClient } = await import('@palabre/client');
    const { PalabreChat } = await import('@palabre/client/elements');
    console.log(typeof createClient, typeof PalabreChat);
    try { createClient({ url: 'https://chat.example', WebSocket: undefined }); } catch (error) { console.log(error.name); }
  `;
  await writeFile(path.join(home, 'nothing.mjs'), `delete globalThis.WebSocket;\n${script}`);
  const { stdout } = await run(process.execPath, ['nothing.mjs'], { cwd: home, timeout: 30_000 });
  assert.equal(stdout, 'function function\nTypeError\n');
});

const TYPED = `
import { createClient, PalabreError, type Ack, type Client, type Entry, type Group, type Message, type Store } from '@palabre/client';
import WebSocket from 'ws';

const kept = new Map<string, string>();
const storage: Store = {
  getItem: (key) => kept.get(key) ?? null,
  setItem: (key, text) => void kept.set(key, text),
  removeItem: (key) => void kept.delete(key),
};
const client: Client = createClient({ url: new URL('https://chat.example'), WebSocket, storage, getToken: async ({ expired }) => (expired ? null : 'token') });
const group: Group = client.group('lobby');
const off: () => void = group.on('message', ({ message }: { message: Message }) => console.log(message.user?.name, message.text.length));
client.on('status', ({ status, wait_ms }) => console.log(status.toUpperCase(), wait_ms?.toFixed()));
client.on('layer', ({ scope }) => console.log(scope === 'cluster'));
const texts = (entries: Entry[]): string[] => entries.flatMap((entry) => (entry.type === 'message' ? entry.text : []));
export async function say(): Promise<Ack | string[]> {
  try {
    return await group.send({ text: 'hello', data: { any: ['thing'] } }, { signal: AbortSignal.timeout(1_000) });
  } catch (error) {
    off();
    return error instanceof PalabreError ? [error.code] : texts(group.messages);
  }
}
// @ts-expect-error There is no such event.
group.on('massage', () => {});
// @ts-expect-error A message has a text.
group.send({ data: 1 });
// @ts-expect-error It is a boolean.
group.joined.x;
// @ts-expect-error What is internal is not there.
client.requests;
`;

// Elements are for pages, so their types need those of a document.
const TYPED_PAGE = `
import type { Client } from '@palabre/client';
import { PalabreChat, PalabreStatus } from '@palabre/client/elements';
const chat = document.querySelector('palabre-chat') as PalabreChat;
export function dress(client: Client) {
  chat.client = client;
  chat.group = 'lobby';
  chat.render = (message) => (message.data ? document.createTextNode(message.text) : null);
  new PalabreStatus().client = chat.client;
  return chat.group?.messages.length;
}
`;

for (const [where, text, lib] of [
  ['a program', TYPED, 'es2023'],
  ['a page', TYPED_PAGE, 'es2023,dom'],
]) {
  test(`the package's types are those of ${where}, strictly`, OPTIONS, async () => {
    const name = `${where.replace(' ', '_')}.ts`;
    await writeFile(path.join(home, name), text);
    const tsc = path.join(CLIENT, 'node_modules/typescript/bin/tsc');
    const types = lib.includes('dom') ? [] : ['--types', 'node'];
    const options = ['--noEmit', '--strict', '--target', 'es2023', '--module', 'nodenext', '--lib', lib, ...types];
    await run(process.execPath, [tsc, ...options, name], { cwd: home }).catch(({ stdout }) => assert.fail(stdout));
  });
}

test('recipe: a bot in Node answers, stays who it is, and goes when it is told to', OPTIONS, async (t) => {
  const { url } = await hub(t);
  const { group } = await peer(t, url);
  await writeFile(path.join(home, 'bot.mjs'), forHub(COOKBOOK.bot, url));
  const answers = [];
  for (const round of [1, 2]) {
    const bot = spawn(process.execPath, ['bot.mjs'], { cwd: home, stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => end(bot));
    const [line] = await once(createInterface(bot.stdout), 'line');
    assert.equal(line, 'here as Clock');
    const { id } = await group.send('!time');
    const answer = await shown(group, ({ replyTo }) => replyTo === id);
    assert.match(answer.text, /^\d{4}-\d\d-\d\dT/, `round ${round}`);
    answers.push(answer.user.id);
    bot.kill('SIGTERM');
    assert.deepEqual(await once(bot, 'exit'), [0, null]);
  }
  assert.equal(answers[0], answers[1]);
});

for (const [name, said] of [
  ['browser', (page) => page.getByText('Ana: Hello')],
  ['elements', (page) => page.locator('.text').getByText('Hello', { exact: true })],
]) {
  test(`the page of the README (${name}), from a bundle`, OPTIONS, async (t) => {
    const site = await Site.open(t);
    const { url } = await hub(t, { settings: { PALABRE_SERVER_ORIGINS: site.origin } });
    const { group, hears } = await peer(t, url);
    await writeFile(path.join(home, `${name}.mjs`), forHub(README[name], url));
    const { outputFiles } = await build({ entryPoints: [path.join(home, `${name}.mjs`)], bundle: true, format: 'esm', write: false });
    site.script('/app.js', outputFiles[0].text);
    const { page, faults } = await look(await browser(t), site.page('/', '<body><script type="module" src="/app.js"></script>'));
    if (name === 'elements') await group.send('Hello');
    await hears('Hello');
    await said(page).waitFor();
    assert.deepEqual(faults, []);
  });
}

test('/palabre.js is the client in a module worker, on another origin', OPTIONS, async (t) => {
  const site = await Site.open(t);
  const { url } = await hub(t, { settings: { PALABRE_SERVER_ORIGINS: site.origin } });
  const { group, hears } = await peer(t, url);
  site.script('/chat.js', forHub(README.worker.replace("'@palabre/client'", "'https://chat.example/palabre.js'"), url));
  const { page, faults } = await look(await browser(t), site.page('/', ''));
  await page.evaluate(() => {
    window.heard = [];
    window.worker = new Worker('chat.js', { type: 'module' });
    window.worker.onmessage = ({ data }) => window.heard.push(data);
    window.worker.postMessage('from a worker');
  });
  await hears('from a worker');
  await group.send('to a worker');
  await page.waitForFunction(() => window.heard.some(({ text }) => text === 'to a worker'));
  assert.deepEqual(await page.evaluate(() => window.heard), [{ from: 'Pia', text: 'to a worker' }]);
  assert.deepEqual(faults, []);
});
