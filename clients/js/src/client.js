// One client: its connection, its groups, and what it asked of the hub.
//
// Frames of the hub are given to whom they concern: answers to what was asked (requests.js), everything about a
// group to that (group.js). Nothing happens before `connect`, and nothing at module scope touches the outside.

/** @import {Layer, User} from './frames.js' */
/** @import {GetToken, SocketClass, Status, StatusEvent} from './link.js' */
/** @import {MessageState} from './timeline.js' */
/** @import {Request} from './requests.js' */
/** @import {Store} from './keep.js' */
import { Emitter } from './emitter.js';
import { PalabreError } from './error.js';
import { list, user } from './frames.js';
import { Group } from './group.js';
import { attempt, Keep } from './keep.js';
import { Link } from './link.js';
import { again_ms, isForNow, Requests } from './requests.js';

const JOINS_MAX = 100; // groups that one join may name
const QUEUE_MAX = 500; // own messages that wait; past that the network is gone for longer than a chat lasts
const QUEUE_AGE_MS = 3_600_000; // what waited longer is better asked for again than said out of nowhere
const GROUP = /^[A-Za-z0-9._-]{1,99}$/;
const QUEUE_KEY = 'queue';
// What says that the network, or this page, is back from somewhere.
const DOUBTS = ['online', 'pageshow', 'visibilitychange'];

/**
 * What {@link createClient} takes.
 * @typedef {object} Options
 * @property {string | URL} url the hub's: `https://chat.example`, or the whole `wss://chat.example/ws`
 * @property {string} [name] what others see; the hub draws one for who gives none
 * @property {GetToken} [getToken] your users' tokens, asked for before each connection; without it, a guest
 * @property {SocketClass} [WebSocket] where the platform has none, or another: in Node 20 that of the package `ws`
 * @property {Store | null} [storage] keeps who a guest is; `localStorage` where there is one, null: nothing
 * @property {Store | null} [queueStorage] keeps messages that wait over a reload; none unless it is given.
 *   `sessionStorage` is right for pages: each tab has its own
 * @property {number} [queueMax] requests that may wait or be open, 500 unless it is given; one more fails with `queue_full`.
 *   So many that failed are kept beside them, the latest
 * @property {number} [queueAge_ms] what waited longer when its turn comes fails with `expired`; an hour unless it is given
 */

/**
 * What a client tells of, to those who listen by `on`.
 * @typedef {object} ClientEvents
 * @property {StatusEvent} status the connection is in another state, or another try begins
 * @property {Layer} layer what joins the nodes changed, and how far messages get; also at each welcome
 * @property {{user: User}} user who the hub takes us for
 * @property {{queue: Queued[]}} queue own messages that wait, go out or have failed changed
 * @property {{frame: any}} frame every frame of the hub, as it came; `welcome` has a guest's `token`, which is a secret
 */

/**
 * A message, edit or deletion that is not safe in the history yet: the request as it goes out, how far it got, and
 * when it was written, in ms since 1970.
 * @typedef {{readonly frame: any, readonly state: MessageState, readonly code?: string, readonly at: number}} Queued
 */

/**
 * A connection to a hub, with its groups. {@link createClient} makes it.
 * @extends {Emitter<ClientEvents>}
 */
export class Client extends Emitter {
  /** @type {User | null} who the hub takes us for, once it said so */
  user = null;
  /** @type {Layer | null} what joins the nodes, and how far messages get; null before the first connection */
  layer = null;
  /** @type {Record<string, number>} the hub's limits by name, as docs/protocol.md lists them; empty before the first connection */
  limits = {};
  /** @type {string[]} the hub's optional parts: `presence` where members are told */
  features = [];

  /** @type {Map<string, Group>} */
  #groups = new Map();
  /** @type {Set<Group>} those that we are to be in */
  #wanted = new Set();
  /** @type {Set<Group>} those to be named in the next join */
  #joining = new Set();
  #refs = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #again;
  #link;
  /** @internal */
  requests;
  #queueKeep;
  #queueStale = false;

  /** @param {Options} options @internal */
  constructor(options) {
    super();
    const { WebSocket: Socket = globalThis.WebSocket, getToken, storage, queueStorage, name } = options;
    if (!Socket) throw new TypeError('no WebSocket');
    const url = address(options.url);
    const keep = new Keep(`palabre:${url}:`, () => (storage === undefined ? globalThis.localStorage : storage));
    this.#queueKeep = new Keep(`palabre:${url}:`, () => queueStorage);
    this.#link = new Link({ url, Socket, keep, getToken }, this);
    if (name !== undefined) this.#link.name = name;
    this.requests = new Requests(this, options.queueMax ?? QUEUE_MAX, options.queueAge_ms ?? QUEUE_AGE_MS);
    this.#restore();
  }

