// What a screen shows of one group: messages in order, each once, in its newest version, and notes about holes.
//
// Pure: no socket, no document, no clock. group.js feeds it what came; it keeps our position in the group, drops
// what was seen (docs/protocol.md, "Positions, and what a client must do"), and says when there is a hole. It
// never asks the hub for anything.

/** @import {Marks, Position, Said, User} from './frames.js' */

// More than anybody scrolls back through, and as many as a client is to know again when copies of them come back
// without a position that it knows. Past it each that comes lets go of the oldest, which is asked for again when the
// reader gets there; and a reader who goes further back may.
const ENTRIES_MAX = 10_000;
// An epoch is a Redis that began anew: a page sees a handful of them.
const EPOCHS_MAX = 100;

/**
 * `queued`: waits for the group, or for its turn. `sending`: went out, unanswered. `sent`: this node's members have
 * it. `settled`: it has its place in the history. `failed`: the hub refused it, `code` says why.
 * @typedef {'queued' | 'sending' | 'sent' | 'settled' | 'failed'} MessageState
 */

/**
 * A message on the screen. The object is the same, and is changed, for as long as it is there.
 * @typedef {object} Message
 * @property {'message'} type tells it from a note
 * @property {number} key its own among the entries of this group, from the first moment on
 * @property {string} [id] the hub's; an own message has none before its first ack
 * @property {string} clientId the sender's
 * @property {User | null} user the sender; null before the first welcome
 * @property {boolean} mine whether this user sent it
 * @property {string} text empty when deleted
 * @property {any} data what the sender's application put beside the text
 * @property {string} [replyTo] the id of the message that this one answers
 * @property {number} ts when the hub took this version (an own one: when it was written), ms since 1970
 * @property {number} version 1, with each edit one more
 * @property {boolean} deleted whether the sender took it back
 * @property {MessageState} state how far it got; of others it is `settled`, or `sent` while it has no place
 * @property {string} [code] when `failed`: the hub's error code or the client's own
 * @property {Position | null} place where it stands; null, which is last, while it has no cluster order
 * @property {Record<string, number>} reactions how many gave each kind
 * @property {string[]} reacted the kinds that this user gave
 */

/**
 * A line between the messages: some are missing here, or may be.
 * @typedef {object} Note
 * @property {'note'} type tells it from a message
 * @property {number} key its own among the entries of this group
 * @property {Position | null} place where it stands
 * @property {string} [reason] why, as docs/protocol.md lists the reasons
 * @property {number} [lost] how many, if that is known
 */

/**
 * What stands on the screen; its `type` tells which.
 * @typedef {Message | Note} Entry
 */

/**
 * @typedef {Entry & {rank: number, rev?: number}} Placed with its epoch's rank in our order
 */

export class Timeline {
  /** @type {Position | null} the last position met: what a resume starts from */
  position = null;
  /** @type {Position | null} where the history goes on to the past of what is held; null: nowhere */
  older = null;

  /** @type {Placed[]} in the screen's order */
  #entries = [];
  /** @type {Map<string, Placed & Message>} */
  #byId = new Map();
  /** @type {Map<string, {rank: number, passed: number}>} in the order in which they were met */
  #epochs = new Map();
  #rankMin = 0;
  #rankMax = 0;
  #keys = 0;

  /**
   * What the screen shows, in its order. An entry older than where the history goes on, an edit of a message from
   * way back, waits until the screen gets there.
   * @returns {Entry[]}
   */
  list() {
    const { older } = this;
    if (!older) return this.#entries.slice();
    const { rank } = this.#epoch(older.epoch);
    return this.#entries.slice(this.#index({ type: 'note', rank, place: older, key: -1 }));
  }

  /**
   * @param {string} id
   * @returns {Message | undefined}
   */
  find(id) {
    return this.#byId.get(id);
  }

