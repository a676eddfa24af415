// Every feature of the chat, seen from both sides: two people on two nodes behind one Redis, in real browsers.
//
// What happens when something breaks is in outage.test.mjs, the same by keyboard alone in keyboard.test.mjs. Needs
// what two_nodes.test.mjs needs.

import assert from 'node:assert/strict';
import test from 'node:test';
import { hub, redis } from './hubs.mjs';
import { browser, lines, Talker, Visitor } from './pages.mjs';
import { Way } from './proxy.mjs';

const PHONE = { width: 360, height: 640 };
const DAY_MS = 86_400_000;

/** Ana on one node, Bo on another. */
async function pair(t, group = 'lobby') {
  const redisUrl = await redis(t);
  const [one, two] = await Promise.all([hub(t, { redisUrl }), hub(t, { redisUrl })]);
  const chrome = await browser(t);
  const [a, b] = await Promise.all([
    Visitor.open(chrome, `${one.url}/#${group}`),
    Visitor.open(chrome, `${two.url}/#${group}`),
  ]);
  await Promise.all([a.layer('Cluster'), b.layer('Cluster')]);
  await a.takeName('Ana');
  await b.takeName('Bo');
  return { a, b, chrome, one, two };
}

function unharmed(...visitors) {
  for (const { faults } of visitors) assert.deepEqual(faults, []);
}

/** @param {Visitor} visitor @param {string} text */
const reaction = (visitor, text) => visitor.message(text).locator('.reaction');

/** @param {Visitor} visitor all that stands in the document, shown or not */
const everything = ({ page }) =>
  page.evaluate(() => document.documentElement.outerHTML + document.getElementById('chat').shadowRoot.innerHTML);

test('an answer quotes what it answers, and its quote leads there', async (t) => {
  const { a, b, chrome, two } = await pair(t);
  await a.say('the question');
  await b.tool('the question', 'Reply');
  await b.page.locator('.about', { hasText: 'Reply to Ana: the question' }).waitFor();
  await b.say('the answer');
  const quoted = a.message('the answer').locator('.quote');
  await quoted.getByText('Ana: the question', { exact: true }).waitFor();
  assert.equal(await b.page.locator('.about').isVisible(), false, 'the next message answers nothing');
  await b.sent('the answer');
  await b.page.locator('.field').press('ArrowUp');
  await b.page.locator('.field').fill('a better answer');
  await b.page.keyboard.press('Enter');
  await a.message('a better answer').locator('.quote', { hasText: 'Ana: the question' }).waitFor();

  // So much in between that a page which comes late has not even loaded the question.
  const talker = await Talker.open(chrome, two.url, 'Cy');
  await talker.say('lobby', lines(120));
  const id = await b.page.evaluate(() => {
    const { messages } = document.getElementById('chat').group;
    return messages.find(({ text }) => text === 'the question').id;
  });
  await talker.say('lobby', [{ text: 'a late answer', replyTo: id }]);
  const late = await Visitor.open(chrome, two.url, PHONE);
  await late.sees('a late answer');
  assert.equal(await late.message('the question').count(), 0, 'it is not there yet');
  await late.message('a late answer').locator('.quote').click();
  await late.message('the question').and(late.page.locator(':focus')).waitFor();
  assert.ok(await late.isOnScreen('the question'));
  unharmed(a, b, late);
});

test('what somebody says in a row stands under one head, on both sides', async (t) => {
  const { a, b } = await pair(t);
  for (const [visitor, text] of [[a, 'one'], [a, 'two'], [b, 'three'], [a, 'four']]) {
    await visitor.say(text);
    for (const each of [a, b]) await each.sees(text);
    await visitor.sent(text);
  }
  await a.tool('four', 'Reply');
  await a.say('five');
  await b.sees('five');
  const heads = ({ page }) => page.locator('.author').filter({ visible: true }).allTextContents();
  for (const each of [a, b]) assert.deepEqual(await heads(each), ['Ana', 'Bo', 'Ana', 'Ana'], 'an answer has a head of its own');
  unharmed(a, b);
});

