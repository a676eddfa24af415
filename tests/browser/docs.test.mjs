// The documents' snippets in Chromium, as they stand there: docs/embed.md and docs/cookbook.md, on another origin than
// the hub's. What runs in Node is in package.test.mjs.
//
// Needs what two_nodes.test.mjs needs.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { access, readdir, readFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { build } from 'esbuild';
import { end, hub, redis } from './hubs.mjs';
import { browser, Visitor } from './pages.mjs';
import { folder, forHub, installed, look, peer, ROOT, shown, Site, snippets } from './snippets.mjs';

const OPTIONS = { timeout: 90_000 };
const EMBED = await snippets('docs/embed.md');
const COOKBOOK = await snippets('docs/cookbook.md');

/** A site, a hub that lists it, and a browser. */
async function scene(t, options = {}) {
  const site = await Site.open(t);
  const one = await hub(t, { ...options, settings: { PALABRE_SERVER_ORIGINS: site.origin } });
  const chrome = await browser(t);
  /** Opens a snippet as a page of the site. */
  const open = (snippet, prepare) => look(chrome, site.page('/', forHub(snippet, one.url)), prepare);
  return { site, hub: one, url: one.url, chrome, open };
}

async function writes(page, text) {
  await page.locator('.field').fill(text);
  await page.locator('.field').press('Enter');
}

test('the page of docs/embed.md talks with the hub\'s own page, under the policy that stands there', OPTIONS, async (t) => {
  const { site, url, chrome } = await scene(t);
  assert.ok(EMBED.embed.trimEnd().split('\n').length <= 25, 'short enough to be read');
  const headers = { 'content-security-policy': forHub(EMBED.csp, url).trim(), 'cross-origin-embedder-policy': 'require-corp' };
  const { page, faults } = await look(chrome, site.page('/help', forHub(EMBED.embed, url), headers));
  await page.locator('palabre-status .connection', { hasText: 'Connected' }).waitFor();
  const own = await Visitor.open(chrome, `${url}/#help`);
  await own.room('help');

  await writes(page, 'is anybody there?');
  await own.sees('is anybody there?');
  await own.say('of course');
  await page.locator('.message .text').getByText('of course', { exact: true }).waitFor();
  const sent = page.locator('.message', { hasText: 'is anybody there?' }).locator('.state', { hasText: 'Sent' });
  await sent.waitFor({ state: 'attached' });
  assert.deepEqual(faults, []);
  assert.deepEqual(own.faults, []);
});

test('the page of an origin that is not listed loads the elements and gets no WebSocket', OPTIONS, async (t) => {
  const { url, chrome } = await scene(t);
  const other = await Site.open(t);
  const { page, faults } = await look(chrome, other.page('/', forHub(EMBED.embed, url)));
  await page.locator('palabre-status .connection', { hasText: 'Reconnecting' }).waitFor();
  await page.locator('palabre-chat .field').waitFor();
  assert.ok(faults.length > 0 && faults.every((fault) => fault.includes('403')), faults.join('\n'));
});

test('a client of one\'s own is the one that the element uses, and no other connection is opened', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const { group } = await peer(t, url);
  let sockets = 0;
  const { page, faults } = await open(EMBED['own-client'], async (page) => page.on('websocket', () => sockets++));
  await writes(page, 'it is me');
  const message = await shown(group, ({ text }) => text === 'it is me');
  assert.equal(message.user.name, 'Ana');
  assert.equal(sockets, 1);
  assert.deepEqual(faults, []);
});

test('what is set before the elements are defined counts as well', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const { group } = await peer(t, url);
  const early = EMBED['own-client']
    .replace(/^ *import '.*elements\.js';\n/m, '')
    .replace('</script>', "  await import('https://chat.example/palabre-elements.js');\n</script>");
  let sockets = 0;
  const { page, faults } = await open(early, async (page) => page.on('websocket', () => sockets++));
  await writes(page, 'it is me');
  const message = await shown(group, ({ text }) => text === 'it is me');
  assert.equal(message.user.name, 'Ana');
  assert.equal(sockets, 1);
  assert.deepEqual(faults, []);
});

