// The way to the hub: one WebSocket at a time, who we are on it, whether it lives, when to come back.
//
// It says hello, answers the hub's pings, calls a silent link dead, and reconnects by the close code with full
// jitter, so that the pages of a node that went away do not all return in the same instant. Frames go out only
// while a socket is open: what must outlive one is the business of hub.js. It knows nothing of groups.

const TOKEN_KEY = 'palabre.token';
const NAME_KEY = 'palabre.name';

const PAUSE_MIN_MS = 300;
const PAUSE_MAX_MS = 20_000;
// A link that held this long was a good one: the next pause starts small again.
const STABLE_MS = 10_000;
// The hub speaks at least every 30 s; 5 s more are for the network.
const SILENCE_MS = 35_000;

/**
 * Whether a client comes back by itself after this close code.
 * @param {number} code
 * @returns {boolean}
 */
export function mayReturn(code) {
  return [1001, 1005, 1006, 1011, 1012, 1013].includes(code) || (code >= 4000 && code <= 4499);
}

/**
 * How long to wait before try number `attempt` (from 0), in milliseconds.
 * @param {number} attempt
 * @param {number} random from 0 to 1
 * @returns {number}
 */
export function pause(attempt, random) {
  const most = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** (attempt + 1));
  return Math.round(PAUSE_MIN_MS + random * (most - PAUSE_MIN_MS));
}

/**
 * @typedef {'connecting' | 'connected' | 'reconnecting' | 'offline'} Status
 * @typedef {object} Listener
 * @property {() => void} opened requests may be sent from now on
 * @property {(frame: object) => void} frame a frame of the hub, `welcome` included
 * @property {(status: Status, detail: {reason?: string, code?: number, wait_ms?: number}) => void} status
 */

/** The connection of one page. */
export class Link {
  /** @type {Status} */
  status = 'connecting';
  #url;
  #Socket;
  #keep;
  #listener;
  #socket = null;
  #timer;
  #silence;
  #attempt = 0;
  #connectedAt = 0;
  #drainAt = null;

  /**
   * @param {{url: string, Socket: typeof WebSocket, keep: import('./keep.js').Keep}} options
   * @param {Listener} listener
   */
  constructor({ url, Socket, keep }, listener) {
    this.#url = url;
    this.#Socket = Socket;
    this.#keep = keep;
    this.#listener = listener;
  }

  /** The name to ask for, empty when the hub shall choose. */
  get name() {
    return this.#keep.read(NAME_KEY) ?? '';
  }

  /** A name is said in `hello`, so a new one takes a new connection. */
  set name(name) {
    this.#keep.write(NAME_KEY, name);
    this.open();
  }

  /** Connects now, whatever was before. */
  open() {
    this.#drop();
    const socket = new this.#Socket(this.#url, 'palabre.v1');
    this.#socket = socket;
    socket.onopen = () => {
      const token = this.#keep.read(TOKEN_KEY);
      this.send({ type: 'hello', ref: 'hello', ...(token && { token }), ...(this.name && { name: this.name }) });
      this.#listener.opened();
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#lost(code, 'closed');
    this.#listen();
    this.#say(this.status === 'connecting' ? 'connecting' : 'reconnecting', {});
  }

  /** Ends the wait between two tries. A link that is closed for good stays so. */
  hurry() {
    if (this.#socket === null && this.status === 'reconnecting') this.open();
  }

  /** Leaves for good. */
  close() {
    this.#drop();
    this.#say('offline', { reason: 'left' });
  }

  /**
   * @param {object} frame
   * @returns {boolean} whether a socket took it, which is no promise that it arrives
   */
  send(frame) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #receive(data) {
    this.#listen();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return; // No frame that v1 knows; the socket is fine.
    }
    if (frame === null || typeof frame !== 'object') return;
    if (frame.type === 'ping') this.send({ type: 'pong' });
    if (frame.type === 'drain') this.#drainAt = Date.now() + frame.reconnect_ms;
    if (frame.type === 'welcome') {
      if (frame.token) this.#keep.write(TOKEN_KEY, frame.token);
      this.#connectedAt = Date.now();
    }
    this.#listener.frame(frame);
    if (frame.type === 'welcome') this.#say('connected', {});
  }

  #listen() {
    clearTimeout(this.#silence);
    // A dead peer answers no closing handshake either, so the socket is let go without waiting for it.
    this.#silence = setTimeout(() => this.#lost(1006, 'dead'), SILENCE_MS);
  }

  #lost(code, reason) {
    const held = this.#connectedAt > 0 && Date.now() - this.#connectedAt >= STABLE_MS;
    if (held) this.#attempt = 0;
    // It counts from the notice, and the node may have kept the socket for most of that time.
    const drainMs = this.#drainAt === null ? null : Math.max(0, this.#drainAt - Date.now());
    this.#drop();
    if (!mayReturn(code)) return this.#say('offline', { reason, code });
    // "About so long": half as much to either side, for the pages of a draining node are many.
    const wait_ms = drainMs === null ? pause(this.#attempt++, Math.random()) : drainMs * (0.5 + Math.random());
    this.#timer = setTimeout(() => this.open(), wait_ms);
    this.#say('reconnecting', { reason, code, wait_ms });
  }

  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#connectedAt = 0;
    this.#drainAt = null;
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    // What a socket that was given up still has to say would be taken for the next one's.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #say(status, detail) {
    this.status = status;
    this.#listener.status(status, detail);
  }
}
