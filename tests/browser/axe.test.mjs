// What a machine can find wrong with the page for people who see, hear or point differently: axe-core in every state
// of the page, and nothing that scrolls sideways on the smallest phones.
//
// What only use shows is in keyboard.test.mjs. Needs what two_nodes.test.mjs needs, but Redis.

import assert from 'node:assert/strict';
import test from 'node:test';
import axe from 'axe-core';
import { hub } from './hubs.mjs';
import { browser, Talker, Visitor } from './pages.mjs';
import { Way } from './proxy.mjs';

const PHONE = { width: 360, height: 640 };
const SMALLEST = { width: 320, height: 568 };
const DESKTOP = { width: 1280, height: 800 };
const LONG = 'W'.repeat(64);

const MODES = [
  { name: 'on a phone, light', viewport: PHONE, options: { colorScheme: 'light', hasTouch: true, isMobile: true } },
  { name: 'on a phone, dark', viewport: PHONE, options: { colorScheme: 'dark', hasTouch: true, isMobile: true } },
  { name: 'on a desktop, light', viewport: DESKTOP, options: { colorScheme: 'light' } },
  { name: 'on a desktop, dark', viewport: DESKTOP, options: { colorScheme: 'dark' } },
  { name: 'in French', viewport: PHONE, options: { locale: 'fr-CH', colorScheme: 'light' } },
];

/** @param {Visitor} visitor @param {string} state what the page shows, for who reads a failure */
async function faultless(visitor, state) {
  const { page } = visitor;
  // Evaluated, not loaded: the page's policy stays as it is.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const found = violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => ({ id, target, failureSummary })));
  assert.deepEqual(found, [], state);
  assert.equal(await visitor.scrollsSideways(), false, `${state}: something is wider than the window`);
}

/** A page that has messages of all kinds and states, behind a way that is closed by now. */
async function full(t, { viewport, options }) {
  const way = await Way.open(t);
  const one = await hub(t, { settings: way.settings });
  way.to(one.url);
  const chrome = await browser(t);
  const talker = await Talker.open(chrome, one.url, LONG);
  const [first] = await talker.say('lobby', ['x'.repeat(400), 'see https://example.org/?q=words and <b>no markup</b>']);
  await talker.say('lobby', [{ text: 'an answer', replyTo: first }]);
  const a = await Visitor.open(chrome, way.url, viewport, options);
  await a.sees('an answer');
  await faultless(a, 'messages of others');
  await a.page.evaluate(async (id) => {
    const { group } = document.getElementById('chat');
    const { id: gone } = await group.send('gone');
    await group.delete(gone);
    const { id: mended } = await group.send('mnded');
    await group.edit(mended, 'mended');
    for (const kind of ['👍', '🎉', '❤️']) await group.react(id, kind);
    await group.send('y'.repeat(300));
    await group.send('settled');
  }, first);
  await a.message('settled').waitFor();
  return { a, way, one, chrome };
}

