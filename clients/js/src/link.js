// The way to the hub: one WebSocket at a time, who we are on it, whether it lives, when to come back.
//
// It says hello, answers the hub's pings, calls a silent link dead, and reconnects by the close code with full
// jitter, so that the pages of a node that went away do not all return in the same instant. Frames go out only
// while a socket is open: what must outlive one is the business of requests.js. It knows nothing of groups.

import { PalabreError } from './error.js';
import { attempt } from './keep.js';
import { isForNow } from './requests.js';

/**
 * How the connection is. `connecting`: the first try since `connect`. `reconnecting`: a later one, or the wait before it.
 * `offline`: nothing is tried, before `connect` and after an end that is final.
 * @typedef {'connecting' | 'connected' | 'reconnecting' | 'offline'} Status
 */

/**
 * The connection's state has changed, or another try begins.
 * @typedef {object} StatusEvent
 * @property {Status} status how the connection is now
 * @property {'closed' | 'dead' | 'no_token' | 'unauthorized' | 'left' | 'refused'} [reason] why the last connection
 *   ended; `closed` also for a hello that the hub refused, with the code of the close that would follow; `refused`: the
 *   platform opens none to this address, as from a page under https: to ws:
 * @property {number} [code] the WebSocket's close code
 * @property {number} [wait_ms] when `reconnecting`: how long until the next try; without it one is under way
 */

/**
 * @typedef {object} Listener
 * @property {() => void} opened requests may be sent from now on
 * @property {(frame: any) => void} take an object with a `type`, `welcome` included
 * @property {(event: StatusEvent) => void} moved
 */

/**
 * Gives the token for the next connection; null: a guest, and another one each time. `expired` when the hub has ended the last
 * connection because its token had expired. Throw a `PalabreError('unauthorized')` to stay away for good; whatever else is thrown
 * is tried again, later and later.
 * @typedef {(context: {expired: boolean}) => Promise<string | null> | string | null} GetToken
 */

/**
 * What the client uses of a WebSocket.
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(text: string) => void} send
 * @property {() => void} close
 */

/**
 * A class of WebSockets: the platform's own, that of the package `ws`, or another with the same handlers.
 * @typedef {new (url: string, protocol: string) => Socket} SocketClass
 */

const TOKEN_KEY = 'token';
const NAME_KEY = 'name';

const PAUSE_MIN_MS = 300;
const PAUSE_MAX_MS = 20_000;
// A link that held this long was a good one: the next pause starts small again.
const STABLE_MS = 10_000;
// The hub speaks at least every 30 s; 5 s more are for the network.
const SILENCE_MS = 35_000;
// Where a doubt can be settled by asking, nobody waits that long: for a welcome, for the answer to a ping.
const WELCOME_MS = 15_000;
const DOUBT_MS = 5_000;

const EXPIRED = 4100;

/**
 * Whether a client comes back by itself after this close code.
 * @param {number} code
 * @returns {boolean}
 */
export function mayReturn(code) {
  return /^(100[156]|101[1-3]|4[0-4]..)$/.test(String(code));
}

/**
 * How long to wait before try number `attempt` (from 0), in milliseconds.
 * @param {number} attempt
 * @param {number} random from 0 to 1
 * @returns {number}
 */
export function pause(attempt, random) {
  return Math.round(random * Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** attempt));
}

/** The connection of one client. */
export class Link {
  /** @type {Status} */
  status = 'offline';
  #options;
  #listener;
  /** @type {Socket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silence;
  #turn = 0; // counts the tries, so that a token that comes late is not used for another one
  #attempt = 0;
  #expired = false;
  #heardAt = 0;
  #connectedAt = Infinity;
  #drainAt = 0;

  /**
   * @param {{url: string, Socket: SocketClass, keep: import('./keep.js').Keep, getToken?: GetToken}} options
   * @param {Listener} listener
   */
  constructor(options, listener) {
    this.#options = options;
    this.#listener = listener;
  }

  /** The name to ask for, empty when the hub shall choose. */
  get name() {
    return this.#options.keep.read(NAME_KEY) ?? '';
  }

  set name(name) {
    this.#options.keep.write(NAME_KEY, name);
  }

