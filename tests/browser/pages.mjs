// Pages as a person has them: each in a browser profile of its own, watched for whatever a browser complains about.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { chromium } from 'playwright-core';

const WAIT_MS = 10_000;
// The network stack of a fresh Chromium talks to its maker; a test's must not.
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * @param {import('node:test').TestContext} t
 * @returns {Promise<import('playwright-core').Browser>}
 */
export async function browser(t) {
  const chrome = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
  t.after(() => chrome.close());
  return chrome;
}

/** One person's page. */
export class Visitor {
  /** @type {string[]} errors on the console, uncaught exceptions, breaches of the policy, requests elsewhere */
  faults = [];
  #sent = new EventEmitter();

  /**
   * @param {import('playwright-core').Browser} chrome
   * @param {string} url
   * @param {{width: number, height: number}} viewport
   * @param {import('playwright-core').BrowserContextOptions} options
   */
  static async open(chrome, url, viewport = { width: 1280, height: 800 }, options = {}) {
    const context = await chrome.newContext({ viewport, ...options });
    context.setDefaultTimeout(WAIT_MS);
    return Visitor.#in(context, url);
  }

  /** Another tab of the same person. @param {string} url */
  tab(url) {
    return Visitor.#in(this.page.context(), url);
  }

  /** @param {import('playwright-core').BrowserContext} context @param {string} url */
  static async #in(context, url) {
    const visitor = new Visitor();
    visitor.page = await context.newPage();
    visitor.#watch(new URL(url).host);
    await visitor.page.goto(url);
    // In whatever language.
    await visitor.page.locator('palabre-status .connection[data-mood=good]').waitFor();
    return visitor;
  }

  #watch(host) {
    const elsewhere = (url) => {
      if (new URL(url).host !== host) this.faults.push(`a request left the origin: ${url}`);
    };
    this.page.on('request', (request) => elsewhere(request.url()));
    this.page.on('websocket', (socket) => {
      elsewhere(socket.url());
      socket.on('framesent', ({ payload }) => this.#sent.emit(JSON.parse(payload).type));
    });
    this.page.on('response', (answer) => {
      const fine = answer.ok() || answer.status() === 304;
      if (!fine) this.faults.push(`${answer.status()} for ${answer.url()}`);
    });
    this.page.on('pageerror', (error) => this.faults.push(`uncaught: ${error.stack}`));
    // Breaches of the content security policy are console errors too.
    this.page.on('console', (line) => line.type() === 'error' && this.faults.push(`console: ${line.text()}`));
  }

  /** @param {string} words what the badge of the connection must come to say */
  connection(words) {
    return this.page.locator('palabre-status .connection', { hasText: words }).waitFor();
  }

  /** @param {string} words what the badge of the layer must come to say */
  layer(words) {
    return this.page.locator('palabre-status .layer', { hasText: words }).waitFor();
  }

  /** @param {string} group the one that must come to be open */
  room(group) {
    return this.page.locator('#room').getByText(`# ${group}`, { exact: true }).waitFor();
  }

  /** By keyboard alone: Tab until what the selector names has the focus. @param {string} selector */
  async tabTo(selector) {
    for (let steps = 0; steps < 60; steps++) {
      const there = await this.page.evaluate((wanted) => {
        let at = document.activeElement;
        while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
        return at?.matches(wanted) ?? false;
      }, selector);
      if (there) return;
      await this.page.keyboard.press('Tab');
    }
    assert.fail(`Tab does not lead to ${selector}`);
  }

  /** Groups and settings stand open; on a phone a person opens them. */
  async side() {
    if (await this.page.locator('#name').isVisible()) return;
    await this.tabTo('#side summary');
    await this.page.keyboard.press('Enter');
  }

  /** @param {string} name */
  async takeName(name) {
    await this.side();
    await this.tabTo('#name');
    await this.page.keyboard.press('ControlOrMeta+A');
    await this.page.keyboard.type(name);
    const welcomed = this.page.waitForEvent('websocket');
    await this.page.keyboard.press('Enter');
    await welcomed;
    await this.connection('Connected');
  }

  /** @param {string} text */
  async say(text) {
    await this.tabTo('.field');
    await this.page.keyboard.type(text);
    await this.page.keyboard.press('Enter');
  }

  /** @param {string} text */
  async sees(text) {
    await this.page.locator('.message .text').getByText(text, { exact: true }).first().waitFor();
  }

  /** @param {string} text an own message that must be acknowledged */
  async sent(text) {
    const message = this.page.locator('.message', { has: this.page.getByText(text, { exact: true }) });
    await message.locator('.state').getByText('Sent', { exact: true }).waitFor();
  }

  /** @param {string} type a frame that the page must come to send from now on */
  tells(type) {
    return once(this.#sent, type, { signal: AbortSignal.timeout(WAIT_MS) });
  }

  /** @param {string} text @returns {import('playwright-core').Locator} the message that says just this */
  message(text) {
    return this.page.locator('.message', { has: this.page.locator(`.text:text-is(${JSON.stringify(text)})`) });
  }

  /** By mouse: what the toolbar has for a message. @param {string} text @param {string} name */
  async tool(text, name) {
    const message = this.message(text);
    await message.hover();
    await message.getByRole('button', { name, exact: true }).click();
  }

  /** @returns {Promise<string>} a selector of what has the focus, in whatever shadow tree */
  focused() {
    return this.page.evaluate(() => {
      let at = document.activeElement;
      while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
      return [at?.localName, at?.id && `#${at.id}`, ...(at?.classList ?? [])].filter(Boolean).join(' ');
    });
  }

  /** @returns {Promise<string[]>} the texts on the screen, from top to bottom */
  texts() {
    return this.page.locator('.message .text').allTextContents();
  }

  /** @returns {Promise<string>} */
  async userId() {
    const token = await this.page.evaluate(() => localStorage.getItem(`palabre:ws://${location.host}/ws:token`));
    assert.ok(token, 'a guest keeps a token');
    return token;
  }

  /** @param {string} text @returns {Promise<boolean>} whether the message is wholly on the screen */
  isOnScreen(text) {
    return this.message(text).evaluate((element) => {
      const { top, bottom } = element.getBoundingClientRect();
      const log = element.closest('.log').getBoundingClientRect();
      return top >= log.top - 1 && bottom <= log.bottom + 1;
    });
  }

  /** @param {number} count so many messages must come to be in the open group, drawn or not, and safe in the history */
  holds(count) {
    return this.page.waitForFunction((wanted) => {
      const { messages } = document.getElementById('chat').group;
      return messages.length === wanted && messages.every(({ state }) => state === 'settled');
    }, count);
  }

  /** What was asked of the page is drawn. */
  frame() {
    return this.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }

  /** The messages have come to stand still: a browser scrolls by keyboard step by step, and what is loaded moves them too. */
  rests() {
    return this.page.locator('.log').evaluate(async (log) => {
      const still = 10;
      for (let [frames, top] = [0, -1]; frames < still; frames = log.scrollTop === top ? frames + 1 : 0) {
        top = log.scrollTop;
        await new Promise(requestAnimationFrame);
      }
    });
  }

  /** @returns {Promise<boolean>} whether something is wider than the window */
  scrollsSideways() {
    return this.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  }
}