  /**
   * Where a live frame's position stands to ours.
   * @param {Position | null} position
   * @returns {'next' | 'passed' | 'hole'}
   */
  fits(position) {
    if (!position) return 'next';
    if (this.#passed(position)) return 'passed';
    const here = this.position;
    return here?.epoch === position.epoch && position.offset > here.offset + 1 ? 'hole' : 'next';
  }

  /** @param {Position | null} position */
  move(position) {
    if (!position || this.#passed(position)) return;
    this.#epoch(position.epoch).passed = position.offset;
    this.position = position;
  }

  /**
   * Takes a message that may be a copy of one that we have.
   * @param {Said} said
   * @param {string | undefined} me our own user id
   * @returns {{message: Message, fresh: boolean} | null} what changed on the screen: a new message, or one that was there
   */
  take(said, me) {
    if (said.position && this.#passed(said.position)) return null;
    this.move(said.position);
    if (this.#entries.length >= ENTRIES_MAX) {
      this.#remove(this.#entries[0]);
      this.older = this.#entries[0].place;
    }
    if (!said.was.some((older) => this.#passed(older))) return this.#put(said, me);
    const entry = this.#byId.get(said.id);
    if (!entry) return null;
    this.#settle(entry, said.position);
    return { message: entry, fresh: false };
  }

  /**
   * Drops what is held of the history and starts from a snapshot; own messages without a place stay.
   * @param {Said[]} messages the latest, oldest first
   * @param {boolean} more whether the history has older ones
   * @param {string | undefined} me
   * @param {{reason?: string, lost?: number}} [about] what may be missing before them
   */
  reset(messages, more, me, about) {
    this.#entries = this.#entries.filter((entry) => isOwn(entry) && !entry.place);
    this.#byId.clear();
    for (const entry of this.#entries) if (isOwn(entry) && entry.id) this.#byId.set(entry.id, entry);
    this.#epochs.clear();
    this.position = null;
    const first = messages.find(({ position }) => position)?.position ?? null;
    if (about) this.note(about, first);
    for (const said of messages) {
      this.#put(said, me);
      this.move(said.position);
    }
    this.older = more ? first : null;
  }

  /**
   * A page of the past, which joins on to what is held.
   * @param {Said[]} messages oldest first
   * @param {Position | null} older where the history goes on before them; null: they are its beginning
   * @param {string | undefined} me
   */
  page(messages, older, me) {
    // From the newest back: an epoch that is met in this direction is older than all that we know.
    for (const said of messages.toReversed()) {
      if (said.position) this.#epoch(said.position.epoch, true);
      if (said.first) this.#epoch(said.first.epoch, true);
      this.#put(said, me);
    }
    if (older) this.#epoch(older.epoch, true);
    this.older = older;
  }

  /**
   * An own message, on the screen before the hub knows of it.
   * @param {Pick<Message, 'clientId' | 'text' | 'data' | 'replyTo' | 'user' | 'ts'>} written
   * @returns {Message}
   */
  write(written) {
    return this.#add({ ...blank('queued'), ...written, mine: true }, null);
  }

  /**
   * An own message that has no place yet.
   * @param {string} clientId
   * @returns {(Placed & Message) | undefined}
   */
  own(clientId) {
    // What has no place stands last.
    for (let at = this.#entries.length - 1; at >= 0 && !this.#entries[at].place; at--) {
      const entry = this.#entries[at];
      if (isOwn(entry) && entry.clientId === clientId) return entry;
    }
    return undefined;
  }

  /**
   * Takes an own message that has no place off the screen.
   * @param {string} clientId
   */
  unwrite(clientId) {
    const entry = this.own(clientId);
    if (entry) this.#remove(entry);
  }

  /**
   * The hub has an own message: as `id`, at `position` or nowhere yet. Does not move our position: the ack may
   * have overtaken messages of others that stand before it.
   * @param {string} clientId
   * @param {string} id
   * @param {Position | null} position
   */
  acked(clientId, id, position) {
    const entry = this.own(clientId);
    if (!entry) return; // The echo came first and settled it.
    entry.state = 'sent';
    entry.id = id;
    this.#byId.set(id, entry);
    this.#settle(entry, position);
  }

  /**
   * What was shown without a place has one now.
   * @param {{id: string, position: Position}[]} items
   * @param {import('./intake.js').Sink} sink told of each
   * @returns {boolean} whether they showed a hole before one of them
   */
  settled(items, sink) {
    let hole = false;
    for (const { id, position } of items) {
      const entry = this.#byId.get(id);
      if (entry) {
        this.#settle(entry, position);
        if (entry.mine) sink.met(entry.clientId, { id, position });
        sink.shown(entry, false);
      }
      hole ||= this.fits(position) === 'hole';
      if (!hole) this.move(position);
    }
    return hole;
  }

  /**
   * A line between the messages, about the history itself.
   * @param {{reason?: string, lost?: number}} about
   * @param {Position | null} place
   */
  note(about, place) {
    this.#add({ type: 'note', ...about }, place);
  }

  /**
   * Reactions to a message, unless newer ones are known.
   * @param {string} id
   * @param {Marks} marks
   * @returns {Message | null} the message, when they changed
   */
  mark(id, { counts, rev, mine }) {
    const entry = this.#byId.get(id);
    if (!entry || rev < (entry.rev ?? 0)) return null;
    Object.assign(entry, { reactions: counts, rev });
    // What the others are told does not say who gave them; a kind that nobody gives is not ours either.
    entry.reacted = mine ?? entry.reacted.filter((kind) => counts[kind]);
    return entry;
  }

  /**
   * Who we are is known, and may have changed: what is ours may have, and what is on its way is ours.
   * @param {User} me
   */
  claim(me) {
    for (const entry of this.#entries) {
      if (entry.type === 'note') continue;
      // What has no id is on its way, and ours whoever we are.
      entry.user = entry.id ? entry.user : me;
      entry.mine = entry.user?.id === me.id;
    }
  }

  /**
   * @param {Said} said
   * @param {string | undefined} me
   */
  #put(said, me) {
    const own = said.user.id === me ? this.own(said.client_id) : undefined;
    const known = own ?? this.#byId.get(said.id);
    const place = said.first ?? said.position;
    if (!known) {
      const state = place ? 'settled' : 'sent';
      const message = this.#add({ ...blank(state), ...content(said), mine: said.user.id === me }, place);
      this.#byId.set(said.id, message);
      return { message, fresh: true };
    }
    if (!known.place || said.version > known.version) {
      // An edit has a client id of its own; the message keeps the one that it was sent under.
      const { clientId } = known;
      Object.assign(known, content(said), { clientId, state: known.place ? 'settled' : 'sent', code: undefined });
    }
    this.#byId.set(said.id, known);
    this.#settle(known, place);
    return { message: known, fresh: false };
  }

  /**
   * @param {Placed & Message} entry
   * @param {Position | null} place
   */
  #settle(entry, place) {
    if (entry.place || !place) return;
    this.#remove(entry);
    Object.assign(entry, { place, rank: this.#epoch(place.epoch).rank, state: 'settled', code: undefined });
    if (entry.id) this.#byId.set(entry.id, entry);
    this.#insert(entry);
  }

  /**
   * @param {any} entry
   * @param {Position | null} place
   */
  #add(entry, place) {
    const rank = place ? this.#epoch(place.epoch).rank : Infinity;
    this.#insert(Object.assign(entry, { key: ++this.#keys, place, rank }));
    return entry;
  }

  /** @param {Placed} entry */
  #insert(entry) {
    this.#entries.splice(this.#index(entry), 0, entry);
  }

  /** @param {any} entry */
  #remove(entry) {
    const index = this.#index(entry);
    if (this.#entries[index] === entry) this.#entries.splice(index, 1);
    if (entry.id) this.#byId.delete(entry.id);
  }

  /**
   * @param {Standing} sought
   * @returns {number} how many entries stand before it
   */
  #index(sought) {
    let [from, to] = [0, this.#entries.length];
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (order(this.#entries[middle], sought) < 0) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** @param {Position} position */
  #passed({ epoch, offset }) {
    return offset <= (this.#epochs.get(epoch)?.passed ?? -1);
  }

  /**
   * @param {string} name
   * @param {boolean} [older] where it stands when it is new to us: before all others, or after
   */
  #epoch(name, older = false) {
    let epoch = this.#epochs.get(name);
    if (!epoch) {
      epoch = { rank: older ? --this.#rankMin : ++this.#rankMax, passed: -1 };
      this.#epochs.set(name, epoch);
      if (this.#epochs.size > EPOCHS_MAX) this.#epochs.delete(this.#epochs.keys().next().value ?? '');
    }
    return epoch;
  }
}

/**
 * @param {Placed} entry
 * @returns {entry is Placed & Message}
 */
function isOwn(entry) {
  return entry.type === 'message' && entry.mine;
}

/** @typedef {{type: string, rank: number, place: Position | null, key: number}} Standing */

/** @param {Standing} entry */
const isNote = ({ type }) => Number(type === 'note');

/**
 * Two without a place have the same rank: they stand in order of arrival. A note stands before the message that it is
 * about.
 * @param {Standing} a
 * @param {Standing} b
 */
function order(a, b) {
  if (a.rank !== b.rank) return a.rank - b.rank;
  return (a.place?.offset ?? 0) - (b.place?.offset ?? 0) || isNote(b) - isNote(a) || a.key - b.key;
}

/**
 * @param {MessageState} state
 * @returns {Partial<Message>}
 */
function blank(state) {
  return { type: 'message', version: 1, deleted: false, reactions: {}, reacted: [], state };
}

/** @param {Said} said */
function content({ id, client_id, user, text, data, reply_to, ts, version, deleted }) {
  return { id, clientId: client_id, user, text, data, replyTo: reply_to, ts, version, deleted };
}
