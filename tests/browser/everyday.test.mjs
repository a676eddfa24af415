// What happens to people every day: they come back to what is new, change what they wrote while there is no network, press
// where a button has just come up. Nothing of theirs is lost by it, and nothing is done that they did not mean.
//
// Needs what two_nodes.test.mjs needs, but Redis.

import assert from 'node:assert/strict';
import test from 'node:test';
import { hub } from './hubs.mjs';
import { browser, lines, Talker, Visitor } from './pages.mjs';
import { Way } from './proxy.mjs';

const PHONE = { width: 360, height: 640 };
const SEEN_MIN = 2; // messages that are on any of these screens

/** A hub behind a way that can be closed, and a browser. */
async function setting(t) {
  const way = await Way.open(t);
  const { url } = await hub(t, { settings: way.settings });
  way.to(url);
  return { way, url, chrome: await browser(t) };
}

const group = ({ page }, of) => page.evaluate((of) => document.getElementById('chat').group[of], of);
/** What the element holds of a group that is not open, or of this one. */
const until = ({ page }, condition, wanted) => page.waitForFunction(condition, wanted);
const about = ({ page }) => page.locator('.about');

/** The first message that is wholly on the screen, and how far below the top of the log it is. */
const eye = ({ page }) =>
  page.evaluate(() => {
    const log = document.getElementById('chat').shadowRoot.querySelector('.log');
    const { top } = log.getBoundingClientRect();
    const first = [...log.querySelectorAll('article')].find((one) => one.getBoundingClientRect().top >= top);
    return { text: first.querySelector('.text').textContent, below: Math.round(first.getBoundingClientRect().top - top) };
  });

const scrollTo = async (visitor, part) => {
  await visitor.page.locator('.log').evaluate((log, part) => (log.scrollTop = part * (log.scrollHeight - log.clientHeight)), part);
  await visitor.frame();
};

