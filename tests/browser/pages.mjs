// Pages as a person has them: each in a browser profile of its own, watched for whatever a browser complains about.

import assert from 'node:assert/strict';
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

  /**
   * @param {import('playwright-core').Browser} chrome
   * @param {string} url
   * @param {{width: number, height: number}} viewport
   */
  static async open(chrome, url, viewport = { width: 1280, height: 800 }) {
    const visitor = new Visitor();
    const context = await chrome.newContext({ viewport });
    context.setDefaultTimeout(WAIT_MS);
    visitor.page = await context.newPage();
    visitor.#watch(new URL(url).host);
    await visitor.page.goto(url);
    await visitor.connection('Connected');
    return visitor;
  }

  #watch(host) {
    const elsewhere = (url) => {
      if (new URL(url).host !== host) this.faults.push(`a request left the origin: ${url}`);
    };
    this.page.on('request', (request) => elsewhere(request.url()));
    this.page.on('websocket', (socket) => elsewhere(socket.url()));
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

  /** @returns {Promise<boolean>} whether something is wider than the window */
  scrollsSideways() {
    return this.page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  }
}