test('a reaction is counted on the other node, given by both, and taken back', async (t) => {
  const { a, b } = await pair(t);
  await b.say('tea?');
  await a.sees('tea?');
  await a.tool('tea?', 'React');
  await a.message('tea?').getByRole('button', { name: 'React 👍' }).click();
  const given = (visitor, words, pressed) =>
    visitor.message('tea?').getByRole('button', { name: words, exact: true, pressed }).waitFor();
  await Promise.all([given(a, '👍 1 person', true), given(b, '👍 1 person', false)]);
  await reaction(b, 'tea?').click();
  await Promise.all([given(a, '👍 2 people', true), given(b, '👍 2 people', true)]);
  assert.equal(await reaction(a, 'tea?').textContent(), '👍 2');
  await reaction(a, 'tea?').click();
  await Promise.all([given(a, '👍 1 person', false), given(b, '👍 1 person', true)]);
  await reaction(b, 'tea?').click();
  await Promise.all([a, b].map((visitor) => reaction(visitor, 'tea?').waitFor({ state: 'detached' })));
  unharmed(a, b);
});

test('an own message is edited by the toolbar, by the key e and from the empty line', async (t) => {
  const { a, b } = await pair(t);
  await b.say("somebody else's");
  await a.say('first words');
  await a.sent('first words');
  const edit = async (from, to) => {
    await a.page.locator('.about', { hasText: 'Edit your message' }).waitFor();
    assert.equal(await a.page.locator('.field').inputValue(), from);
    await a.page.locator('.field').fill(to);
    await a.page.keyboard.press('Enter');
    await Promise.all([a.sees(to), b.sees(to)]);
    assert.equal(await b.message(from).count(), 0);
    await b.message(to).locator('.edited').filter({ visible: true }).waitFor();
    assert.equal(await a.page.locator('.field').inputValue(), '');
  };
  await a.tool('first words', 'Edit');
  await edit('first words', 'by the toolbar');
  await a.message('by the toolbar').focus();
  await a.page.keyboard.press('e');
  await edit('by the toolbar', 'by a key');
  await a.page.locator('.field').press('ArrowUp');
  await edit('by a key', 'from the line');

  await a.message("somebody else's").hover();
  await a.message("somebody else's").getByRole('button', { name: 'Reply', exact: true }).waitFor();
  assert.equal(await a.message("somebody else's").getByRole('button', { name: 'Edit' }).count(), 0);
  unharmed(a, b);
});

test('a draft waits while something else is edited', async (t) => {
  const one = await hub(t);
  const a = await Visitor.open(await browser(t), one.url);
  await a.say('said');
  await a.sent('said');
  await a.page.locator('.field').fill('half a thought');
  await a.tool('said', 'Edit');
  await a.page.keyboard.press('Escape');
  assert.equal(await a.page.locator('.field').inputValue(), 'half a thought');
  unharmed(a);
});

test('a deletion is asked twice, and what was said is gone on both sides', async (t) => {
  const { a, b, chrome, two } = await pair(t);
  await a.say('a secret');
  await a.sent('a secret');
  await b.tool('a secret', 'Reply');
  await b.say('careful!');
  await a.sees('careful!');
  await a.tool('a secret', 'Delete');
  await a.message('a secret').getByRole('button', { name: 'Delete it for all?' }).waitFor();
  assert.equal(await b.message('a secret').count(), 1, 'once is not enough');
  await a.page.keyboard.press('Enter');
  for (const visitor of [a, b]) {
    await visitor.sees('Message deleted');
    await visitor.message('careful!').locator('.quote', { hasText: 'Message deleted' }).waitFor();
    assert.doesNotMatch(await everything(visitor), /a secret/);
  }
  const late = await Visitor.open(chrome, two.url);
  await late.sees('Message deleted');
  assert.doesNotMatch(await everything(late), /a secret/);
  unharmed(a, b, late);
});

test('who is writing is shown to the others, until they have said it', async (t) => {
  const { a, b } = await pair(t);
  await a.tabTo('.field');
  await a.page.keyboard.type('I think');
  await b.page.locator('.typing', { hasText: 'Ana is writing…' }).waitFor();
  assert.equal(await a.page.locator('.typing').textContent(), '');
  await a.page.keyboard.press('Enter');
  await b.sees('I think');
  await b.page.waitForFunction(() => document.getElementById('chat').shadowRoot.querySelector('.typing').textContent === '');
  unharmed(a, b);
});

