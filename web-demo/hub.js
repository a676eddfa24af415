// The hub, as the page talks to it: join and leave groups, send, and be told what changed.
//
// Frames of the hub become state in a Room for each group, then events: `status` and `layer` (the two badges),
// `room` (its list changed), `message` (somebody's, live or caught up). It runs in node as well as in a browser:
// the WebSocket and the storage are handed in. After a reconnect every group is joined again from its last
// position, and every own message without a place in the history goes out again under its own client id.

import { Keep } from './hub/keep.js';
import { Link } from './hub/link.js';
import { Room } from './hub/room.js';

const JOINS_MAX = 100; // groups that one join may name
const UNSETTLED_MAX = 500; // own messages that wait; past that the network is gone for longer than a chat lasts
const HELD_MAX = 1_000; // live frames kept while what is missing before them is fetched; a later one repairs the rest
const AGAIN_MS = 5_000; // about so long until a join that was refused for the moment is tried again
const FOR_NOW = ['unavailable', 'rate_limited', 'overloaded'];

/** Why a message did not get through: `code` is the hub's own, or `offline`, `new_identity`, `left`, `too_many`. */
export class Refused extends Error {
  /** @param {{code: string, message?: string}} error */
  constructor({ code, message }) {
    super(message ?? code);
    this.code = code;
  }
}

/** One page's hub. */
export class Hub extends EventTarget {
  /** @type {Map<string, Room>} */
  rooms = new Map();
  user = null;
  layer = null;
  limits = {};
  keep;
  #link;
  #requests = new Map(); // ref → what was asked on this connection
  #sent = new Set(); // client ids that went out on this connection
  #promises = new Map(); // client id → its send's resolve and reject
  #refs = 0;
  #again;

