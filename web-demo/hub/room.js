// What a page holds of one group: its place in the history, what is on the screen, what is still on its way.
//
// Pure: no socket, no document, no clock. hub.js feeds it frames; the view reads `list()`. A message is dropped
// when its position was passed in that epoch or its id was shown, so that replays and repeats appear once.
// It never decides to ask the hub for something: it only says that there is a hole.

// More than anybody scrolls back through in a page that cannot load older ones.
const ENTRIES_MAX = 1_000;
// Ids of what was shown, for copies that come back without a position we know.
const SHOWN_MAX = 10_000;
// An epoch is a Redis that began anew: a page sees a handful of them.
const EPOCHS_MAX = 100;

/**
 * @typedef {{epoch: string, offset: number}} Position
 * @typedef {{id: string, name: string}} User
 * @typedef {object} Message
 * @property {string} id
 * @property {string} client_id
 * @property {Position | null} position
 * @property {Position[]} [was]
 * @property {Position} [first]
 * @property {number} ts
 * @property {User} user
 * @property {string} [text]
 * @property {number} [version]
 * @property {boolean} [deleted]
 *
 * @typedef {object} Entry one thing on the screen: a message, or a note about the history (`note` is set)
 * @property {number} key the same for as long as the entry lives
 * @property {Position | null} place where it stands; null while it has no cluster order
 * @property {string} [id]
 * @property {string} [clientId]
 * @property {User} [user]
 * @property {string} [text]
 * @property {number} [ts]
 * @property {boolean} [deleted]
 * @property {'pending' | 'sent' | 'failed'} [state]
 * @property {string} [code] why it failed
 * @property {Position | null} [since] our position at the first try, repeated with every other
 * @property {{reason?: string, lost?: number}} [note]
 */

/** One group, as this page knows it. */
export class Room {
  /** @type {Position | null} the last position met: what a resume starts from */
  position = null;
  /** Whether this connection is a member. */
  joined = false;
  /** @type {string | null} why the last join was refused */
  refusal = null;
  /** Whether an answer with what is missing is on its way; frames with a position wait in `held` for it. */
  catching = false;
  /** @type {object[]} */
  held = [];
  /** @type {Map<string, Entry>} own messages without a place in the history, by client id, oldest first */
  unsettled = new Map();