test('several chats in a page share a connection and speak their languages', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const [lobby, garden] = [await peer(t, url, 'lobby'), await peer(t, url, 'garden')];
  let sockets = 0;
  const { page, faults } = await open(EMBED.several, async (page) => page.on('websocket', () => sockets++));
  for (const [group, other, send] of [['lobby', lobby, 'Send'], ['garden', garden, 'Envoyer']]) {
    const chat = page.locator(`palabre-chat[group=${group}]`);
    await chat.locator('.send', { hasText: send }).waitFor();
    await chat.locator('.field').fill(`into the ${group}`);
    await chat.locator('.send').click();
    await other.hears(`into the ${group}`);
  }
  assert.equal(sockets, 1);
  assert.deepEqual(faults, []);
});

test('docs/embed.md names each part and each variable that the elements have, and no other', async () => {
  const text = await readFile(path.join(ROOT, 'docs/embed.md'), 'utf8');
  const folder = path.join(ROOT, 'clients/js/src/elements');
  const source = (await Promise.all((await readdir(folder)).map((name) => readFile(path.join(folder, name), 'utf8')))).join('\n');
  const sorted = (names) => [...new Set(names)].sort();

  const made = [...source.matchAll(/\b(?:make\('\w+', |button\(|signed\()'([\w -]+)'/g)].flatMap(([, names]) => names.split(' '));
  // Lines between messages are made in one place, with a name each.
  const lines = [...source.matchAll(/\bline\([^,]+, '(\w+)'/g)].map(([, name]) => name);
  const parts = text.split('| element | parts |')[1].split('\n\n')[0];
  const named = [...parts.matchAll(/`([a-z]+)`(?!:)/g)].map(([, name]) => name);
  assert.deepEqual(sorted(named), sorted([...made, ...lines, 'line']));

  const variables = (of) => sorted([...of.matchAll(/--palabre-[a-z-]+/g)].map(([name]) => name));
  assert.deepEqual(variables(text), variables(source));
});

test('the hub serves the client to any origin, under a tag by which it is known again', OPTIONS, async (t) => {
  const { url } = await hub(t);
  for (const name of ['palabre.js', 'palabre-elements.js']) {
    const headers = { origin: 'https://www.shop.example' };
    const first = await fetch(`${url}/${name}`, { headers });
    assert.equal(first.headers.get('access-control-allow-origin'), '*');
    assert.equal(first.headers.get('cache-control'), 'no-cache');
    await first.text();
    const again = await fetch(`${url}/${name}`, { headers: { ...headers, 'if-none-match': first.headers.get('etag') } });
    assert.equal(again.status, 304);
  }
});

test('recipe: styles of one\'s own', OPTIONS, async (t) => {
  const { open } = await scene(t);
  const { page, faults } = await open(COOKBOOK['own-styles']);
  await writes(page, 'in style');
  const styled = (selector, property) =>
    page.locator(selector).first().evaluate((element, name) => getComputedStyle(element).getPropertyValue(name), property);
  await page.locator('.text', { hasText: 'in style' }).waitFor();
  assert.equal(await styled('.text', 'border-top-style'), 'dashed');
  assert.equal(await styled('.text', 'border-radius'), '2px');
  assert.equal(await styled('.send', 'text-transform'), 'uppercase');
  assert.equal(await styled('.send', 'background-color'), 'rgb(122, 47, 143)');
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.equal(await styled('.send', 'background-color'), 'rgb(217, 163, 234)', 'the reader\'s preference, as the page allows it');
  assert.deepEqual(faults, []);
});

test('recipe: messages of one\'s own', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const { group } = await peer(t, url);
  const { page, faults } = await open(COOKBOOK['own-messages']);
  await page.locator('.field').waitFor();
  await page.locator('#roll').click();
  const { data, text } = await shown(group, (entry) => entry.data?.dice);
  assert.equal(text, `rolled a ${data.dice}`);
  await page.locator('.message .text', { hasText: String.fromCodePoint(0x267f + data.dice) }).waitFor();
  await group.send({ text: 'no dice', data: { dice: '<b>7</b>' } });
  await page.locator('.message .text').getByText('no dice', { exact: true }).waitFor();
  assert.deepEqual(faults, []);
});

test('recipe: your users\' tokens', OPTIONS, async (t) => {
  const { open, site, url } = await scene(t);
  // The hub as it ships knows the tokens that itself gave: one of those stands for the application's.
  const { client, group } = await peer(t, url);
  const socket = new (await import('ws')).default(url.replace('http', 'ws') + '/ws', 'palabre.v1');
  socket.on('open', () => socket.send(JSON.stringify({ type: 'hello', ref: '1', name: 'Known' })));
  const { token, user } = JSON.parse(String((await once(socket, 'message'))[0]));
  socket.close();
  assert.notEqual(user.id, client.user.id);

  let status = 200;
  site.route('/chat-token', (asked, answer) => answer.writeHead(asked.method === 'POST' ? status : 405).end(token));
  site.page('/login', 'who are you?');
  const { page, faults } = await open(COOKBOOK.tokens);
  await writes(page, 'it is really me');
  const message = await shown(group, ({ text }) => text === 'it is really me');
  assert.equal(message.user.id, user.id);
  assert.deepEqual(faults, []);

  status = 401;
  await page.reload();
  await page.waitForURL('**/login');
});

/** A snippet in JSX as a page: bundled with what it imports, as an application would be. */
async function bundled(t, snippet, url) {
  const at = await folder(t, { '@palabre/client': path.join(ROOT, 'clients/js') });
  const { outputFiles } = await build({
    stdin: { contents: forHub(snippet, url), loader: 'jsx', resolveDir: at },
    nodePaths: [path.join(at, 'node_modules'), path.dirname(installed('react'))],
    bundle: true,
    format: 'esm',
    jsx: 'automatic',
    // What runs effects twice under StrictMode.
    define: { 'process.env.NODE_ENV': '"development"' },
    write: false,
  });
  return outputFiles[0].text;
}

for (const name of ['react', 'react-elements']) {
  test(`recipe: ${name}, under StrictMode`, OPTIONS, async (t) => {
    const { site, url, chrome } = await scene(t);
    const { group, hears } = await peer(t, url);
    await group.send('before');
    site.script('/app.js', await bundled(t, COOKBOOK[name], url));
    const root = '<div id="root"></div><script type="module" src="/app.js"></script>';
    const { page, faults } = await look(chrome, site.page('/', root));
    const said = (text) => page.getByText(text).and(page.locator(name === 'react' ? 'p' : '.text')).waitFor();
    await said('before');
    const field = page.locator(name === 'react' ? 'input' : '.field');
    await field.fill('from React');
    await field.press('Enter');
    await hears('from React');
    await said('from React');
    await group.send('to React');
    await said('to React');
    const once = page.getByText('to React').and(page.locator(name === 'react' ? 'p' : '.text'));
    assert.equal(await once.count(), 1);
    assert.deepEqual(faults, []);
  });
}

test('recipe: a chat without the elements', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const { group, hears } = await peer(t, url);
  const { page, faults } = await open(COOKBOOK.plain);
  await page.locator('input').fill('<i>plain</i>');
  await page.locator('button').click();
  await hears('<i>plain</i>');
  await group.send('understood');
  await page.locator('li', { hasText: 'Pia: understood' }).waitFor();
  await page.locator('li', { hasText: /: <i>plain<\/i>$/ }).waitFor();
  assert.deepEqual(faults, []);
});

test('recipe: what is unread, in several groups', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const { client } = await peer(t, url);
  const { page, faults } = await open(COOKBOOK.unread);
  // What comes when the page has joined is new to it.
  const met = async (name) => {
    const group = client.group(name);
    await group.join();
    await new Promise((resolve) => {
      group.on('presence', ({ occupancy }) => occupancy > 1 && resolve());
      group.watchMembers();
    });
    return group;
  };
  const [lobby, garden] = await Promise.all([met('lobby'), met('garden')]);
  await lobby.send('one');
  await lobby.send('two');
  await garden.send('three');
  await page.getByRole('button', { name: 'lobby (2)', exact: true }).waitFor();
  await page.getByRole('button', { name: 'garden (1)', exact: true }).waitFor();
  await page.waitForFunction(() => document.title === '(3) Chat');
  await page.getByRole('button', { name: 'lobby (2)' }).click();
  await page.getByRole('button', { name: 'lobby', exact: true }).waitFor();
  await page.waitForFunction(() => document.title === '(1) Chat');
  assert.deepEqual(faults, []);
});

test('recipe: what waits to be sent', OPTIONS, async (t) => {
  const { open, hub: one, site, url } = await scene(t);
  const { page, faults } = await open(COOKBOOK.queue);
  await writes(page, 'while it is there');
  await page.locator('palabre-chat .state', { hasText: 'Sent' }).waitFor({ state: 'attached' });
  await end(one.child);
  await page.waitForFunction(() => document.querySelector('palabre-chat').client.status !== 'connected');
  await writes(page, 'while it is away');
  await writes(page, 'not meant so');
  const waiting = page.locator('#waiting li');
  await waiting.nth(1).waitFor();
  assert.match(await waiting.first().textContent(), /^lobby: while it is away \(queued\)/);
  await waiting.nth(1).getByRole('button', { name: 'Give up' }).click();
  await waiting.nth(1).waitFor({ state: 'detached' });
  await page.locator('.text', { hasText: 'not meant so' }).waitFor({ state: 'detached' });

  // The scripts come from the hub, which is away: they stand here for those that a bundle would have.
  await page.route(`${url}/*.js`, (route) => {
    const file = path.join(ROOT, 'clients/js/dist', path.basename(new URL(route.request().url()).pathname));
    return route.fulfill({ path: file, headers: { 'access-control-allow-origin': '*', 'content-type': 'text/javascript' } });
  });
  await page.reload();
  await waiting.first().waitFor();
  await hub(t, { listen: new URL(url).host, settings: { PALABRE_SERVER_ORIGINS: site.origin } });
  const { hears } = await peer(t, url);
  await hears('while it is away');
  await waiting.first().waitFor({ state: 'detached' });
  // A browser says it itself when there is nobody to connect to.
  const others = faults.filter((fault) => !fault.includes('ERR_CONNECTION_REFUSED'));
  assert.deepEqual(others, []);
});

test('recipe: when the nodes have lost each other', OPTIONS, async (t) => {
  const redisUrl = await redis(t);
  const { open } = await scene(t, { redisUrl });
  const { page, faults } = await open(COOKBOOK.layer);
  await page.waitForFunction(() => document.querySelector('palabre-chat')?.client?.layer?.state === 'healthy');
  assert.equal(await page.locator('#banner').isVisible(), false);
  const socket = net.connect(new URL(redisUrl).port, '127.0.0.1');
  socket.on('error', () => {}); // It ends in the middle of it.
  socket.write('SHUTDOWN NOSAVE\r\n');
  await page.locator('#banner', { hasText: /^Only this server, since .+\.$/ }).waitFor({ timeout: 30_000 });
  assert.deepEqual(faults, []);
});

test('recipe: older messages', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const { group } = await peer(t, url);
  await Promise.all(Array.from({ length: 130 }, (_, number) => group.send(`number ${number}`)));
  const { page, faults } = await open(COOKBOOK.older);
  await page.locator('p', { hasText: 'number 129' }).waitFor();
  assert.equal(await page.locator('p').count(), 50, 'a join brings the latest');
  const seen = page.getByText('number 129', { exact: true });
  assert.ok(await seen.evaluate((line) => line.getBoundingClientRect().top < window.innerHeight), 'it begins at the end');

  const [first, place] = await page.evaluate(() => {
    const log = document.querySelector('#log');
    log.scrollTop = 100;
    return [log.firstChild.textContent, log.firstChild.getBoundingClientRect().top];
  });
  await page.waitForFunction(() => document.querySelectorAll('p').length === 100);
  const moved = await page.getByText(first, { exact: true }).evaluate((line) => line.getBoundingClientRect().top);
  assert.ok(Math.abs(moved - place) < 1, `the reader was moved by ${moved - place} px`);
  await page.evaluate(() => (document.querySelector('#log').scrollTop = 0));
  await page.getByText('number 0', { exact: true }).waitFor({ state: 'attached' });
  assert.deepEqual(await page.locator('p').allTextContents(), Array.from({ length: 130 }, (_, number) => `number ${number}`));
  assert.deepEqual(faults, []);
});