/** Somebody who talks without a page to look at: the client alone, for what no person types so fast. */
export class Talker {
  #page;

  /**
   * @param {import('playwright-core').Browser} chrome
   * @param {string} url
   * @param {string} name
   */
  static async open(chrome, url, name) {
    const talker = new Talker();
    // A document of the hub's own, that has nothing in it.
    const context = await chrome.newContext({ bypassCSP: true });
    talker.#page = await context.newPage();
    await talker.#page.goto(`${url}/health`);
    await talker.#page.evaluate(async (name) => {
      const { createClient } = await import('/palabre.js');
      globalThis.client = createClient({ url: location.origin, name, storage: null, queueMax: 10_000 });
      globalThis.client.connect();
    }, name);
    return talker;
  }

  /**
   * @param {string} group
   * @param {(string | {text: string, data?: any, replyTo?: string})[]} contents said in this order
   * @param {{perSecond?: number}} [pace] else as fast as may be
   * @returns {Promise<string[]>} their ids, when all of them were taken
   */
  say(group, contents, { perSecond } = {}) {
    return this.#page.evaluate(async ({ group, contents, perSecond }) => {
      const to = globalThis.client.group(group);
      const began = performance.now();
      const acks = [];
      for (const content of contents) {
        acks.push(to.send(content));
        if (!perSecond) continue;
        const due = began + (acks.length * 1_000) / perSecond;
        if (due > performance.now()) await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
      }
      return (await Promise.all(acks)).map(({ id }) => id);
    }, { group, contents, perSecond });
  }
}

/** @param {number} count @returns {string[]} lines that tell which they are: `line 1`, `line 2`, … */
export function lines(count, from = 1) {
  return Array.from({ length: count }, (_, index) => `line ${from + index}`);
}
