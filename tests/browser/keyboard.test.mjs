// The page without a mouse, and for who hears it: everything can be done by keys, the focus is never lost, and what is
// new is said aloud, once and not too often.
//
// Needs what two_nodes.test.mjs needs, but Redis.

import assert from 'node:assert/strict';
import test from 'node:test';
import { hub } from './hubs.mjs';
import { browser, lines, Talker, Visitor } from './pages.mjs';

const SAY_EVERY_MS = 2_000;

/** A page of whose focus all moves are kept, so that a moment without any is seen as well. */
async function watched(chrome, url) {
  const visitor = await Visitor.open(chrome, url);
  await visitor.page.locator('#name').focus();
  await visitor.page.evaluate(() => {
    globalThis.lost = [];
    let last = '';
    let key = '';
    addEventListener('keydown', (event) => (key = event.key), { capture: true });
    const look = () => {
      let at = document.activeElement;
      while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
      if (at === document.body || at === null || at.localName === 'palabre-chat') lost.push(`${key} at ${last}`);
      else last = `${at.localName} ${at.className} ${at.textContent.slice(0, 30)}`;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  return visitor;
}

/** @param {Visitor} visitor */
async function neverLost(visitor) {
  await visitor.frame();
  assert.deepEqual(await visitor.page.evaluate(() => [...new Set(globalThis.lost)]), []);
}

const press = (visitor, ...keys) => keys.reduce((before, key) => before.then(() => visitor.page.keyboard.press(key)), Promise.resolve());
const onMessage = (visitor, text) => visitor.message(text).and(visitor.page.locator(':focus')).waitFor();
/** Back from the messages, and not around by the browser's own controls. */
async function backTo(visitor, wanted) {
  for (let steps = 0; (await visitor.focused()) !== wanted; steps++) {
    assert.ok(steps < 30, `Shift and Tab do not lead to ${wanted}`);
    await visitor.page.keyboard.press('Shift+Tab');
  }
}
/** Tab until the button of this name has the focus. */
async function tabToButton(visitor, name) {
  const there = () => visitor.page.evaluate(() => {
    const at = document.getElementById('chat').shadowRoot.activeElement;
    return at?.localName === 'button' ? (at.ariaLabel ?? at.textContent) : null;
  });
  for (let steps = 0; (await there()) !== name; steps++) {
    assert.ok(steps < 30, `Tab does not lead to ${name}`);
    await visitor.page.keyboard.press('Tab');
  }
}

test('all is done by keyboard alone, and the focus is never lost', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const b = await Visitor.open(chrome, `${one.url}/#garden`);
  await b.takeName('Bo');
  const a = await watched(chrome, one.url);
  await a.takeName('Ana');
  await a.tabTo('#group');
  await a.page.keyboard.type('garden');
  await press(a, 'Enter');
  await a.room('garden');
  await a.frame();
  assert.equal(await a.focused(), 'textarea field', 'who joins a group may write in it at once');
  await a.say('mine');
  await a.sent('mine');
  await b.say('his');
  await a.sees('his');

  // Shift and Tab lead from the line to the list, the arrows from one message to the next.
  await backTo(a, 'div log');
  await press(a, 'ArrowUp');
  await onMessage(a, 'his');
  await press(a, 'ArrowUp');
  await onMessage(a, 'mine');
  await press(a, 'ArrowUp');
  await onMessage(a, 'mine');
  await press(a, 'ArrowDown');
  await onMessage(a, 'his');

  // React, and take it back at the reaction itself, which is gone then.
  await press(a, '+');
  await a.page.locator('.kind:focus').waitFor();
  await press(a, 'Enter');
  await b.message('his').locator('.reaction', { hasText: '👍 1' }).waitFor();
  await onMessage(a, 'his');
  await a.message('his').locator('.reaction').waitFor();
  await tabToButton(a, '👍 1 person');
  await press(a, 'Enter');
  await b.message('his').locator('.reaction').waitFor({ state: 'detached' });
  await a.message('his').locator('.reaction').waitFor({ state: 'detached' });
  await neverLost(a);
  await onMessage(a, 'his');

  await press(a, 'r');
  await a.page.locator('.about', { hasText: 'Reply to Bo: his' }).waitFor();
  await a.page.keyboard.type('answer');
  await press(a, 'Enter');
  await b.message('answer').locator('.quote', { hasText: 'Bo: his' }).waitFor();
  await a.sent('answer');

  // The quote is a button, and leads there.
  await backTo(a, 'div log');
  await press(a, 'ArrowUp');
  await onMessage(a, 'answer');
  await tabToButton(a, 'Bo: his');
  await press(a, 'Enter');
  await onMessage(a, 'his');

  await press(a, 'ArrowUp', 'e');
  await a.page.locator('.about', { hasText: 'Edit your message' }).waitFor();
  await press(a, 'Escape');
  assert.equal(await a.focused(), 'textarea field');
  await press(a, 'ArrowUp');
  await press(a, 'ControlOrMeta+A');
  await a.page.keyboard.type('another answer');
  await press(a, 'Enter');
  await b.sees('another answer');

  await backTo(a, 'div log');
  await press(a, 'ArrowUp');
  await onMessage(a, 'another answer');
  await press(a, 'Delete');
  await a.page.locator('.tool:focus', { hasText: 'Delete it for all?' }).waitFor();
  await press(a, 'Escape');
  await onMessage(a, 'another answer');
  assert.equal(await b.message('another answer').count(), 1);
  await press(a, 'Delete');
  await a.page.locator('.tool:focus', { hasText: 'Delete it for all?' }).waitFor();
  await press(a, 'Enter');
  await b.sees('Message deleted');
  await press(a, 'Escape');
  assert.equal(await a.focused(), 'textarea field');

  await backTo(a, 'button #leave');
  await press(a, 'Enter');
  await a.room('lobby');
  await neverLost(a);
  await backTo(a, 'button #leave');
  await press(a, 'Enter');
  await a.page.getByText('No group: join one by its name').waitFor();
  await neverLost(a);
  assert.equal(await a.focused(), 'input #group', 'there is nothing left but to join one');
  for (const visitor of [a, b]) assert.deepEqual(visitor.faults, []);
});

test('Enter that ends a composed character sends nothing', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url);
  await a.tabTo('.field');
  const method = await a.page.context().newCDPSession(a.page);
  await method.send('Input.imeSetComposition', { text: 'に', selectionStart: 1, selectionEnd: 1 });
  // A method of writing uses the key up: it makes no character.
  await method.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key: 'Enter', windowsVirtualKeyCode: 13 });
  // Safari's order: the composing has ended, then it tells of the key that ended it.
  const ended = { key: 'Enter', keyCode: 229, bubbles: true, composed: true, cancelable: true };
  await method.send('Input.insertText', { text: '日本' });
  await a.page.locator('.field').evaluate((field, key) => field.dispatchEvent(new KeyboardEvent('keydown', key)), ended);
  assert.equal(await a.page.locator('.field').inputValue(), '日本');
  await press(a, 'Enter');
  await a.sent('日本');
  assert.deepEqual(await a.texts(), ['日本']);
  assert.deepEqual(a.faults, []);
});

