// What a person notices when something breaks under their page: a node, the network, the laptop's lid. Nothing that
// was written is lost or said twice, nothing that others said is missing, and a draft stays where it is.
//
// The way to the hub leads through proxy.mjs. The layer's own outages, seen by raw clients, are tested in
// tests/it. Needs what two_nodes.test.mjs needs.

import assert from 'node:assert/strict';
import test from 'node:test';
import { end, hub, redis } from './hubs.mjs';
import { browser, lines, Talker, Visitor } from './pages.mjs';
import { Way } from './proxy.mjs';

/** Ana behind a way that may break, Bo on a node of his own, both behind one Redis. */
async function apart(t) {
  const [redisUrl, way, chrome] = await Promise.all([redis(t), Way.open(t), browser(t)]);
  const [one, two] = await Promise.all([hub(t, { redisUrl, settings: way.settings }), hub(t, { redisUrl, settings: way.settings })]);
  way.to(one.url);
  const [a, b] = await Promise.all([Visitor.open(chrome, way.url), Visitor.open(chrome, two.url)]);
  await Promise.all([a.layer('Cluster'), b.layer('Cluster')]);
  return { a, b, way, one, two, chrome, redisUrl };
}

/** Both show the same, each message once. */
async function agree(visitors, told) {
  for (const visitor of visitors) {
    for (const text of told) await visitor.sees(text);
    assert.deepEqual(await visitor.texts(), told);
  }
}

/** What stands in the group, on the screen or above it; a note of a hole as it is. */
const held = ({ page }) =>
  page.evaluate(() => document.getElementById('chat').group.messages.map((one) => (one.type === 'note' ? one : one.text)));

const caret = ({ page }) =>
  page.evaluate(() => {
    const { value, selectionStart, selectionEnd } = document.getElementById('chat').shadowRoot.querySelector('.field');
    return { value, selectionStart, selectionEnd };
  });

test('a draft and its caret stay while a node dies, and go out once through another', async (t) => {
  const { a, b, way, one, two } = await apart(t);
  await a.tabTo('.field');
  await a.page.keyboard.type('half a thought');
  for (let back = 0; back < 7; back++) await a.page.keyboard.press('ArrowLeft');
  const before = await caret(a);
  assert.equal(before.selectionStart, 7);
  await end(one.child, 'SIGKILL');
  await a.connection('Reconnecting');
  assert.deepEqual(await caret(a), before);
  await a.page.keyboard.type('of ');
  way.to(two.url);
  await a.connection('Connected');
  assert.deepEqual(await caret(a), { value: 'half a of thought', selectionStart: 10, selectionEnd: 10 });
  assert.equal(await a.focused(), 'textarea field');
  await a.page.keyboard.press('Enter');
  await a.sent('half a of thought');
  await agree([a, b], ['half a of thought']);
  assert.deepEqual(b.faults, []);
});

test('what is written while a node is dead goes out once and in order when it is back', async (t) => {
  const { a, b, one, way, redisUrl } = await apart(t);
  await a.say('before');
  await b.sees('before');
  await end(one.child, 'SIGKILL');
  await a.connection('Reconnecting');
  const written = lines(5);
  for (const text of written) await a.say(text);
  await a.message('line 5').locator('.state', { hasText: 'Waiting to be sent' }).waitFor();
  await hub(t, { redisUrl, settings: way.settings, listen: new URL(one.url).host });
  await a.connection('Connected');
  await a.sent('line 5');
  await agree([a, b], ['before', ...written]);
});

test('the network is cut and comes back: what was written meanwhile arrives once and in order', async (t) => {
  const { a, b, way } = await apart(t);
  await a.say('before');
  await b.sees('before');
  way.refuse();
  await a.connection('Reconnecting');
  for (const text of ['a1', 'a2', 'a3']) await a.say(text);
  for (const text of ['b1', 'b2', 'b3']) await b.say(text);
  await b.sent('b3');
  way.mend();
  await a.sent('a3');
  await agree([a, b], ['before', 'b1', 'b2', 'b3', 'a1', 'a2', 'a3']);
});

