// What a person sees in a real browser: two nodes behind one Redis, and one node by itself.
//
// Needs Debian's chromium and redis-server and a built hub; `PALABRE_BIN` names another binary, `CHROMIUM`
// another browser.

import assert from 'node:assert/strict';
import test from 'node:test';
import { end, hub, redis } from './hubs.mjs';
import { browser, Visitor } from './pages.mjs';

const PHONE = { width: 360, height: 640 };

async function conversation(a, b) {
  await a.takeName('Ana');
  await b.takeName('Bo');
  // One after the other is seen, so that the order is known; then both at once, where only its sameness is.
  await a.say('first, from Ana');
  await b.sees('first, from Ana');
  await b.say('second, from Bo');
  await a.sees('second, from Bo');
  await Promise.all([a.say('third, from Ana'), b.say('fourth, from Bo')]);
  await Promise.all([a.sees('fourth, from Bo'), b.sees('third, from Ana')]);
  await Promise.all([a.sent('third, from Ana'), b.sent('fourth, from Bo')]);
  const texts = await a.texts();
  assert.deepEqual(texts.slice(0, 2), ['first, from Ana', 'second, from Bo']);
  assert.deepEqual(texts.slice(2).sort(), ['fourth, from Bo', 'third, from Ana']);
  assert.deepEqual(await b.texts(), texts, 'both show each message once and in one order');
  return texts;
}

test('two people on two nodes talk, a third reads it later, a reload keeps who one is', async (t) => {
  const redisUrl = await redis(t);
  const [one, two] = await Promise.all([hub(t, { redisUrl }), hub(t, { redisUrl })]);
  const chrome = await browser(t);
  const [a, b] = await Promise.all([Visitor.open(chrome, one.url), Visitor.open(chrome, two.url, PHONE)]);
  await Promise.all([a.layer('Cluster'), b.layer('Cluster')]);
  const texts = await conversation(a, b);

  const late = await Visitor.open(chrome, two.url, PHONE);
  await late.sees(texts[3]);
  assert.deepEqual(await late.texts(), texts, 'who joins late is shown the history');
  assert.equal(await late.page.locator('.message .author').first().textContent(), 'Ana');

  const before = await b.userId();
  await b.page.reload();
  await b.connection('Connected');
  await b.sees(texts[3]);
  assert.equal(await b.userId(), before);
  assert.equal(await b.page.locator('.message.mine').count(), 2, 'own messages are known again after a reload');

  await b.say('x'.repeat(300));
  await a.sees('x'.repeat(300));
  for (const visitor of [b, late]) assert.equal(await visitor.scrollsSideways(), false);
  for (const visitor of [a, b, late]) assert.deepEqual(visitor.faults, []);
});

test('a page whose node was killed says so, keeps what is written and sends it once to the next one', async (t) => {
  const redisUrl = await redis(t);
  const [one, two] = await Promise.all([hub(t, { redisUrl }), hub(t, { redisUrl })]);
  const chrome = await browser(t);
  const [a, b] = await Promise.all([Visitor.open(chrome, one.url), Visitor.open(chrome, two.url)]);
  await Promise.all([a.layer('Cluster'), b.layer('Cluster')]);
  await a.say('before');
  await a.sent('before');
  await end(one.child, 'SIGKILL');
  await a.connection('Reconnecting');
  await a.say('written while away');
  await b.say('said meanwhile');
  await b.sent('said meanwhile');

  await hub(t, { redisUrl, listen: new URL(one.url).host });
  await a.connection('Connected');
  await a.sent('written while away');
  await b.sees('written while away');
  await a.sees('said meanwhile');
  const told = ['before', 'said meanwhile', 'written while away'];
  assert.deepEqual(await a.texts(), told);
  assert.deepEqual(await b.texts(), told);
  assert.deepEqual(b.faults, []);
});

test('one node without Redis serves two people', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const [a, b] = await Promise.all([Visitor.open(chrome, one.url), Visitor.open(chrome, one.url, PHONE)]);
  await Promise.all([a.layer('One server'), b.layer('One server')]);
  assert.equal(await a.page.locator('palabre-status .banner').isVisible(), false, 'one node alone is no outage');
  await conversation(a, b);
  for (const visitor of [a, b]) assert.deepEqual(visitor.faults, []);
});

test('a link leads to a group, and a group that is not looked at is marked', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const [a, b] = await Promise.all([Visitor.open(chrome, `${one.url}/#garden`), Visitor.open(chrome, one.url)]);
  await a.room('garden');
  await b.tabTo('#group');
  await b.page.keyboard.type('garden');
  await b.page.keyboard.press('Enter');
  await b.say('in the garden');
  await a.sees('in the garden');
  await b.page.locator('#groups a', { hasText: 'lobby' }).press('Enter');
  await b.room('lobby');
  await a.say('are you there?');
  await b.page.locator('#groups a', { hasText: 'garden 1 new' }).press('Enter');
  await b.sees('are you there?');
  await b.page.locator('#groups .unread').waitFor({ state: 'detached' });
  await b.page.locator('#leave').press('Enter');
  await b.page.locator('#groups a', { hasText: 'garden' }).waitFor({ state: 'detached' });
  for (const visitor of [a, b]) assert.deepEqual(visitor.faults, []);
});
