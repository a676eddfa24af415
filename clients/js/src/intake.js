// What came for one group, brought into order: nothing live is shown before what is missing in front of it.
//
// While an answer with what was missed is on its way, frames with a position wait for it. A jump of the offset is
// repaired by a second join from our own position, which changes nothing about membership (docs/protocol.md,
// "Positions, and what a client must do"). It decides when to ask again; group.js does the asking.

/** @import {Position, Said} from './frames.js' */
/** @import {Message} from './timeline.js' */
import { count, list, marks, message, position } from './frames.js';
import { Timeline } from './timeline.js';

const HELD_MAX = 1_000; // live frames kept while what is before them is fetched; a later one repairs the rest

/**
 * Whom it is for.
 * @typedef {object} Sink
 * @property {string | undefined} me our own user id
 * @property {() => void} repair join again from our position
 * @property {(clientId: string, echo: {id: string, position: Position | null}) => void} met something of ours is in the
 *   history
 * @property {(message: Message, fresh: boolean) => void} shown a new message, or another version or place of one
 * @property {(type: 'hole' | 'update', detail: any) => void} emit the history has a hole; reactions to a message changed
 */

export class Intake {
  timeline = new Timeline();
  /** Whether an answer with what is missing is on its way. */
  catching = false;
  /** @type {any[]} */
  #held = [];
  #sink;

  /** @param {Sink} sink */
  constructor(sink) {
    this.#sink = sink;
  }

  /** The connection is gone, and with it what was to come on it. */
  gone() {
    this.catching = false;
    this.#held = [];
  }

  /**
   * `joined` or `resumed`.
   * @param {any} frame
   */
  entered(frame) {
    // `resumed` brings the rest of a pending one; until then we talk to this node's members.
    if (frame.recovered === 'pending') this.catching = true;
    else if (frame.snapshot) this.restart(frame);
    else this.#caughtUp(frame);
  }

  /**
   * What is held is dropped for the snapshot of `frame`.
   * @param {any} frame
   */
  restart(frame) {
    const { snapshot, reason } = frame;
    const about = reason && hole(frame);
    this.timeline.reset(said(snapshot), snapshot?.more === true, this.#sink.me, about);
    this.slots(snapshot);
    if (about) this.#sink.emit('hole', about);
    this.#caughtUp(frame);
  }

  /**
   * A page of the past.
   * @param {any} answer
   * @param {Position | null} older where the history goes on before it
   */
  page(answer, older) {
    this.timeline.page(said(answer), older, this.#sink.me);
    this.slots(answer);
  }

  /**
   * What came with messages: that ours among them are safe, and what consumers say of them, their reactions.
   * @param {any} answer a snapshot, a resume's answer or a page
   */
  slots(answer) {
    this.#meet(said(answer));
    for (const [id, given] of Object.entries(answer?.chat?.reactions ?? {})) this.#mark(id, given);
  }

  /**
   * A frame of the group that nobody asked for.
   * @param {any} frame
   */
  live(frame) {
    const placed = position(frame.position);
    if (this.catching && (placed || frame.type === 'settled')) {
      if (this.#held.length < HELD_MAX) this.#held.push(frame);
      return;
    }
    if (frame.type === 'settled') {
      if (this.timeline.settled(list(frame.items), this.#sink)) this.#repair();
    } else if (frame.type === 'chat.reactions') {
      this.#mark(frame.id, frame);
    } else if (frame.type !== 'gap' && this.timeline.jumps(placed)) {
      // An announced gap is the one jump that is no fault.
      this.#repair();
      this.#held.push(frame);
    } else if (frame.type === 'chat.message') {
      this.#take(frame);
    } else {
      if (frame.type === 'gap') this.#gap(frame, placed);
      this.timeline.move(placed);
    }
  }

  /** @param {any} frame a `chat.message`, or what stands for one */
  #take(frame) {
    const one = message(frame);
    if (!one) return this.timeline.move(position(frame?.position));
    const taken = this.timeline.take(one, this.#sink.me);
    this.#meet([one]);
    if (taken) this.#sink.shown(taken.message, taken.fresh);
  }

  /** @param {Said[]} messages */
  #meet(messages) {
    for (const { clientId, id, position, user } of messages) {
      if (position && user.id === this.#sink.me) this.#sink.met(clientId, { id, position });
    }
  }

  /**
   * @param {any} frame
   * @param {Position | null} place
   */
  #gap(frame, place) {
    const about = hole(frame);
    this.timeline.note(about, place);
    this.#sink.emit('hole', about);
  }

  /** @param {any} frame */
  #caughtUp(frame) {
    const messages = list(frame.messages);
    for (const one of messages) this.#take(one);
    this.slots(frame);
    // With messages and `more` these are the oldest of what was missed.
    if (frame.more === true && messages.length > 0) return this.#repair();
    this.catching = false;
    this.timeline.move(position(frame.position));
    for (const held of this.#held.splice(0)) this.live(held);
  }

  #repair() {
    this.catching = true;
    this.#sink.repair();
  }

  /**
   * @param {any} id
   * @param {any} given
   */
  #mark(id, given) {
    const all = marks(given);
    const marked = all && this.timeline.mark(id, all);
    if (marked) this.#sink.emit('update', { message: marked });
  }
}

/**
 * What a frame says of messages that are missing.
 * @param {any} frame
 * @returns {{reason?: string, lost?: number}}
 */
function hole({ reason, lost }) {
  return { reason: String(reason), lost: count(lost) ? lost : undefined };
}

/**
 * The messages of a snapshot or page that are some.
 * @param {any} answer
 */
export function said(answer) {
  return list(answer?.messages).flatMap((one) => message(one) ?? []);
}