  /** @param {{url: string, WebSocket?: typeof WebSocket, storage?: () => Storage | null | undefined}} options */
  constructor({ url, WebSocket: Socket = globalThis.WebSocket, storage = () => globalThis.localStorage }) {
    super();
    this.keep = new Keep(storage);
    this.#link = new Link(
      { url, Socket, keep: this.keep },
      {
        opened: () => this.#opened(),
        frame: (frame) => this.take(frame),
        status: (status, detail) => this.#status(status, detail),
      },
    );
  }

  get status() {
    return this.#link.status;
  }

  get name() {
    return this.#link.name;
  }

  /** @param {string} name */
  rename(name) {
    this.#link.name = name;
  }

  connect() {
    this.#link.open();
  }

  /** Ends the wait before the next try. */
  hurry() {
    this.#link.hurry();
  }

  close() {
    this.#link.close();
  }

  /**
   * @param {string} name
   * @returns {Room}
   */
  join(name) {
    let room = this.rooms.get(name);
    if (!room) {
      room = new Room(name);
      this.rooms.set(name, room);
      this.#ask([room]);
    }
    return room;
  }

  /** @param {string} name */
  leave(name) {
    const room = this.rooms.get(name);
    if (!room) return;
    for (const entry of room.unsettled.values()) this.#fail(room, entry, { code: 'left' });
    this.rooms.delete(name);
    // Nothing waits for `left`: what still comes for the group finds no room.
    this.#link.send({ type: 'leave', ref: `leave-${++this.#refs}`, groups: [name] });
  }

  /**
   * Shows a message at once and sends it as soon as the group is joined, again after each reconnect.
   * @param {string} group
   * @param {string} text
   * @returns {Promise<{id: string, position: object | null, scope: string}>} the ack; rejects with {@link Refused}
   */
  send(group, text) {
    const room = this.join(group);
    if (room.unsettled.size >= UNSETTLED_MAX) return Promise.reject(new Refused({ code: 'too_many' }));
    return this.#try(room, room.write(drawId(), text, this.user, Date.now()));
  }

  /**
   * Tries a failed message once more, as the same message: the hub knows it if it did arrive.
   * @param {string} group
   * @param {string} clientId
   * @returns {Promise<object>} as {@link send}
   */
  retry(group, clientId) {
    const room = this.rooms.get(group);
    const entry = room?.unsettled.get(clientId);
    if (entry?.state !== 'failed') return Promise.reject(new Refused({ code: 'not_found' }));
    if (entry.code === 'new_identity') entry.since = undefined; // Somebody else's first try is not ours.
    Object.assign(entry, { state: 'pending', code: undefined });
    this.#sent.delete(clientId);
    if (this.status === 'offline') this.connect();
    return this.#try(room, entry);
  }

  /**
   * Takes one frame of the hub. Types and fields that it does not know are passed over.
   * @param {object} frame
   */
  take(frame) {
    const room = this.rooms.get(frame.group);
    switch (frame.type) {
      case 'welcome':
        return this.#welcome(frame);
      case 'layer':
        return this.#layer(frame);
      case 'ack':
        return this.#ack(frame);
      case 'error':
        return this.#error(frame);
      case 'joined':
      case 'resumed':
        return room && this.#joined(room, frame);
      case 'resync':
        return room && this.#restart(room, frame);
      default:
        return room && this.#live(room, frame);
    }
  }

  #welcome({ user, layer, limits }) {
    this.user = user;
    this.limits = limits ?? {};
    if (layer) this.#layer(layer);
    // A message's id is made of its user too: what one identity sent would be a second message under another.
    for (const [room, entry] of this.#unsettled()) {
      if (entry.since === undefined) entry.user = user;
      else if (entry.user.id !== user.id) this.#fail(room, entry, { code: 'new_identity' });
    }
  }

  #layer(layer) {
    this.layer = layer;
    this.#tell('layer', layer);
    if (layer.state === 'healthy') this.#askRefused();
  }

  #status(status, detail) {
    if (status !== 'connected') {
      clearTimeout(this.#again);
      this.#requests.clear();
      this.#sent.clear();
      for (const room of this.rooms.values()) Object.assign(room, { joined: false, catching: false, held: [] });
    }
    if (status === 'offline') {
      for (const [room, entry] of this.#unsettled()) this.#fail(room, entry, { code: 'offline' });
    }
    this.#tell('status', { status, ...detail });
  }

  #opened() {
    this.#ask([...this.rooms.values()]);
  }

  #ask(rooms) {
    for (let from = 0; from < rooms.length; from += JOINS_MAX) {
      const some = rooms.slice(from, from + JOINS_MAX);
      const ref = this.#ref('join', { names: new Set(some.map(({ name }) => name)) });
      const groups = some.map(({ name, position }) => ({ group: name, ...(position && { since: position }) }));
      if (!this.#link.send({ type: 'join', ref, groups })) this.#requests.delete(ref);
    }
  }

  #askRefused() {
    clearTimeout(this.#again);
    this.#ask([...this.rooms.values()].filter(({ refusal }) => FOR_NOW.includes(refusal)));
  }

  #joined(room, frame) {
    const request = this.#requests.get(frame.ref);
    if (request?.names?.delete(room.name) && request.names.size === 0) this.#requests.delete(frame.ref);
    Object.assign(room, { joined: true, refusal: null });
    if (frame.recovered === 'pending') {
      room.catching = true; // `resumed` brings the rest; until then we talk to this node's members.
      this.#tell('room', { group: room.name });
    } else if (frame.snapshot) {
      this.#restart(room, frame);
    } else {
      for (const message of frame.messages ?? []) this.#show(room, message);
      this.#caughtUp(room, frame, frame);
    }
    for (const entry of room.unsettled.values()) this.#transmit(room, entry);
  }

  #restart(room, frame) {
    const { messages = [] } = frame.snapshot ?? {};
    room.reset(messages, this.user?.id);
    const first = messages[0]?.position ?? frame.position;
    if (frame.reason) room.note({ reason: frame.reason, lost: frame.lost }, first && { ...first, offset: -1 });
    // A snapshot is the latest: its `more` speaks of older ones.
    this.#caughtUp(room, frame, { messages, more: false });
  }

  #caughtUp(room, { position }, { messages = [], more }) {
    const { epoch, offset } = room.position ?? {};
    const behind = more && messages.length > 0 && position && (epoch !== position.epoch || offset < position.offset);
    room.catching = false;
    if (behind) {
      this.#repair(room);
    } else {
      room.move(position);
      const held = room.held.splice(0);
      for (const frame of held) this.#live(room, frame);
    }
    this.#tell('room', { group: room.name });
  }

  // A second join changes nothing about membership and answers with what was missed.
  #repair(room) {
    room.catching = true;
    this.#ask([room]);
  }

  #live(room, frame) {
    const placed = frame.position ?? frame.items;
    if (room.catching && placed) {
      if (room.held.length < HELD_MAX) room.held.push(frame);
      return;
    }
    // An announced gap is the one jump that is no fault.
    const hole = frame.type !== 'gap' && room.fits(frame.position) === 'hole';
    if (hole || (frame.type === 'settled' && room.settled(frame.items))) {
      this.#repair(room);
      if (hole) room.held.push(frame);
    } else if (frame.type === 'chat.message') {
      this.#show(room, frame);
    } else {
      if (frame.type === 'gap') room.note({ reason: frame.reason, lost: frame.lost }, frame.position);
      room.move(frame.position);
    }
    this.#tell('room', { group: room.name });
  }

  #show(room, message) {
    const entry = room.take(message, this.user?.id);
    if (entry) this.#tell('message', { group: room.name, entry });
  }

  #try(room, entry) {
    this.#tell('room', { group: room.name });
    return new Promise((resolve, reject) => {
      this.#promises.set(entry.clientId, { resolve, reject });
      if (this.status === 'offline') this.#fail(room, entry, { code: 'offline' });
      else this.#transmit(room, entry);
    });
  }

  #transmit(room, entry) {
    const { clientId, text, state } = entry;
    if (!room.joined || state === 'failed' || this.#sent.has(clientId)) return;
    if (entry.since === undefined) Object.assign(entry, { since: room.position, user: this.user }); // The first try.
    const frame = { type: 'chat.send', group: room.name, client_id: clientId, text };
    if (entry.since) frame.since = entry.since;
    this.#sent.add(clientId);
    this.#link.send({ ...frame, ref: this.#ref('send', { group: room.name, clientId }) });
  }

  #ack({ ref, id, position, scope }) {
    const request = this.#requests.get(ref);
    this.#requests.delete(ref);
    const room = this.rooms.get(request?.group);
    if (!room) return;
    room.acked(request.clientId, id, position);
    this.#promises.get(request.clientId)?.resolve({ id, position, scope });
    this.#promises.delete(request.clientId);
    this.#tell('room', { group: room.name });
  }

  #error(error) {
    const request = this.#requests.get(error.ref);
    if (request?.clientId) {
      this.#requests.delete(error.ref);
      const room = this.rooms.get(request.group);
      const entry = room?.unsettled.get(request.clientId);
      if (entry) this.#fail(room, entry, error);
    }
    for (const name of request?.names ? (error.group ? [error.group] : request.names) : []) {
      const room = this.rooms.get(name);
      if (room) Object.assign(room, { refusal: error.code });
      this.#tell('room', { group: name });
    }
    if (request?.names && FOR_NOW.includes(error.code)) {
      clearTimeout(this.#again);
      const wait_ms = error.retry_after_s ? error.retry_after_s * 1_000 : AGAIN_MS * (0.5 + Math.random());
      this.#again = setTimeout(() => this.#askRefused(), wait_ms);
    }
  }

  #fail(room, entry, error) {
    Object.assign(entry, { state: 'failed', code: error.code });
    this.#promises.get(entry.clientId)?.reject(new Refused(error));
    this.#promises.delete(entry.clientId);
    this.#tell('room', { group: room.name });
  }

  *#unsettled() {
    for (const room of this.rooms.values()) for (const entry of room.unsettled.values()) yield [room, entry];
  }

  #ref(kind, request) {
    const ref = `${kind}-${++this.#refs}`;
    this.#requests.set(ref, request);
    return ref;
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// `crypto.randomUUID` exists on secure origins only, and a hub on the local network is not one.
function drawId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
