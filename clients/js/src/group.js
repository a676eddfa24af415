// One group, as an application has it: what is on the screen, who is there, and all that one may say.

/** @import {Client} from './client.js' */
/** @import {Position, Said, User} from './frames.js' */
/** @import {Entry, Message} from './timeline.js' */
/** @import {Request} from './requests.js' */
import { Emitter } from './emitter.js';
import { PalabreError } from './error.js';
import { count, position, user } from './frames.js';
import { Intake, said } from './intake.js';
import { Members } from './members.js';
import { Typists } from './typists.js';

const PAGE = 50;
const PAGE_MAX = 100;
// The hub passes on no more than this.
const TYPING_EVERY_MS = 3_000;
// Reading along says so at most this often.
const READ_EVERY_MS = 2_000;
// After a reconnect many ask at once; each waits a part of this.
const LATER_MS = 2_000;

/**
 * What a group tells of, to those who listen by `on`.
 * @typedef {object} GroupEvents
 * @property {{group: Group}} change something on the screen changed; draw `messages` again, once a frame at most
 * @property {{message: Message}} message somebody's message, or an own one from another tab: live, or missed meanwhile
 * @property {{message: Message}} update a message was edited, deleted or has its place now, or reactions to it changed
 * @property {{typing: User[]}} typing others have begun or stopped to write
 * @property {{occupancy: number | null, members: User[] | null}} presence somebody came or went; `members` is null unless `watchMembers` was called
 * @property {{reason?: string, lost?: number}} hole messages are missing, or may be; a note in `messages` says where
 * @property {{recovered: boolean | 'pending' | undefined}} joined this connection is a member, or has been brought further; after a
 *   reconnect `recovered` says whether all that was missed came (`pending`: it will)
 * @property {PalabreError} refused the group cannot be joined, or not now
 * @property {{frame: any}} frame any frame of the group, as it came: for words of your own consumers
 */

/**
 * What one says.
 * @typedef {object} Content
 * @property {string} text what all see; those too who do not know what `data` means
 * @property {any} [data] anything that JSON can hold; it reaches the others beside the text
 * @property {string} [replyTo] the `id` of the message that this one answers
 */

/**
 * What became of a message: its `id`, and how far it got. `node`: this node's members have it, and the others will
 * when the layer is back. On a hub without Redis it is always `node`.
 * @typedef {{id: string, position: Position | null, scope?: 'cluster' | 'node'}} Ack
 */

/**
 * A group of the hub: what its screen shows, who is there, and all that one may say in it. `client.group(name)` gives it.
 * @extends {Emitter<GroupEvents>}
 */
export class Group extends Emitter {
  /** The group's name. @readonly */
  name;
  /** Whether this connection is a member. */
  joined = false;
  /** @type {PalabreError | null} why it cannot be joined, or not now */
  refusal = null;
  /** How many messages of others came after what this user has read, as far as is known. */
  unread = 0;
  /** Whether there are more unread ones than `unread`. */
  unreadMore = false;

  /** The `ref` of the newest join that names it. @internal */
  asked = '';

  #client;
  #intake = new Intake(this);
  #members = new Members();
  #membersWanted = false;
  #typists = new Typists(() => this.emit('typing', { typing: this.typing }));
  /** @type {Promise<boolean> | null} */
  #paging = null;
  /** @type {Promise<void> | null} */
  #joining = null;
  /** @type {(refusal?: PalabreError) => void} settles `#joining` */
  #entered = () => {};
  #typedAt = -Infinity;
  /** @type {Position | null} what this connection has told, or is to tell */
  #readTo = null;
  /** @type {Position | null} what is to be told in a moment */
  #reading = null;