test('what came to a group that is not looked at is counted, and marked when it is opened', async (t) => {
  const { a, b } = await pair(t, 'garden');
  const read = a.tells('chat.read');
  await b.say('seen already');
  await a.sees('seen already');
  await read;
  await a.page.locator('#group').fill('lobby');
  await a.page.locator('#group').press('Enter');
  await a.room('lobby');
  for (const text of ['new one', 'new two']) await b.say(text);
  await a.page.locator('#groups a', { hasText: 'garden 2 new' }).waitFor();
  await a.page.waitForFunction(() => document.title.startsWith('(2) '));
  // Another visit counts the same: the hub knows how far one has read.
  await a.page.reload();
  await a.page.locator('#groups a', { hasText: 'garden 2 new' }).click();
  await a.sees('new two');
  const order = await a.page.locator('.log > *').evaluateAll((all) =>
    all.map((one) => (one.querySelector('.text') ?? one).textContent).filter((text) => /^(seen|new|New)/.test(text)),
  );
  assert.deepEqual(order, ['seen already', 'New messages', 'new one', 'new two']);
  await a.page.locator('#groups .unread').waitFor({ state: 'detached' });
  await a.page.waitForFunction(() => !document.title.startsWith('('));
  unharmed(a, b);
});

test('a page that nobody looks at has read nothing', async (t) => {
  const { a, b } = await pair(t);
  await b.say('seen');
  await a.sees('seen');
  const look = (hidden) => a.page.evaluate((hidden) => {
    for (const [name, value] of [['hidden', hidden], ['visibilityState', hidden ? 'hidden' : 'visible']]) {
      Object.defineProperty(document, name, { configurable: true, get: () => value });
    }
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await look(true);
  for (const text of ['new one', 'new two']) await b.say(text);
  await a.page.waitForFunction(() => document.title.startsWith('(2) '));
  await a.frame();
  await look(false);
  await a.page.waitForFunction(() => !document.title.startsWith('('));
  unharmed(a, b);
});

test('what would be refused again is not offered to be tried again', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url);
  const tooLong = 'x'.repeat(100_000);
  await a.page.evaluate((text) => document.getElementById('chat').group.send({ text: 'too much', data: text }).catch(() => {}), tooLong);
  const failed = a.message('too much');
  await failed.locator('.state', { hasText: 'Not sent: it is too long' }).waitFor();
  assert.equal(await failed.getByRole('button', { name: 'Try again' }).count(), 0);
  await failed.getByRole('button', { name: 'Give up' }).click();
  await failed.waitFor({ state: 'detached' });
  unharmed(a);
});

test('who is in the group is named, and followed as they come and go', async (t) => {
  const { a, b, chrome, two } = await pair(t);
  await a.page.locator('#occupancy', { hasText: '2 people here' }).click();
  const named = (...names) => a.page.waitForFunction(
    (wanted) => Array.from(document.querySelectorAll('#members li'), ({ textContent }) => textContent).join() === wanted,
    names.join(),
  );
  await named('Ana', 'Bo');
  const c = await Visitor.open(chrome, two.url);
  await c.takeName('Cy');
  await named('Ana', 'Bo', 'Cy');
  await b.page.locator('#leave').click();
  await named('Ana', 'Cy');
  await a.page.locator('#occupancy', { hasText: '2 people here' }).waitFor();
  unharmed(a, b, c);
});

test('older messages come as one scrolls up, each once and in order, to the beginning', async (t) => {
  const { a, b, chrome, one } = await pair(t);
  const talker = await Talker.open(chrome, one.url, 'Cy');
  await talker.say('lobby', lines(150));
  const late = await Visitor.open(chrome, one.url, PHONE);
  await late.sees('line 150');
  const first = await late.page.evaluate(() => document.getElementById('chat').group.messages.length);
  assert.ok(first < 150, 'not all is loaded at once');
  await late.page.locator('.log').hover();
  const seen = new Set();
  const beginning = late.page.locator('.line', { hasText: 'This is where the history begins.' });
  while (!(await beginning.isVisible())) {
    for (const text of await late.texts()) seen.add(text);
    await late.page.mouse.wheel(0, -400);
    await late.frame();
  }
  for (const text of await late.texts()) seen.add(text);
  assert.deepEqual([...seen].sort(), lines(150).sort());
  const all = await late.page.evaluate(() => document.getElementById('chat').group.messages.map(({ text }) => text));
  assert.deepEqual(all, lines(150));
  unharmed(a, b, late);
});

