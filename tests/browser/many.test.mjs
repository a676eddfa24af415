// A group with thousands of messages: how much of it is in the document, and what a reader's hand and eye notice.
//
// Figures are printed, since they depend on the machine; what is asserted is far from them. Needs what
// two_nodes.test.mjs needs, but Redis.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { hub } from './hubs.mjs';
import { browser, lines, Talker, Visitor } from './pages.mjs';
import { Way } from './proxy.mjs';

const MANY = 5_000;
// What is drawn is a screen and one more to each side; lines of one height make some forty of that.
const DRAWN_MAX = 200;
const TASK_MAX_MS = 1_000;
const RATE_PER_S = 200;
const SETTINGS = {
  PALABRE_HISTORY_MESSAGES: '10000',
  PALABRE_HISTORY_BYTES: '16MiB',
  PALABRE_LIMITS_FRAMES_PER_S: '100000',
  PALABRE_LIMITS_FRAMES_BURST: '100000',
  PALABRE_LIMITS_BYTES_PER_S: '64MiB',
  PALABRE_LIMITS_BYTES_BURST: '64MiB',
  PALABRE_LIMITS_USER_REQUESTS_PER_S: '100000',
  PALABRE_LIMITS_USER_REQUESTS_BURST: '100000',
};

let url;
let way;
let chrome;
let talker;
let last = MANY;

// One group for all, since 5,000 messages take a while; those who add to it come last.
before(async (t) => {
  way = await Way.open(t);
  ({ url } = await hub(t, { settings: { ...SETTINGS, ...way.settings } }));
  way.to(url);
  chrome = await browser(t);
  talker = await Talker.open(chrome, url, 'Cy');
  await talker.say('many', lines(MANY));
});

/** A page in a group of which all is loaded, so that nothing has to be asked for while something is measured. */
async function loaded() {
  const visitor = await Visitor.open(chrome, `${url}/#many`);
  await visitor.sees(`line ${last}`);
  await visitor.page.evaluate(async () => {
    const { group } = document.getElementById('chat');
    while (group.hasOlder) await group.loadOlder({ limit: 100 });
    // From now on the most that was ever in the document is kept.
    const root = document.getElementById('chat').shadowRoot;
    globalThis.drawnMost = 0;
    const count = () => (globalThis.drawnMost = Math.max(drawnMost, root.querySelectorAll('article').length));
    new MutationObserver(count).observe(root.querySelector('.log'), { childList: true });
    count();
  });
  await visitor.frame();
  return visitor;
}

const drawnMost = ({ page }) => page.evaluate(() => globalThis.drawnMost);

/** What the eye rests on: the first message that is wholly on the screen, and how far below the top of the log it is. */
const eye = ({ page }) =>
  page.evaluate(() => {
    const log = document.getElementById('chat').shadowRoot.querySelector('.log');
    const { top } = log.getBoundingClientRect();
    for (const one of log.querySelectorAll('article')) {
      const below = one.getBoundingClientRect().top - top;
      if (below >= 0) return { text: one.querySelector('.text').textContent, below };
    }
    return null;
  });

const scrollTo = async (visitor, part) => {
  await visitor.page.locator('.log').evaluate((log, part) => (log.scrollTop = part * (log.scrollHeight - log.clientHeight)), part);
  await visitor.frame();
};

const number = (text) => Number(/^line (\d+)$/.exec(text)?.[1]);