  /** Connects now, whatever was before. */
  async open() {
    this.#drop();
    const turn = ++this.#turn;
    this.#say({ status: this.status === 'offline' ? 'connecting' : 'reconnecting' });
    let token = this.#options.keep.read(TOKEN_KEY);
    if (this.#options.getToken) {
      try {
        token = await this.#options.getToken({ expired: this.#expired });
      } catch (error) {
        if (turn !== this.#turn) return;
        const unauthorized = error instanceof PalabreError && error.code === 'unauthorized';
        return unauthorized ? this.#end({ reason: 'unauthorized' }) : this.#retry({ reason: 'no_token' });
      }
    }
    if (turn !== this.#turn) return;
    try {
      this.#dial(token);
    } catch (error) {
      this.#end({ reason: 'refused' });
      throw error; // Nobody handles it, so that it is seen: no other try would end otherwise.
    }
  }

  /**
   * Looks whether things are as they seem, after a sleep or a change of the network: ends a wait, and doubts a socket.
   * A link that is closed for good stays so.
   */
  check() {
    if (this.#socket === null) {
      if (this.#timer) this.open();
    } else if (Date.now() - this.#heardAt >= SILENCE_MS) {
      this.#lost(1006, 'dead'); // The timer that says so slept as well.
    } else if (this.status === 'connected' && this.send({ type: 'ping' })) {
      this.#listen(DOUBT_MS);
    }
  }

  /** Leaves for good. */
  close() {
    this.#drop();
    this.#end({ reason: 'left' });
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

  /** @param {string | null} token */
  #dial(token) {
    const socket = new this.#options.Socket(this.#options.url, 'palabre.v1');
    this.#socket = socket;
    this.#connectedAt = Infinity;
    this.#drainAt = 0;
    socket.onopen = () => {
      this.send({ type: 'hello', ref: 'hello', token: token || undefined, name: this.name || undefined });
      this.#listener.opened();
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#lost(code, 'closed');
    // What a socket's error means its close says; without a listener some libraries throw it.
    socket.onerror = () => {};
    this.#heardAt = Date.now();
    this.#listen(WELCOME_MS);
  }

  /** @param {any} data */
  #receive(data) {
    const turn = this.#turn;
    this.#heardAt = Date.now();
    if (this.status === 'connected') this.#listen(SILENCE_MS);
    const frame = attempt(() => JSON.parse(data));
    const type = frame?.type;
    if (typeof type !== 'string') return; // No frame that v1 knows; the socket is fine.
    if (type === 'ping') this.send({ type: 'pong' });
    if (type === 'drain') this.#drainAt = Date.now() + (Number(frame.reconnect_ms) || 0);
    if (type === 'welcome') {
      if (frame.token && !this.#options.getToken) this.#options.keep.write(TOKEN_KEY, frame.token);
      this.#connectedAt = Date.now();
      this.#expired = false;
      this.#listen(SILENCE_MS);
    }
    this.#listener.take(frame);
    if (turn !== this.#turn) return; // A listener has ended this connection.
    if (type === 'welcome') this.#say({ status: 'connected' });
    if (frame.ref !== 'hello' || type !== 'error') return;
    // Its message names the field that it is about; what else it may be is as the close that would follow it.
    if (!this.name || !/`name`/.test(frame.message)) return this.#lost(isForNow(frame.code) ? 1013 : 4501, 'closed');
    this.name = ''; // Kept, it would be refused for ever.
    this.open();
  }

  /** @param {number} silence_ms */
  #listen(silence_ms) {
    clearTimeout(this.#silence);
    // A dead peer answers no closing handshake either, so the socket is let go without waiting for it.
    this.#silence = setTimeout(() => this.#lost(1006, 'dead'), silence_ms);
  }

  /**
   * @param {number} code
   * @param {'closed' | 'dead'} reason
   */
  #lost(code, reason) {
    const held = Date.now() - this.#connectedAt >= STABLE_MS;
    if (held) this.#attempt = 0;
    this.#expired = code === EXPIRED;
    this.#drop();
    if (mayReturn(code)) this.#retry({ reason, code });
    else this.#end({ reason, code });
  }

  /** @param {Omit<StatusEvent, 'status'>} why */
  #retry(why) {
    // "About so long", from the notice on: half as much to either side, for the pages of a draining node are many.
    const drain_ms = Math.round((this.#drainAt - Date.now()) * (0.5 + Math.random()));
    // Never at once, or nodes that drain one after the other would be asked as fast as they answer.
    const wait_ms = Math.max(drain_ms, pause(this.#attempt++, Math.random()));
    this.#timer = setTimeout(() => this.open(), wait_ms);
    this.#say({ status: 'reconnecting', ...why, wait_ms });
  }

  /** @param {Omit<StatusEvent, 'status'>} why */
  #end(why) {
    this.#turn++;
    this.#say({ status: 'offline', ...why });
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    // What a socket that was given up still has to say would be taken for the next one's.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  /** @param {StatusEvent} event */
  #say(event) {
    this.status = event.status;
    this.#listener.moved(event);
  }
}