/** The page's tab is hidden or shown, as far as it can tell. */
const look = ({ page }, hidden) =>
  page.evaluate((hidden) => {
    for (const [name, value] of [['hidden', hidden], ['visibilityState', hidden ? 'hidden' : 'visible']]) {
      Object.defineProperty(document, name, { configurable: true, get: () => value });
    }
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);

async function go(visitor, name) {
  await visitor.page.evaluate((name) => (location.hash = name), name);
  await visitor.room(name);
}

test('a finger that presses where a button comes up has not pressed the button', async (t) => {
  const { url, chrome } = await setting(t);
  const a = await Visitor.open(chrome, url, PHONE, { hasTouch: true, isMobile: true });
  const text = 'so long that it goes from one edge of a phone to the other, and then some';
  await a.page.locator('.field').tap();
  await a.page.keyboard.type(text);
  await a.page.locator('.send').tap();
  await a.sent(text);
  assert.equal(await a.focused(), 'textarea field', 'a phone keeps its keyboard');
  const { x, y, width } = await a.message(text).boundingBox();
  for (const fromTheEnd of [20, 60, 100, 140]) {
    await a.page.locator('.field').tap();
    await a.page.touchscreen.tap(x + width - fromTheEnd, y + 20);
    await a.page.locator('.tools').waitFor();
    await a.frame();
    assert.equal(await about(a).isVisible(), false, 'nothing is edited or answered');
    assert.equal(await a.page.locator('.tools', { hasText: 'Delete it for all?' }).count(), 0);
    assert.equal(await a.page.locator('.kinds').isVisible(), false);
    await a.page.locator('.field').tap();
  }
  assert.deepEqual(a.faults, []);
});

test('a double click on the bin asks, and deletes nothing', async (t) => {
  const { url, chrome } = await setting(t);
  const a = await Visitor.open(chrome, url);
  await a.say('precious');
  await a.sent('precious');
  await a.message('precious').hover();
  await a.page.locator('.tools').waitFor();
  await a.page.mouse.move(0, 0);
  await a.page.locator('.tools').waitFor({ state: 'detached' });
  await a.message('precious').hover();
  await a.message('precious').getByRole('button', { name: 'Delete', exact: true }).dblclick();
  await a.message('precious').locator('.tool', { hasText: 'Delete it for all?' }).waitFor();
  await a.frame();
  assert.equal(await a.message('precious').count(), 1);
  assert.deepEqual(a.faults, []);
});

for (const count of [40, 150]) {
  test(`who comes to ${count} new messages is at the first of them, and has read none`, async (t) => {
    const { url, chrome } = await setting(t);
    const talker = await Talker.open(chrome, url, 'Cy');
    await talker.say('garden', ['read']);
    const a = await Visitor.open(chrome, `${url}/#garden`);
    await a.sees('read');
    await until(a, () => document.getElementById('chat').group.unread === 0);
    await go(a, 'lobby');
    await talker.say('garden', lines(count));
    await a.page.locator('#groups .unread', { hasText: 'new' }).waitFor();
    await go(a, 'garden');
    await a.page.locator('.line.new').waitFor();
    await a.frame();
    assert.ok(await a.isOnScreen('line 1'));
    assert.equal(await group(a, 'unread'), count);
    await a.page.locator('.latest', { hasText: `${count} new messages` }).click();
    await a.sees(`line ${count}`);
    await until(a, () => document.getElementById('chat').group.unread === 0);
    assert.deepEqual(a.faults, []);
  });
}

test('what came to a page that nobody looked at begins with a line', async (t) => {
  const { url, chrome } = await setting(t);
  const talker = await Talker.open(chrome, url, 'Cy');
  await talker.say('lobby', lines(30));
  const a = await Visitor.open(chrome, url);
  await a.sees('line 30');
  await until(a, () => document.getElementById('chat').group.unread === 0);
  await look(a, true);
  await talker.say('lobby', lines(40, 31));
  await until(a, () => document.getElementById('chat').group.unread === 40);
  await look(a, false);
  await a.page.locator('.line.new').waitFor();
  await a.frame();
  assert.ok(await a.isOnScreen('line 31'));
  assert.equal(await group(a, 'unread'), 40);
  assert.deepEqual(a.faults, []);
});

test('one comes back to where one was: from another group, in another language', async (t) => {
  const { url, chrome } = await setting(t);
  const talker = await Talker.open(chrome, url, 'Cy');
  await talker.say('garden', lines(300));
  const a = await Visitor.open(chrome, `${url}/#garden`);
  await a.sees('line 300');
  await scrollTo(a, 0.4);
  await a.page.locator('.latest').waitFor();
  const seen = await eye(a);
  const back = async () => {
    await a.sees(seen.text);
    await a.frame();
    assert.deepEqual(await eye(a), seen);
  };
  await go(a, 'lobby');
  await go(a, 'garden');
  await back();
  await a.page.locator('#language').selectOption('fr');
  await a.page.locator('.latest', { hasText: 'Aller au plus récent' }).waitFor();
  await back();
  // Another body for messages is no other chat.
  await a.page.evaluate(() => {
    const chat = document.getElementById('chat');
    chat.group = 'garden';
    chat.render = ({ text }) => document.createTextNode(`${text}.`);
  });
  await a.sees(`${seen.text}.`);
  await a.frame();
  assert.deepEqual(await eye(a), { ...seen, text: `${seen.text}.` });
  assert.deepEqual(a.faults, []);
});

test('an answer that is begun is one still, after another group and after a reload; an edit too', async (t) => {
  const { url, chrome } = await setting(t);
  const a = await Visitor.open(chrome, `${url}/#garden`);
  await a.say('question');
  await a.sent('question');
  await a.tool('question', 'Reply');
  await a.page.keyboard.type('half an ans');
  await go(a, 'lobby');
  assert.equal(await about(a).isVisible(), false);
  await go(a, 'garden');
  await about(a).getByText(/^Reply to Guest \w+: question$/).waitFor();
  await a.page.reload();
  await about(a).getByText(/^Reply to Guest \w+: question$/).waitFor();
  assert.equal(await a.page.locator('.field').inputValue(), 'half an ans');
  await a.tool('question', 'Edit');
  await a.page.locator('.field').fill('better quest');
  await a.page.reload();
  await about(a).getByText('Edit your message').waitFor();
  assert.equal(await a.page.locator('.field').inputValue(), 'better quest');
  await a.page.locator('.field').press('Enter');
  await a.sent('better quest');
  assert.equal(await a.page.locator('.field').inputValue(), 'half an ans', 'what was put aside');
  assert.deepEqual(a.faults, []);
});

test('an edit and a deletion that wait are to be seen, and one that fails says so and can be given up', async (t) => {
  const { way, url, chrome } = await setting(t);
  const a = await Visitor.open(chrome, way.url);
  await a.takeName('Ana');
  for (const text of ['one', 'two', 'three']) {
    await a.say(text);
    await a.sent(text);
  }
  const token = await a.userId();
  const b = await Visitor.open(chrome, url);
  way.refuse();
  await a.connection('Reconnecting');
  await a.page.locator('.typing', { hasText: 'Reconnecting' }).waitFor();
  for (const text of ['one', 'two']) {
    await a.tool(text, 'Edit');
    await a.page.locator('.field').fill(`${text} again`);
    await a.page.keyboard.press('Enter');
    await a.message(`${text} again`).locator('.state', { hasText: 'Waiting to be sent' }).waitFor();
  }
  await a.tool('three', 'Delete');
  await a.message('three').locator('.tool', { hasText: 'Delete it for all?' }).click();
  await a.message('three').locator('.state', { hasText: 'Deleting…' }).waitFor();
  // The same person deletes one of them from elsewhere.
  await b.page.evaluate(async (token) => {
    const { createClient } = await import('/palabre.js');
    const kept = { getItem: (key) => (key.endsWith('token') ? token : null), setItem() {}, removeItem() {} };
    const client = createClient({ url: location.origin, storage: kept });
    client.connect();
    const lobby = client.group('lobby');
    await lobby.join();
    await lobby.delete(lobby.messages.find(({ text }) => text === 'two').id);
    client.close();
  }, token);
  way.mend();
  await a.sent('one again');
  await b.sees('one again');
  await a.page.locator('.state', { hasText: 'Not edited: it is not there any more' }).waitFor();
  await a.page.locator('.unseen[role=alert]', { hasText: 'Not sent: two again' }).waitFor({ state: 'attached' });
  assert.equal(await a.page.getByRole('button', { name: 'Try again' }).count(), 0);
  await a.page.getByRole('button', { name: 'Give up' }).click();
  await a.page.locator('.state', { hasText: 'Not edited' }).waitFor({ state: 'detached' });
  await until(a, () => document.getElementById('chat').client.queue.length === 0);
  assert.deepEqual(await a.texts(), ['one again', 'Message deleted', 'Message deleted']);
});

test('what one edits may be deleted meanwhile: the words stay, as those of a new message', async (t) => {
  const { url, chrome } = await setting(t);
  const a = await Visitor.open(chrome, url);
  await a.say('one');
  await a.sent('one');
  await a.tool('one', 'Edit');
  await a.page.locator('.field').fill('one, and much more');
  await a.page.evaluate(() => {
    const { group } = document.getElementById('chat');
    return group.delete(group.messages[0].id);
  });
  await a.sees('Message deleted');
  await about(a).waitFor({ state: 'hidden' });
  assert.equal(await a.page.locator('.field').inputValue(), 'one, and much more');
  assert.deepEqual(a.faults, []);
});

test('what is too long is not cut, and not sent', async (t) => {
  const { url, chrome } = await setting(t);
  const a = await Visitor.open(chrome, url);
  await a.page.locator('.field').fill('x'.repeat(4_001));
  await a.page.locator('.excess', { hasText: '1 character too many' }).waitFor();
  await a.page.locator('.field').press('Enter');
  await a.frame();
  assert.equal((await a.page.locator('.field').inputValue()).length, 4_001);
  assert.deepEqual(await a.texts(), []);
  // Characters are counted, not their halves.
  const faces = '😀'.repeat(4_000);
  await a.page.locator('.field').fill(faces);
  await a.page.locator('.excess').waitFor({ state: 'hidden' });
  await a.page.locator('.field').press('Enter');
  await until(a, () => document.getElementById('chat').group.messages[0]?.state === 'settled');
  assert.deepEqual(a.faults, []);
});

test('a message of a thousand lines is folded, and its tools are at hand', async (t) => {
  const { url, chrome } = await setting(t);
  const talker = await Talker.open(chrome, url, 'Cy');
  await talker.say('lobby', [`tower${'\n.'.repeat(1_000)}`, 'after']);
  const a = await Visitor.open(chrome, url);
  await a.sees('after');
  const tower = a.page.locator('.message').first();
  const { height } = await tower.boundingBox();
  assert.ok(height < 600, `${height}`);
  await tower.getByRole('button', { name: 'Show all' }).click();
  await a.frame();
  assert.ok((await tower.boundingBox()).height > 10_000);
  await scrollTo(a, 0.5);
  await a.page.locator('.log').hover();
  const tools = await a.page.locator('.tools').boundingBox();
  const log = await a.page.locator('.log').boundingBox();
  assert.ok(tools.y >= log.y - tools.height && tools.y < log.y + log.height, 'beside what is on the screen of it');
  assert.deepEqual(a.faults, []);
});

test('a chat that is given no height has one, and draws no more than that', async (t) => {
  const { url, chrome } = await setting(t);
  const talker = await Talker.open(chrome, url, 'Cy');
  await talker.say('lobby', lines(300));
  const a = await Visitor.open(chrome, `${url}/#garden`);
  await a.page.evaluate(() => {
    const chat = document.createElement('palabre-chat');
    chat.id = 'bare';
    chat.setAttribute('group', 'lobby');
    const holder = document.createElement('div');
    holder.append(chat);
    document.documentElement.append(holder);
  });
  await a.page.locator('#bare').getByText('line 300', { exact: true }).waitFor();
  await a.frame();
  const drawn = await a.page.locator('#bare article').count();
  assert.ok(drawn > SEEN_MIN && drawn < 150, `${drawn}`);
  const { height } = await a.page.locator('#bare').boundingBox();
  assert.ok(height > 300 && height < 800, `${height}`);
  assert.deepEqual(a.faults, []);
});

test('what is no name of a group is said, and nobody writes into the one before', async (t) => {
  const { url, chrome } = await setting(t);
  const a = await Visitor.open(chrome, url);
  await a.say('here');
  await a.sent('here');
  await a.page.evaluate(() => document.getElementById('chat').setAttribute('group', 'not a name!'));
  await a.page.locator('.notice', { hasText: 'This group cannot be joined: not a name!' }).waitFor();
  assert.equal(await a.page.locator('.field').count(), 0);
  await a.page.evaluate(() => document.getElementById('chat').setAttribute('group', ''));
  await a.page.locator('.notice').waitFor({ state: 'detached' });
  await a.page.evaluate(() => document.getElementById('chat').setAttribute('group', 'lobby'));
  await a.sees('here');
  assert.deepEqual(a.faults, []);
});

test('Tab passes the messages in few steps, and one that is focused says what it is', async (t) => {
  const { url, chrome } = await setting(t);
  const talker = await Talker.open(chrome, url, 'Cy');
  const ids = await talker.say('lobby', lines(8));
  const a = await Visitor.open(chrome, url);
  await a.sees('line 8');
  await a.page.evaluate(async (ids) => {
    const { group } = document.getElementById('chat');
    await Promise.all(ids.flatMap((id) => ['👍', '🎉', '😮'].map((kind) => group.react(id, kind))));
  }, ids);
  await a.page.locator('.reaction').nth(23).waitFor();
  await a.page.locator('#leave').focus();
  let steps = 0;
  for (; (await a.focused()) !== 'textarea field'; steps++) {
    assert.ok(steps < 6, await a.focused());
    await a.page.keyboard.press('Tab');
  }
  await a.page.keyboard.press('Shift+Tab');
  await a.page.keyboard.press('ArrowUp');
  await a.message('line 8').and(a.page.locator(':focus')).waitFor();
  // Its head stands further up.
  assert.match(await a.message('line 8').getAttribute('aria-label'), /^Cy: line 8, \d/);
  await a.tabTo('.reaction');
  assert.equal(await a.message('line 8').locator('.reaction:focus').count(), 1);
  assert.deepEqual(a.faults, []);
});

test('the arrows begin at what is on the screen', async (t) => {
  const { url, chrome } = await setting(t);
  const talker = await Talker.open(chrome, url, 'Cy');
  await talker.say('lobby', lines(60));
  const a = await Visitor.open(chrome, url);
  await a.sees('line 60');
  await a.tabTo('.log');
  await a.page.keyboard.press('Home');
  await a.page.locator('.latest').waitFor();
  await a.rests();
  await a.page.keyboard.press('ArrowDown');
  await a.rests();
  // How far up `Home` leads depends on how much of the past is there by then; where it led is where one goes on.
  const focused = (await a.page.locator('.message:focus .text').textContent()) ?? '';
  assert.ok(Number(focused.split(' ')[1]) < 40 && (await a.isOnScreen(focused)), focused);
  assert.deepEqual(a.faults, []);
});

test('who goes up just when something comes is not pulled back to the end', async (t) => {
  const { url, chrome } = await setting(t);
  const talker = await Talker.open(chrome, url, 'Cy');
  await talker.say('lobby', lines(60));
  const a = await Visitor.open(chrome, url);
  await a.sees('line 60');
  await a.rests();
  // In one task: the browser has not told of the scroll yet when the list is drawn again.
  await a.page.evaluate(() => {
    const chat = document.getElementById('chat');
    chat.shadowRoot.querySelector('.log').scrollTop -= 200;
    chat.render = () => null;
  });
  await a.page.locator('.latest').waitFor();
  assert.deepEqual(a.faults, []);
});
