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
 * @property {(message: Message) => void} marked reactions to it changed
 * @property {(about: {reason?: string, lost?: number}) => void} holed the history has a hole, and says so
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
  lost() {
    this.catching = false;
    this.#held = [];
  }

  /**
   * `joined` or `resumed`.
   * @param {any} frame
   */
  joined(frame) {
    // `resumed` brings the rest of a pending one; until then we talk to this node's members.
    if (frame.recovered === 'pending') this.catching = true;
    else if (frame.snapshot) this.restart(frame);
    else this.#caughtUp(frame, this.#show(frame));
  }

  /**
   * What is held is dropped for the snapshot of `frame`.
   * @param {any} frame
   */
  restart(frame) {
    const { snapshot, reason } = frame;
    const about = reason && hole(frame);
    const messages = said(snapshot);
    this.timeline.reset(messages, snapshot?.more === true, this.#sink.me, about);
    this.#meet(messages);
    this.slots(snapshot);
    if (about) this.#sink.holed(about);
    this.#caughtUp({ position: frame.position }, []);
  }

  /**
   * A page of the past.
   * @param {any} answer
   * @param {Position | null} older where the history goes on before it
   */
  page(answer, older) {
    const messages = said(answer);
    this.timeline.page(messages, older, this.#sink.me);
    this.#meet(messages);
    this.slots(answer);
  }

  /**
   * What consumers say about messages that came beside it: their reactions.
   * @param {any} answer a snapshot, a resume's answer or a page
   */
  slots(answer) {
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
      const items = list(frame.items).flatMap((item) => {
        const at = position(item?.position);
        return at && typeof item.id === 'string' ? { id: item.id, position: at } : [];
      });
      if (this.timeline.settled(items, this.#sink)) this.#repair();
    } else if (frame.type === 'chat.reactions') {
      this.#mark(frame.id, frame);
    } else if (frame.type !== 'gap' && this.timeline.fits(placed) === 'hole') {
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

  /** @param {any} frame */
  #show(frame) {
    const messages = list(frame.messages);
    for (const one of messages) this.#take(one);
    this.slots(frame);
    return messages;
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
    for (const { client_id, id, position, user } of messages) {
      if (position && user.id === this.#sink.me) this.#sink.met(client_id, { id, position });
    }
  }

  /**
   * @param {any} frame
   * @param {Position | null} place
   */
  #gap(frame, place) {
    const about = hole(frame);
    this.timeline.note(about, place);
    this.#sink.holed(about);
  }

  /**
   * @param {any} frame
   * @param {any[]} messages those that it brought
   */
  #caughtUp(frame, messages) {
    const [here, there] = [this.timeline.position, position(frame.position)];
    const short = here?.epoch !== there?.epoch || (here?.offset ?? 0) < (there?.offset ?? 0);
    // With messages and `more` these are the oldest of what was missed.
    if (frame.more === true && messages.length > 0 && there && short) return this.#repair();
    this.catching = false;
    this.timeline.move(there);
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
    if (marked) this.#sink.marked(marked);
  }
}

/**
 * What a frame says of messages that are missing.
 * @param {any} frame
 * @returns {{reason?: string, lost?: number}}
 */
function hole({ reason, lost }) {
  return { reason: String(reason), ...(count(lost) && { lost }) };
}

/**
 * The messages of a snapshot or page that are some.
 * @param {any} answer
 */
export function said(answer) {
  return list(answer?.messages).flatMap((one) => message(one) ?? []);
}