test('who jumps to the latest, or tries again, has the focus where that leads', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const talker = await Talker.open(chrome, one.url, 'Cy');
  await talker.say('lobby', lines(60));
  const a = await watched(chrome, one.url);
  await a.sees('line 60');
  await a.tabTo('.log');
  await press(a, 'Home');
  await a.page.locator('.latest').waitFor();
  await a.tabTo('.latest');
  await press(a, 'Enter');
  await a.page.locator('.latest').waitFor({ state: 'hidden' });
  await a.frame();
  assert.ok(await a.isOnScreen('line 60'));
  await neverLost(a);
  assert.equal(await a.focused(), 'div log');
  assert.deepEqual(a.faults, []);
});

test('what is new is said aloud, by a line of its own, at most once in two seconds; what is old is not', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const talker = await Talker.open(chrome, one.url, 'Cy');
  await talker.say('lobby', lines(120));
  const a = await Visitor.open(chrome, one.url);
  await a.takeName('Ana');
  await a.sees('line 120');
  const log = a.page.locator('[role=log]');
  assert.equal(await log.getAttribute('aria-live'), 'off');
  assert.equal(await log.getAttribute('aria-label'), 'Messages in lobby');
  await a.page.evaluate(() => {
    const line = document.getElementById('chat').shadowRoot.querySelector('.unseen[role=status]');
    globalThis.said = [];
    const hear = () => line.textContent && said.push({ at: performance.now(), text: line.textContent });
    new MutationObserver(hear).observe(line, { childList: true, characterData: true, subtree: true });
  });
  const said = () => a.page.evaluate(() => globalThis.said);
  const comes = (count) => a.page.waitForFunction((wanted) => globalThis.said.length >= wanted, count);
  // Older ones are loaded, and own ones written: neither is news to whom it concerns.
  await a.page.evaluate(() => document.getElementById('chat').group.loadOlder());
  await a.say('my own');
  await a.sent('my own');
  await talker.say('lobby', ['good morning']);
  await comes(1);
  // The very same again is said again.
  await talker.say('lobby', ['good morning']);
  await comes(2);
  await talker.say('lobby', lines(10));
  await comes(3);
  await talker.say('lobby', ['one', 'two']);
  await comes(4);
  const heard = await said();
  assert.deepEqual(heard.map(({ text }) => text), ['Cy: good morning', 'Cy: good morning', '10 new messages', 'Cy: one\nCy: two']);
  for (const [index, { at }] of heard.entries()) {
    // A browser's clock is not the timer's to the last millisecond.
    if (index > 0) assert.ok(at - heard[index - 1].at >= SAY_EVERY_MS - 10);
  }
  assert.deepEqual(a.faults, []);
});
