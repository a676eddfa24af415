// The demo's page around the chat: groups, people, small and odd screens.
//
// Needs what two_nodes.test.mjs needs, but Redis.

import assert from 'node:assert/strict';
import test from 'node:test';
import { hub } from './hubs.mjs';
import { browser, lines, Talker, Visitor } from './pages.mjs';

test('on a very low screen the page scrolls, and the chat keeps some height', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const talker = await Talker.open(chrome, one.url, 'Cy');
  await talker.say('lobby', lines(30));
  // What a page of 1,280 by 1,024 is at four times its size.
  const a = await Visitor.open(chrome, one.url, { width: 320, height: 256 });
  await a.sees('line 30');
  const height = await a.page.locator('.log').evaluate((log) => log.clientHeight);
  assert.ok(height > 100, `${height}`);
  await a.say('from below');
  await a.sent('from below');
  assert.ok(await a.page.locator('.field').evaluate((field) => field.getBoundingClientRect().bottom <= innerHeight));
  assert.equal(await a.scrollsSideways(), false);
  assert.deepEqual(a.faults, []);
});

test('of many groups the open one is in sight, and told by more than a colour', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url, { width: 800, height: 500 });
  for (let number = 1; number <= 40; number++) {
    await a.page.evaluate((name) => (location.hash = name), `g${number}`);
    await a.room(`g${number}`);
  }
  await a.page.waitForFunction(() => {
    const { top, bottom } = document.querySelector('#groups a[aria-current]').getBoundingClientRect();
    return document.querySelector('#groups a[aria-current]').textContent === 'g40' && top >= 0 && bottom <= innerHeight;
  });
  await a.page.emulateMedia({ forcedColors: 'active' });
  const [first, last] = await a.page.evaluate(() => {
    const all = [...document.querySelectorAll('#groups a')];
    return [all[0], all.at(-1)].map((link) => getComputedStyle(link).borderTopWidth);
  });
  assert.notEqual(first, last);
  assert.deepEqual(a.faults, []);
});

test('the list of who is here closes by Escape and by a look elsewhere', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url);
  const list = a.page.locator('#members');
  await a.page.locator('#occupancy').click();
  await list.locator('li').waitFor();
  await a.page.keyboard.press('Escape');
  await list.waitFor({ state: 'hidden' });
  assert.equal(await a.focused(), 'summary #occupancy');
  await a.page.locator('#occupancy').click();
  await list.locator('li').waitFor();
  await a.page.locator('.field').click();
  await list.waitFor({ state: 'hidden' });
  assert.deepEqual(a.faults, []);
});

test('the way back leads to no group that was left', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url);
  for (const name of ['garden', 'kitchen', 'garden']) {
    await a.page.evaluate((name) => (location.hash = name), name);
    await a.room(name);
  }
  await a.page.locator('#leave').click();
  await a.room('lobby');
  await a.page.goBack();
  await a.room('kitchen');
  await a.page.goBack();
  await a.page.waitForURL('**/#kitchen');
  await a.page.goBack();
  await a.room('lobby');
  assert.deepEqual(await a.page.locator('#groups a').allTextContents(), ['lobby', 'kitchen']);
  assert.deepEqual(a.faults, []);
});

test('a link that is pressed while news comes is followed all the same', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url);
  await a.page.evaluate(() => (location.hash = 'garden'));
  await a.room('garden');
  const link = a.page.locator('#groups a').first();
  await link.hover();
  await a.page.mouse.down();
  const talker = await Talker.open(chrome, one.url, 'Cy');
  await talker.say('lobby', lines(2));
  await link.getByText('2 new').waitFor();
  await a.page.mouse.up();
  await a.room('lobby');
  assert.deepEqual(a.faults, []);
});
