// The far end of a client's link, held by a test: it reads what the client sends and says what a hub would.
//
// It stands for the socket alone; what a real hub does is tested with real hubs. `PALABRE_SDK` names what is tested:
// the sources, or the file that a hub serves.

const { createClient, PalabreError } = await import(process.env.PALABRE_SDK ?? '../src/index.js');

export { createClient, PalabreError };
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

/** What a storage is to the client. */
export class Shelf {
  kept = new Map();

  getItem(key) {
    return this.kept.get(key) ?? null;
  }

  setItem(key, text) {
    this.kept.set(key, String(text));
  }

  removeItem(key) {
    this.kept.delete(key);
  }
}

/** A client and the sockets that it opened. */
export class Bench {
  sockets = [];
  events = [];

  /**
   * @param {import('node:test').TestContext} t
   * @param {object} options further ones of the client
   */
  constructor(t, options = {}) {
    const { sockets } = this;
    class Opened extends Socket {
      constructor(url, protocol) {
        super();
        Object.assign(this, { url, protocol });
        sockets.push(this);
      }
    }
    this.client = createClient({ url: 'ws://127.0.0.1/ws', WebSocket: Opened, storage: null, ...options });
    for (const type of ['status', 'layer', 'user']) this.client.on(type, (detail) => this.events.push({ type, ...detail }));
    this.group = this.client.group('lobby');
    for (const type of ['message', 'update', 'typing', 'presence', 'hole', 'joined', 'refused']) {
      this.group.on(type, (detail) => this.events.push({ type, ...detail }));
    }
    t.after(() => this.client.close());
  }

  get socket() {
    return this.sockets.at(-1);
  }

  /** The newest socket opens and the hub welcomes; what the client does in turn is done when this is. */
  async welcome(user = ME, fields = {}) {
    this.socket.readyState = 1;
    this.socket.onopen();
    const layer = { state: 'healthy', mode: 'redis', scope: 'cluster', since: 0 };
    this.say({ type: 'welcome', ref: 'hello', user, token: `token of ${user.id}`, layer, limits: {}, ping_s: 30, ...fields });
    await turn();
  }

  /** Connected, and a member of `lobby` at `offset`. */
  async enter(offset = 5, snapshot = {}) {
    this.group.join().catch(() => {});
    this.client.connect();
    await this.welcome();
    await this.joined({ position: at(offset), snapshot: { messages: [], more: false, ...snapshot } });
    return this.group;
  }

  /** A new connection after the last was lost. */
  async back(user = ME, fields = {}) {
    this.client.hurry();
    await turn();
    await this.welcome(user, fields);
  }

  /** Answers the newest join. */
  async joined(fields) {
    this.say({ type: 'joined', ref: this.last('join').ref, group: 'lobby', ...fields });
    await turn();
  }

  say(frame) {
    this.socket.onmessage({ data: JSON.stringify(frame) });
  }

  lose(code) {
    this.socket.onclose({ code });
  }

  /** The newest frame of a type that was sent on the newest socket. */
  last(type) {
    return this.all(type).at(-1);
  }

  all(type) {
    return this.socket.sent.filter((frame) => frame.type === type);
  }

  /** Answers the newest request of a type. */
  answer(type, fields) {
    const { ref, group } = this.last(type);
    this.say({ ref, group, ...fields });
  }

  texts() {
    return this.group.messages.map((entry) => (entry.type === 'note' ? note(entry) : entry.text));
  }

  heard(type) {
    return this.events.filter((event) => event.type === type);
  }
}

function note({ reason, lost }) {
  return { reason, lost };
}

/** What was queued for after this is done. */
export function turn() {
  return new Promise((resolve) => setImmediate(resolve));
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