test('page by page from the end to the beginning, every message is met once and in order', async () => {
  const visitor = await loaded();
  await visitor.tabTo('.log');
  // In the page, as there are hundreds of pages to turn.
  const pages = await visitor.page.evaluate(async () => {
    const log = document.getElementById('chat').shadowRoot.querySelector('.log');
    const pages = [];
    for (let at = Infinity; at > 0; at = log.scrollTop) {
      pages.push(Array.from(log.querySelectorAll('.text'), ({ textContent }) => textContent));
      // A flick of two screens: what is drawn beyond the edge makes up for the one between.
      log.scrollBy(0, -2 * log.clientHeight);
      for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
      if (log.scrollTop >= at) throw new Error(`scrolling up does not lead up from ${at}`);
    }
    pages.push(Array.from(log.querySelectorAll('.text'), ({ textContent }) => textContent));
    return pages.map((texts) => texts.map((text) => Number(text.replace('line ', ''))));
  });
  for (const numbers of pages) {
    assert.deepEqual(numbers, Array.from(numbers, (_, index) => numbers[0] + index), 'one after the other');
  }
  assert.equal(new Set(pages.flat()).size, MANY);
  await visitor.page.locator('.line', { hasText: 'This is where the history begins.' }).waitFor();
  assert.ok((await drawnMost(visitor)) < DRAWN_MAX);
  await visitor.page.locator('.latest').click();
  await visitor.sees(`line ${MANY}`);
  assert.ok(await visitor.isOnScreen(`line ${MANY}`));
  await visitor.page.locator('.latest').waitFor({ state: 'hidden' });
  assert.deepEqual(visitor.faults, []);
});

test('the bar is dragged anywhere, and what stands there is drawn', async () => {
  const visitor = await loaded();
  for (const part of [0.5, 0.1, 0.9, 0, 0.33, 1, 0.66]) {
    await scrollTo(visitor, part);
    const seen = await eye(visitor);
    assert.ok(seen, `something is to be seen at ${part}`);
    // Heights are guessed until they are met, so a part of the way is about that part of the messages.
    const at = number(seen.text);
    assert.ok(Math.abs(at - part * MANY) < 0.1 * MANY, `line ${at} at ${part}`);
  }
  assert.ok((await drawnMost(visitor)) < DRAWN_MAX);
  assert.deepEqual(visitor.faults, []);
});

test('who goes up from the end in little steps gets away', async () => {
  const visitor = await Visitor.open(chrome, `${url}/#many`);
  await visitor.sees(`line ${MANY}`);
  await visitor.page.locator('.log').hover();
  for (let step = 0; step < 30; step++) {
    await visitor.page.mouse.wheel(0, -6);
    await visitor.frame();
  }
  await visitor.page.locator('.latest').waitFor();
  assert.equal(await visitor.isOnScreen(`line ${MANY}`), false);
  await visitor.page.locator('.log').evaluate((log) => log.scrollBy(0, log.scrollHeight));
  await visitor.page.locator('.latest').waitFor({ state: 'hidden' });
  assert.deepEqual(visitor.faults, []);
});

test('who waits at the top for older messages stays where they are when these come', async () => {
  const visitor = await Visitor.open(chrome, `${way.url}/#many`);
  await visitor.sees(`line ${MANY}`);
  const held = () => visitor.page.evaluate(() => document.getElementById('chat').group.messages.length);
  const count = await held();
  way.silence();
  await scrollTo(visitor, 0);
  await visitor.page.locator('.line', { hasText: 'Loading earlier messages…' }).waitFor();
  const seen = await eye(visitor);
  assert.equal(number(seen.text), MANY - count + 1, 'the first that is there');
  way.mend();
  await visitor.page.waitForFunction((count) => document.getElementById('chat').group.messages.length > count, count);
  await visitor.frame();
  const now = await eye(visitor);
  // What is above now fills the place of the line that stood there.
  const kept = await visitor.message(seen.text).evaluate((one) => one.getBoundingClientRect().top - one.parentNode.getBoundingClientRect().top);
  assert.ok(Math.abs(kept - seen.below) <= 1, `${kept} instead of ${seen.below}`);
  assert.ok(number(now.text) > number(seen.text) - 5);
  assert.deepEqual(visitor.faults, []);
});