  /** How the connection is. @returns {Status} */
  get status() {
    return this.#link.status;
  }

  /** The name that was asked for, empty when the hub shall choose; the one that holds is `user.name`. */
  get name() {
    return this.#link.name;
  }

  /** Own messages that are not safe in the history yet, in the order of writing. @returns {Queued[]} */
  get queue() {
    return this.requests.written;
  }

  /**
   * A group, the same object each time. It is not joined by that. Throws `bad_request` for what is no name.
   * @param {string} name 1 to 99 letters, digits, `.`, `_` or `-`
   * @returns {Group}
   */
  group(name) {
    if (!GROUP.test(name)) throw new PalabreError('bad_request', `not a group: ${name}`);
    let group = this.#groups.get(name);
    if (!group) {
      group = new Group(name, this);
      this.#groups.set(name, group);
    }
    return group;
  }

  /** Connects, and comes back by itself from then on. */
  connect() {
    if (this.status !== 'offline') return;
    for (const type of DOUBTS) globalThis.addEventListener?.(type, this.#doubt);
    this.#link.open();
  }

  /** Ends the wait before the next try; a connection that stands is asked whether it is alive. */
  hurry() {
    this.#link.check();
  }

  /** Leaves for good; what waits fails with `closed`, and is tried again by `retry` after another `connect`. */
  close() {
    this.#link.close();
  }

  /**
   * Takes another name, which the hub hears in a connection of its own.
   * @param {string} name at most `limits.name_chars` characters
   */
  rename(name) {
    this.#link.name = name;
    if (this.status !== 'offline') this.#link.open();
  }

  // A page that was looked at again may have slept, and a network that changed may have left a socket behind.
  #doubt = () => {
    if (globalThis.document?.visibilityState !== 'hidden') this.#link.check();
  };

  // What the groups ask of their client.

  /** @param {Group} group @internal */
  want(group) {
    this.#wanted.add(group);
    // Groups that are joined one after the other are named in one frame.
    if (this.#joining.size === 0) queueMicrotask(() => this.#join(this.#joining));
    this.#joining.add(group);
  }

  /** @param {Iterable<Group>} groups */
  #join(groups) {
    const all = [...groups];
    this.#joining.clear();
    for (let from = 0; from < all.length; from += JOINS_MAX) {
      const some = all.slice(from, from + JOINS_MAX);
      const ref = `j${++this.#refs}`;
      const named = some.map(({ name, position }) => ({ group: name, since: position ?? undefined }));
      if (!this.say({ type: 'join', ref, groups: named })) return; // `opened` asks for all.
      for (const group of some) group.asked = ref;
    }
  }

  #joinRefused() {
    clearTimeout(this.#again);
    this.#join([...this.#wanted].filter(({ refusal }) => refusal));
  }