  #entries = [];
  #byId = new Map();
  #shown = new Map();
  #epochs = new Map();
  #ranks = 0;
  #keys = 0;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  /**
   * Where a live frame's position stands to ours.
   * @param {Position | null | undefined} position
   * @returns {'next' | 'passed' | 'hole'}
   */
  fits(position) {
    if (!position) return 'next';
    if (this.#passed(position)) return 'passed';
    const here = this.position;
    return here?.epoch === position.epoch && position.offset > here.offset + 1 ? 'hole' : 'next';
  }

  /** @param {Position | null | undefined} position */
  move(position) {
    if (!position || this.#passed(position)) return;
    this.#epoch(position.epoch).passed = position.offset;
    this.position = position;
  }

  /**
   * Takes a message that may be a copy of one that we have.
   * @param {Message} message
   * @param {string | undefined} me our own user id
   * @returns {Entry | null} the entry, when the message is new to this page
   */
  take(message, me) {
    const { id, position, was = [] } = message;
    if (position && this.#passed(position)) return null;
    this.move(position);
    if (!was.some((older) => this.#passed(older))) return this.#put(message, me);
    const entry = this.#byId.get(id);
    if (entry) this.#settle(entry, position);
    return null;
  }

  /**
   * Drops what is held of the history and starts from `messages`; own messages that are on their way stay.
   * @param {Message[]} messages
   * @param {string | undefined} me
   */
  reset(messages, me) {
    this.#entries = [...this.unsettled.values()];
    this.#byId = new Map(this.#entries.filter(({ id }) => id).map((entry) => [entry.id, entry]));
    this.#shown.clear();
    this.#epochs.clear();
    this.position = null;
    for (const message of messages) {
      this.#put(message, me);
      this.move(message.position);
    }
  }

  /**
   * An own message, on the screen before the hub knows of it.
   * @param {string} clientId
   * @param {string} text
   * @param {User | null} user
   * @param {number} ts
   * @returns {Entry}
   */
  write(clientId, text, user, ts) {
    const entry = this.#add({ clientId, text, user, ts, place: null, state: 'pending' });
    this.unsettled.set(clientId, entry);
    return entry;
  }

  /**
   * The hub has an own message: as `id`, at `position` or nowhere yet. Does not move our position: the ack may
   * have overtaken messages of others that stand before it.
   * @param {string} clientId
   * @param {string} id
   * @param {Position | null} position
   */
  acked(clientId, id, position) {
    const entry = this.unsettled.get(clientId);
    if (!entry) return; // The echo came first and settled it.
    entry.state = 'sent';
    entry.id = id;
    this.#byId.set(id, entry);
    this.#settle(entry, position);
  }

  /**
   * What was shown without a place has one now.
   * @param {{id: string, position: Position}[]} items
   * @returns {boolean} whether they showed a hole before one of them
   */
  settled(items) {
    let hole = false;
    for (const { id, position } of items) {
      const entry = this.#byId.get(id);
      if (entry) this.#settle(entry, position);
      hole ||= this.fits(position) === 'hole';
      if (!hole) this.move(position);
    }
    return hole;
  }

  /**
   * A line between the messages, about the history itself.
   * @param {{reason?: string, lost?: number}} note
   * @param {Position | null} place
   */
  note(note, place) {
    this.#add({ note, place });
  }

  /** @returns {Entry[]} what the screen shows, in its order */
  list() {
    const rank = ({ place }) => (place ? this.#epoch(place.epoch).rank : Infinity);
    const order = (a, b) => (rank(a) === rank(b) ? (a.place?.offset ?? 0) - (b.place?.offset ?? 0) : rank(a) - rank(b));
    // Two without a place have the same rank and no offset: the stable sort leaves them in order of arrival.
    this.#entries.sort((a, b) => order(a, b) || a.key - b.key);
    while (this.#entries.length > ENTRIES_MAX) this.#byId.delete(this.#entries.shift().id);
    return this.#entries;
  }

  #put(message, me) {
    const own = message.user.id === me ? this.unsettled.get(message.client_id) : undefined;
    const entry = own ?? this.#byId.get(message.id);
    const version = message.version ?? 1;
    const fresh = version > (this.#shown.get(message.id) ?? 0);
    if (fresh) this.#remember(message.id, version);
    if (!entry && !fresh) return null; // Shown once, and off the screen since.
    const place = message.first ?? message.position;
    if (!entry) {
      const added = this.#add({ id: message.id, place, state: 'sent' });
      this.#byId.set(message.id, Object.assign(added, said(message)));
      return added;
    }
    if (fresh) Object.assign(entry, said(message), { id: message.id, state: 'sent' });
    this.#byId.set(message.id, entry);
    this.#settle(entry, place);
    return null;
  }

  #settle(entry, place) {
    entry.place ??= place;
    if (entry.place) this.unsettled.delete(entry.clientId);
  }

  #add(fields) {
    const entry = { key: ++this.#keys, ...fields };
    this.#entries.push(entry);
    return entry;
  }

  #remember(id, version) {
    this.#shown.delete(id);
    this.#shown.set(id, version);
    if (this.#shown.size > SHOWN_MAX) this.#shown.delete(this.#shown.keys().next().value);
  }

  #passed({ epoch, offset }) {
    return offset <= (this.#epochs.get(epoch)?.passed ?? -1);
  }

  #epoch(name) {
    let epoch = this.#epochs.get(name);
    if (!epoch) {
      epoch = { rank: ++this.#ranks, passed: -1 };
      this.#epochs.set(name, epoch);
      if (this.#epochs.size > EPOCHS_MAX) this.#epochs.delete(this.#epochs.keys().next().value);
    }
    return epoch;
  }
}

function said({ client_id, user, text, ts, deleted }) {
  return { clientId: client_id, user, text: text ?? '', ts, deleted: deleted === true };
}
