// What a screen shows of one group: messages in order, each once, in its newest version, and notes about holes.
//
// Pure: no socket, no document, no clock. group.js feeds it what came; it keeps our position in the group, drops
// what was seen (docs/protocol.md, "Positions, and what a client must do"), and says when there is a hole. It
// never asks the hub for anything.

/** @import {Marks, Position, Said, User} from './frames.js' */
import { position as placed } from './frames.js';

// More than anybody scrolls back through, and as many as a client is to know again when copies of them come back
// without a position that it knows. Past it each that comes lets go of the oldest, which is asked for again when the
// reader gets there; and a reader who goes further back may.
const ENTRIES_MAX = 10_000;

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
 * @property {Position | null} place where it stands; null: before all that comes after it
 * @property {string} [reason] why, as docs/protocol.md lists the reasons
 * @property {number} [lost] how many, if that is known
 */

/**
 * What stands on the screen; its `type` tells which.
 * @typedef {Message | Note} Entry
 */

/**
 * @typedef {(Note | Message & Tally) & {rank: number}} Placed with its epoch's rank in our order
 *
 * What is known of the reactions to a message, beside what is shown of them.
 * @typedef {object} Tally
 * @property {Marks | null} told what the hub said last, while it is not shown
 * @property {number} rev its number
 * @property {Map<string, number>} counts by kind, with what we did since
 * @property {Map<string, number>} own 1 for each kind that we gave
 * @property {number} asked how many reactions of ours have no answer
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
    // Where a note would stand that is about what is missing there.
    const at = older && this.#index({ type: 'note', rank: this.#epoch(older.epoch).rank, place: older, key: -1 });
    return this.#entries.slice(at ?? 0);
  }

  /**
   * @param {string} id
   * @returns {Message | undefined}
   */
  find(id) {
    return this.#byId.get(id);
  }

  /**
   * @param {Position | null} position a live frame's
   * @returns {boolean} whether something before it is missing here
   */
  jumps(position) {
    const here = this.position;
    return position?.epoch === here?.epoch && (position?.offset ?? 0) > (here?.offset ?? 0) + 1;
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
    // Another version of what we have passed, and do not hold, is no news.
    const stale = said.first && (said.first.epoch !== said.position?.epoch || this.#passed(said.first));
    this.move(said.position);
    if (this.#entries.length >= ENTRIES_MAX) {
      this.#remove(this.#entries[0]);
      this.older = this.#entries[0].place;
    }
    if (!this.#byId.has(said.id) && said.was.some((older) => this.#passed(older))) return null;
    return this.#put(said, me, !stale);
  }

  /**
   * Drops what is held of the history and starts from a snapshot; own messages without a place stay.
   * @param {Said[]} messages the latest, oldest first
   * @param {boolean} more whether the history has older ones
   * @param {string | undefined} me
   * @param {{reason?: string, lost?: number}} [about] what may be missing before them
   */
  reset(messages, more, me, about) {
    const onTheirWay = this.#entries.filter((entry) => isOwn(entry) && !entry.place);
    this.#entries = [];
    this.#byId.clear();
    for (const entry of onTheirWay) this.#insert(entry);
    this.#epochs.clear();
    this.position = null;
    const first = messages.find(({ position }) => position)?.position ?? null;
    if (about) this.note(about, first);
    for (const said of messages) {
      this.move(said.position);
      this.#put(said, me);
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
    // From the newest back, for what is met of older epochs.
    for (const said of messages.toReversed()) this.#put(said, me);
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
   * @returns {any} a message
   */
  own(clientId) {
    return this.#entries.findLast((entry) => isOwn(entry) && !entry.place && entry.clientId === clientId);
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
    // It was amended from elsewhere before this answer: what became of it stands here, under the amendment's client id.
    if ((this.#byId.get(id) ?? entry) !== entry) return this.#remove(entry);
    entry.state = 'sent';
    entry.id = id;
    this.#byId.set(id, entry);
    this.#settle(entry, position);
  }

  /**
   * What was shown without a place has one now.
   * @param {any[]} items each `{id, position}`
   * @param {import('./intake.js').Sink} sink told of each
   * @returns {boolean} whether they showed a hole before one of them
   */
  settled(items, sink) {
    let hole = false;
    for (const item of items) {
      const position = placed(item?.position);
      if (!position) continue;
      const { id } = item;
      const entry = this.#byId.get(id);
      if (entry) {
        // What has its place already has another version placed, whose client id is not known here.
        if (entry.mine) sink.met(entry.place ? id : entry.clientId, { id, position });
        if (!entry.place) this.#settle(entry, position);
        sink.shown(entry, false);
      }
      hole ||= this.jumps(position);
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
  mark(id, marks) {
    const entry = this.#byId.get(id);
    if (!entry || marks.rev < entry.rev) return null;
    Object.assign(entry, { rev: marks.rev, told: marks });
    tally(entry);
    return entry;
  }

  /**
   * A reaction of ours, on the screen before the hub knows of it; and the answer to one.
   * @param {any} entry
   * @param {string} kind
   * @param {number} by 1: given, -1: taken back, 0: as it was shown
   * @param {1 | -1} asked 1: it is asked for, -1: it is answered
   */
  give(entry, kind, by, asked) {
    for (const some of [entry.counts, entry.own]) some.set(kind, (some.get(kind) ?? 0) + by);
    entry.asked += asked;
    tally(entry);
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
   * @param {boolean} [fresh] whether it is news, should it be new
   */
  #put(said, me, fresh = true) {
    const mine = said.user.id === me;
    const known = (mine && this.own(said.clientId)) || this.#byId.get(said.id);
    const place = said.first ?? said.position;
    // An epoch that our position was never in is older than all that we know.
    if (place) this.#epoch(place.epoch, true);
    if (!known) {
      const state = place ? 'settled' : 'sent';
      return { message: this.#add({ ...blank(state), ...content(said), mine }, place), fresh };
    }
    if (!known.place || said.version > known.version) {
      // An edit has a client id of its own; the message keeps the one that it was sent under.
      const { clientId } = known;
      Object.assign(known, content(said), { clientId, state: known.place ? 'settled' : 'sent', code: undefined });
    }
    this.#byId.set(said.id, known);
    // The ack of a repeat may have said where the message was amended, and only what comes says where it began.
    if (!known.place || said.first) this.#settle(known, place);
    return { message: known, fresh: false };
  }

  /**
   * @param {Placed & Message} entry
   * @param {Position | null} place
   */
  #settle(entry, place) {
    if (!place) return;
    this.#remove(entry);
    Object.assign(entry, { place, rank: this.#epoch(place.epoch).rank, state: 'settled', code: undefined });
    this.#insert(entry);
  }

  /**
   * @param {any} entry
   * @param {Position | null} place
   */
  #add(entry, place) {
    // A message without a place is on its way to the end; a note without one is about all that is not here.
    const rank = place ? this.#epoch(place.epoch).rank : entry.type === 'note' ? -Infinity : Infinity;
    this.#insert(Object.assign(entry, { key: ++this.#keys, place, rank }));
    return entry;
  }

  /** @param {any} entry */
  #insert(entry) {
    this.#entries.splice(this.#index(entry), 0, entry);
    if (entry.id) this.#byId.set(entry.id, entry);
  }

  /** @param {any} entry */
  #remove(entry) {
    this.#entries.splice(this.#index(entry), 1);
    this.#byId.delete(entry.id);
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
  const marks = { reactions: {}, reacted: [], rev: 0, told: null, counts: new Map(), own: new Map(), asked: 0 };
  return { type: 'message', version: 1, deleted: false, state, ...marks };
}

/** @param {Message & Tally} entry what is shown of its reactions is made anew */
function tally(entry) {
  const { asked, told } = entry;
  entry.reacted = some(entry.own).map(([kind]) => kind);
  // Until ours are answered nobody can say whether they are in what the hub tells.
  if (told && asked === 0) {
    // Without `mine` it does not say who gave them, and ours may still be on their way into it.
    entry.reacted = told.mine ?? entry.reacted;
    entry.own = new Map(entry.reacted.map((kind) => [kind, 1]));
    entry.counts = told.counts;
    for (const kind of entry.reacted) told.counts.set(kind, told.counts.get(kind) ?? 1);
    entry.told = null;
  }
  entry.reactions = Object.fromEntries(some(entry.counts));
}

/** @param {Map<string, number>} kinds */
const some = (kinds) => [...kinds].filter(([, given]) => given > 0);

/** @param {Said} said */
function content({ position: _position, was: _was, first: _first, ...content }) {
  return content;
}