  /** @param {Group} group @internal */
  unwant(group) {
    this.#joining.delete(group);
    // Nothing waits for `left`: what still comes for the group finds nobody who wants it.
    if (this.#wanted.delete(group)) this.say({ type: 'leave', ref: `l${++this.#refs}`, groups: [group.name] });
  }

  // What the link tells.

  /** @internal */
  opened() {
    this.#join(this.#wanted);
  }

  /** @param {any} frame @internal */
  take(frame) {
    /** @type {any} nobody, for a group that is not wanted */
    const group = this.#groups.get(frame.group);
    this.emit('frame', { frame });
    if (this.#wanted.has(group)) group.emit('frame', { frame });
    if (frame.type === 'welcome') return this.#welcome(frame);
    // What comes before the welcome is about the hello alone; and a listener may have ended this connection.
    if (this.status !== 'connected') return;
    if (frame.type === 'layer') return this.#layer(frame);
    if (frame.type === 'error') return this.#error(frame);
    if (this.#wanted.has(group)) group.take(frame);
    const asked = this.requests.answered(frame);
    if (asked) group?.acked(asked.frame.client_id, frame);
    if (frame.type === 'joined') this.requests.pump();
  }

  /** @param {any} frame */
  #welcome({ user: me, layer, limits, features }) {
    const who = user(me);
    if (!who) return;
    this.user = who;
    this.limits = limits ?? {};
    this.features = list(features);
    if (limits?.open_requests >= 1) this.requests.open_max = limits.open_requests;
    this.requests.frame_max = limits?.frame_bytes || Infinity;
    // A message's id is made of its user too: what one identity sent would be a second message under another.
    for (const request of this.requests.written) {
      if ((request.user ?? who.id) !== who.id && request.state !== 'failed') this.requests.fail(request, new PalabreError('new_identity'));
    }
    for (const group of this.#groups.values()) group.welcomed(who);
    this.emit('user', { user: who });
    if (layer) this.#layer(layer);
  }

  /** @param {any} layer */
  #layer(layer) {
    this.layer = layer;
    this.emit('layer', layer);
    if (layer.state !== 'healthy') return;
    this.#joinRefused();
    this.requests.wake();
  }

  /** @param {any} error */
  #error(error) {
    const refusal = new PalabreError(error.code, error.message);
    const forNow = isForNow(error.code);
    for (const group of this.#wanted) {
      // Without a group it is about all that the join named.
      if (error.ref !== group.asked || (error.group ?? group.name) !== group.name) continue;
      if (forNow) {
        clearTimeout(this.#again);
        this.#again = setTimeout(() => this.#joinRefused(), again_ms(error));
      } else {
        this.#wanted.delete(group);
      }
      group.refused(refusal, !forNow);
    }
    this.requests.refused(error);
  }

  /** @param {StatusEvent} event @internal */
  moved(event) {
    if (event.status !== 'connected') {
      clearTimeout(this.#again);
      for (const group of this.#wanted) group.gone();
      this.requests.gone();
    }
    if (event.status === 'offline') {
      for (const type of DOUBTS) globalThis.removeEventListener?.(type, this.#doubt);
      const closed = new PalabreError('closed');
      for (const group of this.#wanted) group.closed(closed);
      for (const request of this.requests) if (request.state !== 'failed') this.requests.fail(request, closed);
    }
    this.emit('status', event);
  }

  // What the requests need.

  /** @param {object} frame @returns {boolean} @internal */
  say(frame) {
    return this.#link.send(frame);
  }

  /** @param {string} group @returns {boolean} @internal */
  ready(group) {
    return this.#groups.get(group)?.joined === true;
  }

  /** @param {Request} request @internal */
  prepare(request) {
    request.user = this.user?.id;
    // How far back the hub has to look for a repeat: our place at the first try, the same in all others.
    const since = this.#groups.get(request.frame.group)?.position;
    if (since && request.frame.client_id) request.frame.since = since;
  }

  /** @param {Request} request @internal */
  changed(request) {
    if (!request.frame.client_id) return;
    this.#groups.get(request.frame.group)?.requested(request);
    if (this.#queueStale) return;
    this.#queueStale = true;
    queueMicrotask(() => {
      this.#queueStale = false;
      const left = this.requests.written.map(({ frame, state, at, user, code }) => ({ frame, state, at, user, code }));
      this.#queueKeep.write(QUEUE_KEY, left.length > 0 ? JSON.stringify(left) : null);
      this.emit('queue', { queue: this.queue });
    });
  }

  // Messages that an earlier visit of this page left.
  #restore() {
    // Somebody else may have written there.
    const left = attempt(() => JSON.parse(this.#queueKeep.read(QUEUE_KEY) ?? '[]'));
    for (const one of list(left)) {
      const { frame, state, at, user, code } = one ?? {};
      if (typeof frame?.client_id !== 'string' || !GROUP.test(frame.group)) continue;
      this.requests.restore({ frame, state: state === 'failed' ? 'failed' : 'queued', at: Number(at) || 0, user, code });
    }
  }
}

/**
 * A client of a hub; nothing happens before its `connect`. Throws a `TypeError` for an address that is none, and where there is no
 * WebSocket.
 * @param {Options} options
 * @returns {Client}
 */
export function createClient(options) {
  return new Client(options);
}

/**
 * @param {string | URL} url
 * @returns {string} that of the WebSocket
 */
function address(url) {
  const at = new URL(url);
  at.protocol = at.protocol.replace('http', 'ws');
  if (!/^wss?:$/.test(at.protocol)) throw new TypeError(`not a hub: ${url}`);
  if (at.pathname === '/') at.pathname = '/ws';
  at.hash = '';
  return at.href;
}