test('what went out before the cut and was not answered is not said twice', async (t) => {
  const { a, b, way } = await apart(t);
  await a.say('before');
  await b.sees('before');
  // Each time other bytes are on their way: some messages have arrived and some have not.
  const told = ['before'];
  for (let cut = 1; cut <= 4; cut++) {
    const texts = lines(4, 4 * cut - 3);
    for (const [index, text] of texts.entries()) {
      await a.say(text);
      if (index === cut - 1) way.cut();
    }
    told.push(...texts);
    await a.sent(texts[3]);
  }
  await agree([a, b], told);
});

test('a network that goes silent is found out, and its messages go another way', async (t) => {
  const { a, b, way } = await apart(t);
  await a.say('before');
  await b.sees('before');
  way.silence();
  await a.say('into the void');
  await b.say('meanwhile');
  await b.sent('meanwhile');
  // The browser is told that the network changed; the page asks whether its socket lives, and hears nothing.
  await a.page.evaluate(() => dispatchEvent(new Event('online')));
  await a.connection('Reconnecting');
  way.cut();
  way.mend();
  await a.sent('into the void');
  await agree([a, b], ['before', 'meanwhile', 'into the void']);
});

test('a page that slept comes back by itself, without a hole and without a copy', async (t) => {
  const { a, b, way, two, chrome } = await apart(t);
  await a.say('before');
  await b.sees('before');
  const talker = await Talker.open(chrome, two.url, 'Cy');
  const devtools = await a.page.context().newCDPSession(a.page);
  // The lid is closed: no script runs, and nothing comes through.
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  way.silence();
  await talker.say('lobby', lines(70));
  await b.sees('line 70');
  way.cut();
  way.mend();
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  await a.connection('Connected');
  await a.sees('line 70');
  assert.deepEqual(await held(a), ['before', ...lines(70)]);
  await a.say('awake');
  await b.sees('awake');
});

test('two tabs of one guest: each has its own queue, and both know both as their own', async (t) => {
  const way = await Way.open(t);
  const one = await hub(t, { settings: way.settings });
  way.to(one.url);
  const chrome = await browser(t);
  const first = await Visitor.open(chrome, way.url);
  await first.takeName('Ana');
  const second = await first.tab(way.url);
  assert.equal(await first.userId(), await second.userId());
  await first.say('from the first');
  await second.sees('from the first');
  await second.say('from the second');
  await first.sees('from the second');
  for (const tab of [first, second]) assert.equal(await tab.page.locator('.message.mine').count(), 2);
  await second.page.locator('#occupancy', { hasText: '1 person here' }).waitFor();

  way.refuse();
  await Promise.all([first.connection('Reconnecting'), second.connection('Reconnecting')]);
  await first.say('waits in the first');
  await second.say('waits in the second');
  assert.equal(await first.message('waits in the second').count(), 0);
  // A reload brings back what this tab wrote, and not what the other did.
  await first.page.reload();
  await first.message('waits in the first').waitFor();
  assert.equal(await first.message('waits in the second').count(), 0);
  way.mend();
  await Promise.all([first.sent('waits in the first'), second.sent('waits in the second')]);
  await Promise.all([first.sees('waits in the second'), second.sees('waits in the first')]);
  const told = await first.texts();
  assert.deepEqual([...told].sort(), ['from the first', 'from the second', 'waits in the first', 'waits in the second']);
  assert.deepEqual(await second.texts(), told);
  for (const tab of [first, second]) assert.equal(await tab.page.locator('.message.mine').count(), 4);
});

test('a node that is drained sends its page to another, and nothing is lost on the way', async (t) => {
  const { a, b, way, one, two, chrome } = await apart(t);
  await a.say('before');
  await b.sees('before');
  const talker = await Talker.open(chrome, two.url, 'Cy');
  way.to(two.url);
  const talked = talker.say('lobby', lines(60), { perSecond: 20 });
  const gone = end(one.child);
  const moved = a.page.waitForEvent('websocket');
  for (const text of ['a1', 'a2', 'a3']) await a.say(text);
  await Promise.all([gone, moved, talked]);
  await a.connection('Connected');
  for (const visitor of [a, b]) await visitor.holds(64);
  const told = await held(b);
  assert.deepEqual(await held(a), told);
  assert.deepEqual(told.filter((text) => text.startsWith('line')), lines(60));
  assert.deepEqual(told.filter((text) => text.startsWith('a')), ['a1', 'a2', 'a3']);
});