test('a reload keeps the screen, also where it is far from the end', async () => {
  const visitor = await Visitor.open(chrome, `${url}/#many`);
  await visitor.sees(`line ${MANY}`);
  // Further back than what a page is given at first.
  await visitor.page.evaluate(async () => {
    const { group } = document.getElementById('chat');
    for (let page = 0; page < 4; page++) await group.loadOlder({ limit: 100 });
  });
  await scrollTo(visitor, 0.3);
  await visitor.page.locator('.latest').waitFor();
  const seen = await eye(visitor);
  assert.ok(number(seen.text) < MANY - 200, seen.text);
  await visitor.page.reload();
  await visitor.sees(seen.text);
  await visitor.page.locator('.latest').waitFor();
  await visitor.frame();
  const now = await eye(visitor);
  assert.equal(now.text, seen.text);
  assert.ok(Math.abs(now.below - seen.below) <= 1, `${now.below} instead of ${seen.below}`);
  // Who was at the end is there again, whatever came meanwhile.
  await visitor.page.locator('.latest').click();
  await visitor.sees(`line ${MANY}`);
  await visitor.page.reload();
  await visitor.sees(`line ${MANY}`);
  await visitor.frame();
  assert.ok(await visitor.isOnScreen(`line ${MANY}`));
  assert.deepEqual(visitor.faults, []);
});

test('what one reads stays where it is while messages come below and above', async () => {
  const visitor = await Visitor.open(chrome, `${url}/#many`);
  await visitor.sees(`line ${last}`);
  await visitor.page.locator('.log').hover();
  await visitor.page.mouse.wheel(0, -900);
  await visitor.page.locator('.latest').waitFor();
  await visitor.frame();
  const stays = async (what) => {
    await visitor.frame();
    const now = await eye(visitor);
    assert.equal(now.text, seen.text, what);
    assert.ok(Math.abs(now.below - seen.below) <= 1, `${what}: ${now.below} instead of ${seen.below}`);
  };
  const seen = await eye(visitor);
  const held = () => visitor.page.evaluate(() => document.getElementById('chat').group.messages.length);
  const count = await held();
  await talker.say('many', lines(100, last + 1));
  last += 100;
  await visitor.page.waitForFunction((most) => document.getElementById('chat').group.messages.length === most, count + 100);
  await stays('a hundred came below');
  await visitor.page.evaluate(() => document.getElementById('chat').group.loadOlder({ limit: 100 }));
  assert.equal(await held(), count + 200);
  await stays('a hundred came above');
  await visitor.page.locator('.latest').click();
  await visitor.sees(`line ${last}`);
  assert.ok(await visitor.isOnScreen(`line ${last}`));
  assert.deepEqual(visitor.faults, []);
});

test('a page with thousands of messages does not stutter while hundreds come in each second', async (t) => {
  const visitor = await loaded();
  const measure = () =>
    visitor.page.evaluate(() => {
      const tasks = [];
      const gaps = [];
      new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
      let last = performance.now();
      const tick = (now) => {
        gaps.push(now - last);
        last = now;
        requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
      globalThis.figures = () => ({ tasks, gaps });
    });
  await measure();
  const streamed = async (what) => {
    const texts = lines(5 * RATE_PER_S, last + 1);
    await talker.say('many', texts, { perSecond: RATE_PER_S });
    last += texts.length;
    await visitor.page.waitForFunction((last) => document.getElementById('chat').group.messages.at(-1).text === last, texts.at(-1));
    await visitor.frame();
    const { tasks, gaps } = await visitor.page.evaluate(() => globalThis.figures());
    const most = (some) => Math.round(Math.max(0, ...some));
    t.diagnostic(`${what}: ${tasks.length} tasks over 50 ms so far, the longest ${most(tasks)} ms; longest gap between frames ${most(gaps)} ms`);
    assert.ok(most(tasks) < TASK_MAX_MS);
    assert.ok((await drawnMost(visitor)) < DRAWN_MAX);
  };
  await streamed('at the end');
  assert.ok(await visitor.isOnScreen(`line ${last}`), 'who is at the end stays there');
  await scrollTo(visitor, 0.5);
  const seen = await eye(visitor);
  await streamed('in the middle');
  assert.deepEqual(await eye(visitor), seen, 'who reads elsewhere is not moved');
  assert.deepEqual(visitor.faults, []);
});
