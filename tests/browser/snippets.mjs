// The documents' own snippets, and what runs them: a site on another origin than the hub's, and folders with packages.
//
// A fence whose info string has a second word (```html embed) is a snippet, found by that word. In all of them the hub
// is https://chat.example, which is replaced by the address of the one that the test has started.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { createClient } from '../../clients/js/src/index.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGES = path.join(ROOT, 'tests/browser/node_modules');
const FENCE = /^```(\w+) ([\w-]+)\n([\s\S]*?)^```$/gm;

/**
 * @param {string} file a document's path in the repository
 * @returns {Promise<Record<string, string>>} its snippets by name
 */
export async function snippets(file) {
  const found = [...(await readFile(path.join(ROOT, file), 'utf8')).matchAll(FENCE)];
  assert.equal(new Set(found.map(([, , name]) => name)).size, found.length, `two snippets of ${file} have one name`);
  return Object.fromEntries(found.map(([, , name, text]) => [name, text]));
}

/**
 * @param {string} snippet
 * @param {string} url the hub's
 */
export function forHub(snippet, url) {
  return snippet.replaceAll('https://chat.example', url).replaceAll('wss://chat.example', url.replace('http', 'ws'));
}

/** Somebody's site, which has nothing to do with a hub but that its pages use one. */
export class Site {
  /** @type {Map<string, (asked: import('node:http').IncomingMessage, answer: import('node:http').ServerResponse) => void>} */
  #routes = new Map();
  #server = createServer((asked, answer) => {
    const route = this.#routes.get(new URL(asked.url, 'http://site').pathname);
    if (route) route(asked, answer);
    else answer.writeHead(asked.url === '/favicon.ico' ? 204 : 404).end();
  });

  /** @param {import('node:test').TestContext} t */
  static async open(t) {
    const site = new Site();
    site.#server.listen(0, '127.0.0.1');
    await once(site.#server, 'listening');
    t.after(() => {
      site.#server.close();
      site.#server.closeAllConnections();
    });
    return site;
  }

  get origin() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /**
   * @param {string} at
   * @param {(asked: import('node:http').IncomingMessage, answer: import('node:http').ServerResponse) => void} route
   */
  route(at, route) {
    this.#routes.set(at, route);
  }

  /**
   * @param {string} at
   * @param {string} html a whole page, or what stands in its body
   * @param {Record<string, string>} [headers]
   * @returns {string} its address
   */
  page(at, html, headers = {}) {
    const whole = html.startsWith('<!doctype') ? html : `<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n${html}`;
    this.route(at, (_, answer) => answer.writeHead(200, { 'content-type': 'text/html', ...headers }).end(whole));
    return this.origin + at;
  }

  /** @param {string} at @param {string} text */
  script(at, text) {
    this.route(at, (_, answer) => answer.writeHead(200, { 'content-type': 'text/javascript' }).end(text));
  }
}

/**
 * A page of the site, and what the browser has to complain of.
 * @param {import('playwright-core').Browser} chrome
 * @param {string} url
 * @param {(page: import('playwright-core').Page) => Promise<unknown>} [prepare] before it is opened
 */
export async function look(chrome, url, prepare) {
  const page = await chrome.newPage();
  page.setDefaultTimeout(10_000);
  const faults = [];
  const elsewhere = (address) => {
    if (!/^(data|blob):/.test(address) && new URL(address).hostname !== '127.0.0.1') faults.push(`left loopback: ${address}`);
  };
  page.on('request', (request) => elsewhere(request.url()));
  page.on('websocket', (socket) => elsewhere(socket.url()));
  page.on('pageerror', (error) => faults.push(`uncaught: ${error.stack}`));
  // Breaches of the content security policy are console errors too.
  page.on('console', (line) => line.type() === 'error' && faults.push(`console: ${line.text()}`));
  await prepare?.(page);
  await page.goto(url);
  return { page, faults };
}

/**
 * Somebody else in a group: the client in this process.
 * @param {import('node:test').TestContext} t
 * @param {string} url the hub's
 * @param {string} name the group's
 */
export async function peer(t, url, name = 'lobby') {
  const client = createClient({ url, WebSocket, name: 'Pia' });
  t.after(() => client.close());
  client.connect();
  const group = client.group(name);
  await group.join();
  return { client, group, hears: (text) => shown(group, (entry) => entry.text === text) };
}

/**
 * Waits until a group has an entry.
 * @param {import('../../clients/js/src/index.js').Group} group
 * @param {(entry: any) => boolean} wanted
 * @returns {Promise<any>}
 */
export function shown(group, wanted) {
  return new Promise((resolve) => {
    const seek = () => {
      const entry = group.messages.find(wanted);
      if (!entry) return;
      off();
      resolve(entry);
    };
    const off = group.on('change', seek);
    seek();
  });
}

/**
 * A folder of its own, removed when the test is over.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} packages what `node_modules` links to, by name
 */
export async function folder(t, packages = {}) {
  const at = await mkdtemp(path.join(tmpdir(), 'palabre-snippet-'));
  t.after(() => rm(at, { recursive: true, force: true }));
  for (const [name, target] of Object.entries(packages)) {
    await mkdir(path.dirname(path.join(at, 'node_modules', name)), { recursive: true });
    await symlink(target, path.join(at, 'node_modules', name));
  }
  return at;
}

/** Where an installed package of the tests is. @param {string} name */
export const installed = (name) => path.join(PACKAGES, name);
