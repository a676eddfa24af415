// The way between a page and its hub, as bad as a way may be: cut, refused, silent, and leading somewhere else.
//
// It passes bytes. Of what they say it knows one thing: a WebSocket's handshake from the rest, so that a page can be
// loaded whose way to the hub is closed. Hubs behind it are told its address (`hosts`), by which pages call them.

import { once } from 'node:events';
import net from 'node:net';

const SOCKET = /^GET \/ws[ ?]/;

export class Way {
  /** @type {string} where pages find the hub */
  url;
  /** @type {Record<string, string>} settings by which a hub answers to that address */
  settings;
  #server;
  /** @type {string | undefined} */
  #target;
  /** @type {Set<{near: net.Socket, far: net.Socket, isSocket: boolean}>} */
  #pairs = new Set();
  #refusing = false;
  #silent = false;
  /** @type {(() => void)[]} those who wait for a WebSocket to be refused */
  #refused = [];

  /** @param {import('node:test').TestContext} t */
  static async open(t) {
    const way = new Way();
    way.#server = net.createServer({ allowHalfOpen: true }, (near) => way.#take(near)).listen(0, '127.0.0.1');
    await once(way.#server, 'listening');
    const host = `127.0.0.1:${way.#server.address().port}`;
    way.url = `http://${host}`;
    way.settings = { PALABRE_SERVER_HOSTS: host };
    t.after(() => {
      way.#server.close();
      way.cut();
    });
    return way;
  }

  /** @param {string} url the hub to which connections lead from now on; those that stand stay where they are */
  to(url) {
    this.#target = url;
  }

  /** Ends all connections in the middle of whatever they say. */
  cut() {
    for (const { near, far } of this.#pairs) for (const end of [near, far]) end.destroy();
    this.#pairs.clear();
  }

  /** Takes no WebSocket any more, and cuts those that stand. */
  refuse() {
    this.#refusing = true;
    this.#silent = false;
    this.cut();
  }

  /** @returns {Promise<void>} when another WebSocket was refused */
  refused() {
    return new Promise((resolve) => this.#refused.push(resolve));
  }

  /** Passes nothing on, and breaks nothing: a cable that was pulled, a laptop that sleeps. */
  silence() {
    this.#silent = true;
    for (const { near, far } of this.#pairs) for (const end of [near, far]) end.pause();
  }

  /** All is well again; what was held back by `silence` goes on. */
  mend() {
    this.#refusing = this.#silent = false;
    for (const { near, far } of this.#pairs) for (const end of [near, far]) end.resume();
  }

  /** @returns {number} WebSockets that stand */
  get sockets() {
    return [...this.#pairs].filter(({ isSocket }) => isSocket).length;
  }

  /** @param {net.Socket} near */
  #take(near) {
    near.on('error', () => {}); // A browser may break off.
    near.once('data', (head) => {
      near.pause();
      const isSocket = SOCKET.test(String(head));
      if (isSocket && this.#refusing) {
        near.destroy();
        for (const tell of this.#refused.splice(0)) tell();
        return;
      }
      const { hostname, port } = new URL(this.#target);
      const far = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
      const pair = { near, far, isSocket };
      this.#pairs.add(pair);
      far.write(head);
      pass(near, far, () => this.#pairs.delete(pair));
      pass(far, near, () => this.#pairs.delete(pair));
      for (const end of [near, far]) this.#silent ? end.pause() : end.resume();
    });
  }
}

/** @param {net.Socket} from @param {net.Socket} to @param {() => void} ended */
function pass(from, to, ended) {
  from.on('data', (bytes) => to.write(bytes));
  from.on('end', () => to.end());
  from.on('error', () => {});
  from.on('close', () => {
    to.destroy();
    ended();
  });
}
