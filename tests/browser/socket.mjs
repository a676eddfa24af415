// The far end of a page's link, held by a test: it reads what the page's code sends and says what a hub would.
//
// It stands for the socket alone. What a real hub does is tested with real hubs, in two_nodes.test.mjs.

import { Hub } from '../../web-demo/hub.js';

export const ME = { id: 'g-me', name: 'Ana' };
export const EPOCH = '9f2c41d07ab35e68';

/** A socket in a test's hands. */
class Socket {
  readyState = 0;
  sent = [];

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }
}

/** A page's hub and the sockets that it opened. */
export class Bench {
  sockets = [];
  events = [];

  /** @param {import('node:test').TestContext} t */
  constructor(t) {
    const { sockets } = this;
    class Opened extends Socket {
      constructor() {
        super();
        sockets.push(this);
      }
    }
    this.hub = new Hub({ url: 'ws://127.0.0.1/ws', WebSocket: Opened, storage: () => null });
    for (const type of ['status', 'layer', 'room', 'message']) {
      this.hub.addEventListener(type, ({ detail }) => this.events.push({ type, ...detail }));
    }
    t.after(() => this.hub.close());
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** The newest socket opens and the hub welcomes. */
  welcome(user = ME) {
    this.socket.readyState = 1;
    this.socket.onopen();
    const layer = { state: 'healthy', mode: 'redis', scope: 'cluster', since: 0 };
    this.say({ type: 'welcome', ref: 'hello', user, token: `token of ${user.id}`, layer, limits: {}, ping_s: 30 });
  }

  /** Connected, and a member of `lobby` at `offset`. */
  enter(offset = 5) {
    this.hub.join('lobby');
    this.hub.connect();
    this.welcome();
    this.joined({ position: at(offset), snapshot: { messages: [], more: false } });
    return this.hub.rooms.get('lobby');
  }

  /** Answers the newest join. */
  joined(fields) {
    this.say({ type: 'joined', ref: this.last('join').ref, group: 'lobby', ...fields });
  }

  say(frame) {
    this.socket.onmessage({ data: JSON.stringify(frame) });
  }

  lose(code) {
    this.socket.onclose({ code });
  }

  /** The newest frame of a type that the page sent on the newest socket. */
  last(type) {
    return this.socket.sent.findLast((frame) => frame.type === type);
  }

  texts() {
    return this.hub.rooms.get('lobby').list().map(({ text, note }) => text ?? note);
  }
}

/** @param {number} offset */
export function at(offset, epoch = EPOCH) {
  return { epoch, offset };
}

/** Somebody's message, live or in a snapshot. */
export function message(offset, fields = {}) {
  const user = { id: 'g-bo', name: 'Bo' };
  const { id = `id-${offset}`, text = `text ${offset}` } = fields;
  const common = { type: 'chat.message', group: 'lobby', client_id: `bo-${offset}`, ts: 1, user, version: 1 };
  return { ...common, position: at(offset), ...fields, id, text };
}