test('what somebody writes stays text, and a link gives nothing away', async (t) => {
  const { a, b } = await pair(t);
  const texts = [
    '<img src=x onerror="document.title=`broken`">',
    '<script>document.title="broken"</script>',
    '&lt;b&gt; **bold** <b>bold</b>',
    'javascript:alert(1) data:text/html,x vbscript:x',
    'see https://example.org/a?b=c&d=e#f. And (http://example.org/wiki_(x)), or https://exa"onmouseover=alert(1)//',
    'turned: https://example.org/\u202egpj.exe',
  ];
  for (const text of texts) await a.say(text);
  for (const visitor of [a, b]) {
    await visitor.sees(texts.at(-1));
    assert.deepEqual(await visitor.texts(), texts);
    assert.equal(await visitor.page.locator('.text :not(a)').count(), 0, 'nothing but links is made of a text');
    const links = await visitor.page.locator('.text a').evaluateAll((all) =>
      all.map(({ href, rel, target }) => ({ href, rel, target })),
    );
    assert.deepEqual(links.map(({ href }) => href), [
      'https://example.org/a?b=c&d=e#f', 'http://example.org/wiki_(x)', 'https://exa/', 'https://example.org/',
    ]);
    for (const { rel, target } of links) {
      assert.equal(target, '_blank');
      for (const word of ['noopener', 'noreferrer', 'nofollow']) assert.ok(rel.split(' ').includes(word));
    }
    assert.doesNotMatch(await visitor.page.title(), /broken/);
  }
  unharmed(a, b);
});

test('a name is a name, whatever it is made of, and one that turns the writing is not taken', async (t) => {
  const { a, b } = await pair(t);
  await a.takeName('<b onclick=x>&amp;</b>');
  await a.say('who am I?');
  await b.sees('who am I?');
  assert.equal(await b.message('who am I?').locator('.author').textContent(), '<b onclick=x>&amp;</b>');
  assert.equal(await b.page.locator('.author *').count(), 0);

  await a.takeName('אורי');
  await a.say('and now?');
  await b.sees('and now?');
  assert.equal(await b.message('and now?').locator('.author').textContent(), 'אורי');
  // A name that is written the other way leaves the time beside it as it is.
  const order = await b.message('and now?').evaluate((one) => {
    const [author, time] = ['.author', '.time'].map((part) => one.querySelector(part).getBoundingClientRect());
    return author.right <= time.left && one.querySelector('.time').getClientRects().length;
  });
  assert.equal(order, 1, 'the time is one piece, after the name');

  // What tells own messages apart is no part of the name, which anybody may take.
  await a.takeName('Bo you');
  await a.say('not Bo');
  await b.sees('not Bo');
  assert.equal(await b.message('not Bo').locator('.you').isVisible(), false);
  await a.message('not Bo').locator('.you', { hasText: 'you' }).waitFor();

  // The hub takes no such name; whoever asks for one is a guest as if they had asked for none, and not shut out.
  await a.page.locator('#name').fill('\u202elive');
  await a.page.locator('#name').press('Enter');
  await a.page.waitForFunction(() => document.getElementById('name').value === '');
  await a.connection('Connected');
  await a.say('still here');
  await b.sees('still here');
  assert.doesNotMatch(await b.message('still here').locator('.author').textContent(), /\u202e|live/);
  await a.page.reload();
  await a.connection('Connected');
  await a.sees('still here');
  unharmed(a, b);
});

test('in French all is French, and stays so', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url, PHONE, { locale: 'fr-CH' });
  assert.equal(await a.page.evaluate(() => document.documentElement.lang), 'fr');
  await a.connection('Connecté');
  await a.layer('Un seul serveur');
  await a.page.locator('.field').fill('bonjour');
  await a.page.getByRole('button', { name: 'Envoyer' }).click();
  await a.message('bonjour').locator('.you', { hasText: 'vous' }).waitFor();
  await a.page.locator('.day', { hasText: 'Aujourd’hui' }).waitFor();
  await a.page.locator('#occupancy', { hasText: '1 personne ici' }).waitFor();
  await a.tool('bonjour', 'Supprimer');
  await a.message('bonjour').getByRole('button', { name: 'Supprimer pour tous ?' }).click();
  await a.sees('Message supprimé');

  const b = await Visitor.open(chrome, one.url);
  await b.sees('Message deleted');
  await b.page.locator('#language').selectOption('fr');
  await b.sees('Message supprimé');
  await b.page.getByRole('button', { name: 'Quitter' }).waitFor();
  await b.page.reload();
  await b.sees('Message supprimé');
  unharmed(a, b);
});