for (const mode of MODES) {
  test(`axe finds nothing ${mode.name}`, async (t) => {
    const one = await hub(t);
    const chrome = await browser(t);
    const empty = await Visitor.open(chrome, `${one.url}/#empty`, mode.viewport, mode.options);
    await empty.page.locator('.line').waitFor();
    await faultless(empty, 'an empty group');
    await empty.side();
    await faultless(empty, 'groups and settings');
    await empty.page.locator('#occupancy').click();
    await empty.page.locator('#members li').waitFor();
    await faultless(empty, 'members');
    await empty.page.locator('#leave').click();
    await empty.page.locator('#chat').waitFor({ state: 'hidden' });
    await faultless(empty, 'no group');

    const { a, way } = await full(t, mode);
    await faultless(a, 'messages of all kinds');
    const last = a.message('settled');
    await last.focus();
    await last.locator('.tools').waitFor();
    await faultless(a, 'the toolbar');
    await a.page.keyboard.press('+');
    await faultless(a, 'the reactions to choose from');
    await a.page.keyboard.press('Escape');
    await a.page.keyboard.press('Delete');
    await faultless(a, 'a deletion that is asked for');
    await a.page.keyboard.press('Escape');
    await a.page.keyboard.press('r');
    await a.page.locator('.about').waitFor();
    await faultless(a, 'a reply');
    await a.page.keyboard.press('Escape');
    way.refuse();
    await a.page.locator('palabre-status .connection[data-mood=busy]').waitFor();
    for (const text of ['waits', 'fails']) {
      await a.page.locator('.field').fill(text);
      await a.page.locator('.field').press('Enter');
    }
    await a.message('fails').waitFor();
    await faultless(a, 'messages that wait');
    // The hub is not there to refuse it; what it says is what counts here.
    await a.page.evaluate(() => {
      const key = Object.keys(sessionStorage).find((one) => one.endsWith(':queue'));
      const queue = JSON.parse(sessionStorage.getItem(key));
      Object.assign(queue[1], { state: 'failed', code: 'expired' });
      sessionStorage.setItem(key, JSON.stringify(queue));
    });
    await a.page.reload();
    await a.page.locator('.message[data-state=failed] .again').waitFor();
    await faultless(a, 'a message that failed');
  });
}

test('a group that is refused says why, and axe finds nothing', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  for (const colorScheme of ['light', 'dark']) {
    const a = await Visitor.open(chrome, one.url, PHONE, { colorScheme });
    // One group more than a connection may be in (docs/protocol.md, "Limits").
    const names = Array.from({ length: 200 }, (_, index) => `group-${index}`);
    await a.page.evaluate((names) => {
      localStorage.setItem('palabre.page.groups', JSON.stringify(names));
      history.replaceState(null, '', '#one-too-many');
    }, names);
    await a.page.reload();
    await a.page.locator('.notice', { hasText: 'This group cannot be joined' }).waitFor();
    await faultless(a, `a group refused, ${colorScheme}`);
    await a.side();
    await faultless(a, `two hundred groups, ${colorScheme}`);
  }
});

test('on the smallest phones nothing scrolls sideways, whatever people write and whatever they are called', async (t) => {
  for (const viewport of [PHONE, SMALLEST]) {
    const { a } = await full(t, { viewport, options: { hasTouch: true, isMobile: true } });
    const still = async (state) => {
      await a.frame();
      assert.equal(await a.scrollsSideways(), false, `${viewport.width}: ${state}`);
      const inside = await a.page.evaluate(() => {
        const { shadowRoot } = document.getElementById('chat');
        return [...shadowRoot.querySelectorAll('.log, .composer, .notice')].every((one) => one.scrollWidth <= one.clientWidth);
      });
      assert.ok(inside, `${viewport.width}: ${state}, inside the chat`);
    };
    await still('long words');
    await a.message('settled').focus();
    await a.page.keyboard.press('+');
    await still('the toolbar');
    await a.page.locator('.log').evaluate((log) => (log.scrollTop = 0));
    await a.message('x'.repeat(400)).focus();
    await a.page.keyboard.press('r');
    await still('a reply to somebody with a long name');
    await a.side();
    await a.page.locator('#group').fill('g'.repeat(99));
    await a.page.locator('#group').press('Enter');
    await a.room('g'.repeat(99));
    await still('a long group');
    await a.side();
    await still('its link');
    await a.page.locator('#name').fill(LONG);
    await a.page.locator('#name').press('Enter');
    await a.page.locator('#side summary').click();
    await a.page.locator('.field').fill('mine');
    await a.page.locator('.field').press('Enter');
    await a.message('mine').locator('.author', { hasText: LONG }).waitFor();
    await still('a long name of one');
    await a.page.locator('#occupancy').click();
    await a.page.locator('#members li').waitFor();
    await still('its members');
  }
});