  /**
   * @param {string} name
   * @param {Client} client
   * @internal
   */
  constructor(name, client) {
    super();
    this.name = name;
    this.#client = client;
    for (const request of this.#requests()) this.requested(request);
  }

  /** What the screen shows, in its order: messages, and notes where some are missing. @returns {Entry[]} */
  get messages() {
    return this.#intake.timeline.list();
  }

  /** Whether the history has more before `messages`: {@link loadOlder} brings it. */
  get hasOlder() {
    return this.#intake.timeline.older !== null;
  }

  /** Our place in the group's order; a resume starts from it. @returns {Position | null} */
  get position() {
    return this.#intake.timeline.position;
  }

  /** How many members the group has; null while that is not known. @returns {number | null} */
  get occupancy() {
    return this.#members.occupancy;
  }

  /** Who the members are; null until {@link watchMembers} was answered, and for more than the hub names (500). @returns {User[] | null} */
  get members() {
    return this.#members.list();
  }

  /** Who writes just now, but for this user. @returns {User[]} */
  get typing() {
    return this.#typists.list();
  }

  /**
   * A message of `messages` by its id, or an older one that is held.
   * @param {string} id
   * @returns {Message | undefined}
   */
  find(id) {
    return this.#intake.timeline.find(id);
  }

  /**
   * Becomes a member, and again after each reconnect. Joining twice is joining once.
   * @returns {Promise<void>} once it has become one, which it stays through lost connections (`joined` says how it is now);
   *   rejects when the hub refuses for good, or on `leave`
   */
  join() {
    if (!this.#joining) {
      this.#joining = new Promise((resolve, reject) => {
        this.#entered = (refusal) => (refusal ? reject(refusal) : resolve());
      });
      this.#joining.catch(() => {}); // Why not stands in `refusal` as well.
      if (this.joined) this.#entered();
      else this.repair();
    }
    return this.#joining;
  }

  /** Leaves, and forgets what it holds; what was asked of the group and has no answer fails with `left`. */
  leave() {
    const left = new PalabreError('left');
    for (const request of this.#requests()) this.#client.requests.drop(request, left, true);
    this.closed(left);
    this.#intake = new Intake(this);
    this.#members = new Members();
    this.#membersWanted = false;
    this.#reading = null;
    this.refusal = null;
    this.#unread({ chat: {} });
    this.#client.unwant(this);
    this.#changed();
  }

  /**
   * Shows a message at once and sends it as soon as the group is joined, again after each reconnect, until it is in
   * the history.
   * @param {string | Content} content
   * @param {{signal?: AbortSignal}} [options] aborting takes back what has not gone out; what once did goes its way,
   *   although nobody waits for it
   * @returns {Promise<Ack>}
   */
  async send(content, options) {
    const answer = this.ask('chat.send', { client_id: drawId(), ...body(content) }, options);
    if (!options?.signal?.aborted) this.join();
    return ack(await answer);
  }

  /**
   * Replaces an own message; what `content` leaves out is gone.
   * @param {string} id the message's
   * @param {string | Content} content
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Ack>}
   */
  async edit(id, content, options) {
    return ack(await this.ask('chat.edit', { id, client_id: drawId(), ...body(content) }, options));
  }

  /**
   * Deletes an own message, for good.
   * @param {string} id
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Ack>}
   */
  async delete(id, options) {
    return ack(await this.ask('chat.delete', { id, client_id: drawId() }, options));
  }

  /**
   * Gives a reaction to a message, or takes it back. The screen shows it at once.
   * @param {string} id
   * @param {string} kind an emoji, or any text of 1 to 32 bytes
   * @param {boolean} [on] false: takes it back
   * @param {{signal?: AbortSignal}} [options]
   */
  async react(id, kind, on = true, options) {
    const answer = this.ask('chat.react', { id, kind, on }, options);
    const message = this.find(id);
    if (message?.reacted.includes(kind) !== !on) return void (await answer);
    const by = on ? 1 : -1;
    const { timeline } = this.#intake;
    const show = (/** @type {number} */ by, /** @type {1 | -1} */ asked) => {
      timeline.give(message, kind, by, asked);
      this.emit('update', { message });
      this.#changed();
    };
    show(by, 1);
    try {
      await answer;
      show(0, -1);
    } catch (error) {
      show(-by, -1);
      throw error;
    }
  }

  /** Says that all that is here was read; at most once in 2 s, and always the last. */
  read() {
    const { position } = this;
    if (this.unread > 0) {
      this.#unread({ chat: {} });
      this.#changed();
    }
    if (!position || (position.epoch === this.#readTo?.epoch && position.offset <= this.#readTo.offset)) return;
    const waits = this.#reading;
    this.#reading = this.#readTo = position;
    if (waits) return;
    this.#after(READ_EVERY_MS, () => {
      const position = this.#reading;
      this.#reading = null;
      // A position that the history has dropped meanwhile, a group of too many readers: there is nobody to tell.
      return this.ask('chat.read', { position });
    });
  }

  /** Tells the others that this user is writing. Call it at each key: it says so once in 3 s. */
  type() {
    const now = Date.now();
    if (!this.joined || now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    this.#client.say(this.#frame('chat.typing'));
  }

  /**
   * Brings the page of the history before `messages` into them. Calls while one is under way share it.
   * @param {{limit?: number}} [options] `limit`: how many messages, 50 unless it is given, at most 100
   * @returns {Promise<boolean>} whether there is still more
   */
  loadOlder({ limit = PAGE } = {}) {
    this.#paging ??= this.#page(limit).finally(() => (this.#paging = null));
    return this.#paging;
  }

  /**
   * Looks into the history, and leaves `messages` as they are.
   * @param {{before?: Position, after?: Position, limit?: number, signal?: AbortSignal}} [options] the latest, when
   *   neither `before` nor `after` is given
   * @returns {Promise<{messages: Said[], next: Position | null}>} oldest first; `next` goes on in the same direction
   */
  async history({ before, after, limit = PAGE, signal } = {}) {
    const answer = await this.ask('history', { before, after, limit: Math.min(limit, PAGE_MAX) }, { signal });
    return { messages: said(answer), next: next(answer) };
  }

  /**
   * Asks who is there, and keeps `members` up to date from here on, after a reconnect as well.
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<User[] | null>} the members; null when they are too many to be named
   */
  async watchMembers(options) {
    this.#membersWanted = true;
    this.#members.answered(await this.ask('presence', {}, options));
    this.#present();
    return this.members;
  }

  /**
   * Asks a consumer of your own: any request of any type about this group.
   * @param {string} type such as `notes.add`, with the consumer's name before the dot
   * @param {object} [fields] what stands in the request beside `type`, `group` and `ref`
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<any>} its answer; it is asked again after a reconnect, so the consumer must bear that
   */
  ask(type, fields, options) {
    return this.#client.requests.ask(this.#frame(type, fields), options);
  }

  /**
   * Tries an own message that failed once more, as the same message: the hub knows it if it did arrive.
   * @param {string} clientId the message's `clientId`, or `frame.client_id` of what waits
   * @returns {Promise<Ack>}
   */
  async retry(clientId) {
    const request = this.#request(clientId);
    if (request?.state !== 'failed') throw new PalabreError('not_found');
    this.#client.connect();
    const answer = this.#client.requests.revive(request);
    this.join();
    return ack(await answer);
  }

  /**
   * Gives up an own message that failed, or that has not gone out. One that went out may be in the history already, and goes its way.
   * @param {string} clientId as for {@link retry}
   */
  discard(clientId) {
    const request = this.#request(clientId);
    if (request) this.#client.requests.drop(request, new PalabreError('discarded'));
  }

  // What the client tells its group.

  /** @param {any} frame @internal */
  take(frame) {
    const { ref, snapshot, type } = frame;
    if (type === 'joined' || type === 'resumed') return this.#joined(frame);
    if (ref !== undefined) return; // An answer, whose asker has it.
    if (type === 'presence') return this.#told(frame);
    const who = user(frame.user);
    if (type === 'chat.typing') return who && who.id !== this.me && this.#typists.heard(who);
    if (type === 'resync') {
      this.#intake.restart(frame);
      this.#unread(snapshot);
      this.#askMarks();
    } else {
      this.#intake.live(frame);
    }
    this.#changed();
  }

  /** @param {PalabreError} refusal @param {boolean} final whether it is not tried again @internal */
  refused(refusal, final) {
    this.refusal = refusal;
    if (final) {
      for (const request of this.#requests()) this.#client.requests.fail(request, refusal);
      this.closed(refusal);
    }
    this.#changed();
    this.emit('refused', refusal);
  }

  /** The connection is gone. @internal */
  gone() {
    this.joined = false;
    this.#intake.gone();
    this.#typists.gone();
    this.#typedAt = -Infinity;
    this.#readTo = null;
    this.#changed();
  }

  /** Nothing comes any more. @param {PalabreError} why @internal */
  closed(why) {
    this.#entered(why);
    this.#joining = null;
    this.gone();
  }

  /** Who we are. @param {User} me @internal */
  welcomed(me) {
    this.#intake.timeline.claim(me);
    this.#changed();
  }

  /**
   * A request of this group has another state.
   * @param {Request} request
   * @internal
   */
  requested({ frame, state, code, at }) {
    const { type, client_id: clientId, text, data, reply_to: replyTo } = frame;
    if (type !== 'chat.send') return;
    const { timeline } = this.#intake;
    if (code === 'dropped') {
      timeline.unwrite(clientId);
    } else if (state !== 'settled') {
      const entry = timeline.own(clientId) ?? timeline.write({ clientId, text, data, replyTo, user: this.#client.user, ts: at });
      Object.assign(entry, { state, code });
    }
    this.#changed();
  }

  /** The hub has an own message. @param {string} clientId @param {any} answer @internal */
  acked(clientId, answer) {
    this.#intake.timeline.acked(clientId, answer.id, position(answer.position));
    this.#changed();
  }

  // What `intake` tells its group.

  /** Our own user id. @internal */
  get me() {
    return this.#client.user?.id;
  }

  /** Joins from our position, also when we are in already. @internal */
  repair() {
    this.#client.want(this);
  }

  /** @param {string} clientId @param {{id: string, position: Position | null}} echo @internal */
  met(clientId, echo) {
    // It may be a copy that the screen has no use for, because a newer version stands there.
    this.acked(clientId, echo);
    this.#client.requests.placed(clientId, echo);
  }

  /** @param {Message} message @param {boolean} fresh whether it is new to the screen @internal */
  shown(message, fresh) {
    if (message.user) this.#typists.done(message.user.id);
    if (fresh && !message.mine && !message.deleted) this.unread++;
    this.emit(fresh ? 'message' : 'update', { message });
  }

  /** @param {any} frame */
  #joined(frame) {
    this.joined = true;
    this.refusal = null;
    this.#entered();
    const resumed = this.position !== null && frame.recovered === true;
    this.#intake.entered(frame);
    this.#members.count(frame.snapshot?.occupancy);
    this.#unread(frame.snapshot);
    // Whoever came back is told of nothing that is not kept: who is there, and reactions to what stays on the screen.
    // What comes in several rounds ends with one.
    if (!this.#intake.catching) {
      if (this.#membersWanted) this.#later(() => this.watchMembers());
      if (resumed) this.#askMarks();
    }
    this.#changed();
    this.emit('joined', { recovered: frame.recovered });
  }

  #askMarks() {
    if (!this.heard('change')) return;
    this.#later(async () => this.#intake.slots(await this.ask('history', { limit: PAGE_MAX })));
  }

  /** @param {any} snapshot */
  #unread(snapshot) {
    if (!snapshot?.chat) return;
    const { unread, unread_more } = snapshot.chat;
    this.unread = count(unread) ? unread : 0;
    this.unreadMore = unread_more === true;
  }

  /** @param {any} frame */
  #told(frame) {
    if (!this.#membersWanted) this.#members.count(frame.occupancy);
    else if (this.#members.told(frame)) this.#later(() => this.watchMembers());
    this.#present();
  }

  #present() {
    this.emit('presence', { occupancy: this.occupancy, members: this.members });
    this.#changed();
  }

  /** @param {number} limit */
  async #page(limit) {
    const { timeline } = this.#intake;
    const before = timeline.older;
    if (!before) return false;
    const answer = await this.ask('history', { before, limit: Math.min(limit, PAGE_MAX) }).catch((error) => {
      // The history has let go of all before: that is its beginning now.
      if (error?.code === 'not_found') return { messages: [] };
      throw error;
    });
    if (timeline.older !== before) return this.hasOlder; // A snapshot came meanwhile: this is no page of it.
    this.#intake.page(answer, next(answer));
    this.#changed();
    return this.hasOlder;
  }

  /** @param {string} type @param {object} [fields] */
  #frame(type, fields) {
    return { type, group: this.name, ...fields };
  }

  #requests() {
    return [...this.#client.requests].filter(({ frame }) => frame.group === this.name);
  }

  /** @param {string} clientId */
  #request(clientId) {
    return this.#requests().find(({ frame }) => frame.client_id === clientId);
  }

  #changed() {
    this.emit('change', { group: this });
  }

  /** @param {() => Promise<any>} ask */
  #later(ask) {
    this.#after(Math.random() * LATER_MS, ask);
  }

  /**
   * Asks something that nobody waits for, and that may come to nothing.
   * @param {number} wait_ms
   * @param {() => Promise<any>} ask
   */
  #after(wait_ms, ask) {
    const intake = this.#intake;
    // Who left since has nothing to ask, were it to come back meanwhile.
    setTimeout(() => intake === this.#intake && ask().catch(() => {}), wait_ms);
  }
}

/** @param {string | Content} content */
function body(content) {
  const { text, data, replyTo } = typeof content === 'string' ? { text: content } : content;
  return { text, data, reply_to: replyTo };
}

/**
 * @param {any} answer
 * @returns {Ack}
 */
function ack({ id, position: place, scope }) {
  return { id, position: position(place), scope };
}

/** @param {any} answer */
function next(answer) {
  return answer.more === true ? position(answer.next) : null;
}

// `crypto.randomUUID` exists on secure origins only, and a hub on the local network is not one.
function drawId() {
  return crypto.getRandomValues(new Uint32Array(4)).join('-');
}