test('days stand between the messages, by the calendar of who reads', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url);
  await a.say('said today');
  await a.sent('said today');
  await a.page.locator('.day', { hasText: 'Today' }).waitFor();
  const [tomorrow, later] = [new Date(Date.now() + DAY_MS), new Date(Date.now() + 3 * DAY_MS)];
  await a.page.clock.setFixedTime(tomorrow);
  await a.page.reload();
  await a.page.locator('.day', { hasText: 'Yesterday' }).waitFor();
  // What has not reached the hub yet was written by the clock of its writer.
  const days = () => a.page.locator('.day').allTextContents();
  await a.page.clock.setFixedTime(later);
  await a.page.reload();
  await a.sees('said today');
  const said = new Intl.DateTimeFormat('en-US', { weekday: 'long', day: 'numeric', month: 'long' });
  assert.deepEqual(await days(), [said.format(new Date())]);
  unharmed(a);
});

test('an edit of today leaves what was said two days ago in its day', async (t) => {
  const one = await hub(t);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, one.url);
  const b = await Visitor.open(chrome, one.url);
  // As far as this page can tell, the hub's clock goes on by two days between the first versions and the edit.
  await b.page.routeWebSocket(/\/ws$/, (socket) => {
    const hub = socket.connectToServer();
    hub.onMessage((text) => {
      const frame = JSON.parse(text);
      if (frame.type === 'chat.message' && frame.version === 1) frame.ts -= 2 * DAY_MS;
      socket.send(JSON.stringify(frame));
    });
  });
  await b.page.reload();
  await b.connection('Connected');
  await b.page.locator('.line.top').waitFor();
  for (const text of ['one', 'two', 'three']) {
    await a.say(text);
    await b.sees(text);
  }
  await a.sent('two');
  await a.tool('two', 'Edit');
  await a.page.locator('.field').fill('two, mended');
  await a.page.keyboard.press('Enter');
  await b.sees('two, mended');
  assert.equal(await b.page.locator('.day').count(), 1);
  assert.deepEqual(await b.texts(), ['one', 'two, mended', 'three']);
  assert.match(await b.message('two, mended').locator('.text').getAttribute('title'), /^edited: /);
  unharmed(a, b);
});

test('a draft and messages that wait or failed are there after a reload', async (t) => {
  const way = await Way.open(t);
  const one = await hub(t, { settings: way.settings });
  way.to(one.url);
  const chrome = await browser(t);
  const a = await Visitor.open(chrome, way.url);
  await a.takeName('Ana');
  await a.page.locator('.field').fill('half a thought');
  way.refuse();
  await a.connection('Reconnecting');
  await a.page.reload();
  await a.page.waitForFunction(() => document.getElementById('chat').shadowRoot?.querySelector('.field').value);
  assert.equal(await a.page.locator('.field').inputValue(), 'half a thought');
  await a.page.locator('.field').fill('');
  await a.say('waits');
  await a.message('waits').locator('.state', { hasText: 'Waiting to be sent' }).waitFor();
  await a.page.reload();
  await a.message('waits').locator('.state', { hasText: 'Waiting to be sent' }).waitFor();
  way.mend();
  await a.sent('waits');

  // It went out, and whether it arrived is not known, when this browser is somebody else to the hub.
  way.silence();
  await a.say('undecided');
  await a.message('undecided').locator('.state', { hasText: 'Sending…' }).waitFor();
  way.refuse();
  await a.connection('Reconnecting');
  await a.page.evaluate(() => localStorage.removeItem(`palabre:ws://${location.host}/ws:token`));
  await a.page.reload();
  // Not before: the page that is gone would have come back first, as who it was.
  way.mend();
  const failed = a.message('undecided').locator('.state', { hasText: 'Not sent: the server knows you as somebody else now' });
  await failed.waitFor();
  await a.page.reload();
  await failed.waitFor();
  await a.sees('waits');
  assert.equal(await a.message('waits').count(), 1);
  await a.message('undecided').getByRole('button', { name: 'Try again' }).click();
  await a.sent('undecided');
  await a.page.reload();
  await a.sees('undecided');
  assert.deepEqual((await a.texts()).filter((text) => text === 'waits'), ['waits']);
});