test('recipe: words of your own consumer', OPTIONS, async (t) => {
  const { open, url } = await scene(t);
  const socketUrl = url.replace('http', 'ws') + '/ws';
  // What the consumer of docs/consumers.md answers, said here: the hub as it ships has no notes.
  const notes = [{ type: 'notes.added', group: 'board', id: 'n0', by: 'Ben', text: 'kept from yesterday' }];
  const { page, faults } = await open(COOKBOOK['own-words'], (page) =>
    page.routeWebSocket(socketUrl, (socket) => {
      const there = socket.connectToServer();
      there.onMessage((text) => {
        const frame = JSON.parse(text);
        if (frame.type === 'joined') frame.snapshot.messages.push(...notes);
        socket.send(JSON.stringify(frame));
      });
      socket.onMessage((text) => {
        const { type, ref, group, text: note } = JSON.parse(text);
        if (type !== 'notes.add') return there.send(text);
        if (note === 'bad') return socket.send(JSON.stringify({ type: 'error', ref, code: 'bad_request', message: 'a note needs a text' }));
        const added = { type: 'notes.added', group, id: `n-${ref}`, by: 'Ada', text: note };
        for (const frame of [added, added, { type: 'notes.kept', ref, scope: 'node' }]) socket.send(JSON.stringify(frame));
      });
    }),
  );
  await page.locator('li', { hasText: 'Ben: kept from yesterday' }).waitFor();
  await page.locator('input').fill('buy bread');
  await page.locator('button').click();
  await page.locator('output', { hasText: 'This server has it.' }).waitFor();
  assert.deepEqual(await page.locator('li').allTextContents(), ['Ben: kept from yesterday', 'Ada: buy bread']);
  await page.locator('input').fill('bad');
  await page.locator('button').click();
  await page.locator('output', { hasText: 'a note needs a text' }).waitFor();
  assert.deepEqual(faults, []);
});

test('links between the documents lead somewhere', async () => {
  const read = async (name) => [`${name}.md`, await readFile(path.join(ROOT, `docs/${name}.md`), 'utf8')];
  const texts = Object.fromEntries(await Promise.all(['embed', 'cookbook', 'sdk'].map(read)));
  const anchor = ([, title]) => title.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-');
  for (const [from, text] of Object.entries(texts)) {
    for (const [link, file, place] of text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
      if (file) await access(path.join(ROOT, 'docs', file));
      const there = texts[file || from] && [...texts[file || from].matchAll(/^#+ (.+)$/gm)].map(anchor);
      assert.ok(!place || !there || there.filter((one) => one === place).length === 1, `${from}: ${link}`);
    }
  }
});

test('every recipe is run here or in package.test.mjs', async () => {
  const tests = await Promise.all(['docs.test.mjs', 'package.test.mjs'].map((name) => readFile(path.join(ROOT, 'tests/browser', name), 'utf8')));
  const left = Object.keys({ ...EMBED, ...COOKBOOK, ...(await snippets('clients/js/README.md')) }).filter(
    (name) => !tests.some((text) => new RegExp(`(\\.|')${name}\\b`).test(text)),
  );
  assert.deepEqual(left, []);
});
