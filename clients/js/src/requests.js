// What was asked of the hub and is not answered for good: one queue, in the order of asking.
//
// Every request of this protocol may be repeated, so what a connection took with it goes out again on the next, in
// the same order and with the same words. A message that was acked without a place in the history stays here until
// it has one: the node that has it may die. A refusal for the moment (`rate_limited`, …) stops the queue
// for as long as the hub asks, so that nothing overtakes what was refused but what is on its way already.

/** @import {MessageState} from './timeline.js' */
import { PalabreError } from './error.js';

// About so long until what was refused for the moment goes out again, when the hub does not say.
const AGAIN_MS = 5_000;
// No longer than this, whatever it says: a timer of weeks goes off at once.
const AGAIN_MAX_S = 3_600;
// Until `welcome` says how many requests may be open at once.
const OPEN_MAX = 16;

/**
 * @typedef {object} Request
 * @property {any} frame what goes out, but for its `ref`
 * @property {MessageState} state
 * @property {number} at when it was asked, ms since 1970
 * @property {string} [user] who asked when it went out first; another identity may not repeat it
 * @property {string} [code] why it waits, or failed
 * @property {{id: string, position: any}} [echo] where it stands, heard before the answer
 * @property {(answer: any) => void} [resolve]
 * @property {(error: unknown) => void} [reject]
 *
 * Whom the requests are for.
 * @typedef {object} Asker
 * @property {(group: string) => boolean} ready whether requests to the group may go out
 * @property {(frame: object) => boolean} say whether a socket took it
 * @property {(request: Request) => void} prepare the request is about to go out for the first time
 * @property {(request: Request) => void} changed its state or code did
 */

/**
 * Whether the same request may work in a moment.
 * @param {string} code
 */
export function isForNow(code) {
  return /^(rate_limited|overloaded|unavailable)$/.test(code);
}

/**
 * How long to wait after a refusal for the moment.
 * @param {{retry_after_s?: number}} refusal
 */
export function again_ms({ retry_after_s }) {
  return retry_after_s ? Math.min(retry_after_s, AGAIN_MAX_S) * 1_000 : AGAIN_MS * (0.5 + Math.random());
}

export class Requests {
  open_max = OPEN_MAX;
  /** In bytes, once `welcome` has said it. */
  frame_max = Infinity;
  /** @type {Set<Request>} in the order of asking */
  #all = new Set();
  /** @type {Map<string, Request>} by `ref`, on this connection */
  #open = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;
  #refs = 0;
  #asker;
  #all_max;
  #age_max_ms;

  /**
   * @param {Asker} asker
   * @param {number} all_max how many may wait or be open
   * @param {number} age_max_ms what waited longer is not sent any more
   */
  constructor(asker, all_max, age_max_ms) {
    this.#asker = asker;
    this.#all_max = all_max;
    this.#age_max_ms = age_max_ms;
  }

  [Symbol.iterator]() {
    return this.#all.values();
  }

  /** @returns {Request[]} what somebody wrote, and is not safe in the history yet */
  get written() {
    return [...this.#all].filter(({ frame }) => frame.client_id);
  }

  get #failed() {
    return [...this.#all].filter(({ state }) => state === 'failed');
  }

  /**
   * @param {any} frame
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<any>} the hub's final answer; rejects with a PalabreError, or with the signal's reason
   */
  async ask(frame, { signal } = {}) {
    if (this.#all.size - this.#failed.length >= this.#all_max) throw new PalabreError('queue_full');
    // A copy: what is repeated is repeated word for word, and what JSON cannot hold is refused here.
    return this.#add({ frame: JSON.parse(JSON.stringify(frame)), state: 'queued', at: Date.now() }, signal);
  }

  /**
   * What an earlier visit left.
   * @param {Pick<Request, 'frame' | 'state' | 'at' | 'user' | 'code'>} left
   */
  restore(left) {
    this.#add(left).catch(() => {}); // Nobody of this visit waits for it; its state says how it goes.
  }

  /**
   * Tries a failed request once more, after those that wait already.
   * @param {Request} request
   * @returns {Promise<any>} as {@link ask}
   */
  revive(request) {
    this.#all.delete(request);
    // Somebody else's first try is not ours.
    if (request.code === 'new_identity') request.user = undefined;
    Object.assign(request, { state: 'queued', code: undefined, at: Date.now() });
    return this.#add(request);
  }

  /** Sends what may go out now. */
  pump() {
    if (this.#pause) return;
    for (const request of this.#all) {
      if (this.#open.size >= this.open_max) return;
      if (request.state !== 'queued' || !this.#asker.ready(request.frame.group)) continue;
      if (request.user === undefined) this.#asker.prepare(request);
      const ref = `r${++this.#refs}`;
      const frame = { ...request.frame, ref };
      // What is larger than the hub reads would end the connection, and all that is under way on it.
      const isLarge = new Blob([JSON.stringify(frame)]).size > this.frame_max;
      if (isLarge || Date.now() - request.at > this.#age_max_ms) {
        this.fail(request, new PalabreError(isLarge ? 'too_large' : 'expired'));
        continue;
      }
      if (!this.#asker.say(frame)) return;
      this.#open.set(ref, request);
      this.#change(request, 'sending');
    }
  }

  /**
   * The hub answered, maybe something that was not asked here.
   * @param {any} answer
   * @returns {Request | undefined}
   */
  answered(answer) {
    const request = this.#take(answer.ref);
    if (!request) return;
    request.resolve?.(answer);
    // What has no place yet is kept; what has none by its nature, a reaction, says nothing of a place.
    if (answer.position === null && request.frame.client_id) this.#change(request, 'sent');
    else this.#settle(request);
    this.pump();
    return request;
  }

  /**
   * The hub refused something that may have been asked here.
   * @param {any} error
   */
  refused(error) {
    const request = this.#take(error.ref);
    if (!request) return;
    if (request.echo) {
      this.#arrived(request, request.echo); // Refused and done all the same.
    } else if (isForNow(error.code)) {
      this.#change(request, 'queued', error.code);
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.wake(), again_ms(error));
    } else {
      this.fail(request, new PalabreError(error.code, error.message));
    }
    this.pump();
  }

  /** What was refused for the moment may go out again. */
  wake() {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.pump();
  }

  /** The connection is gone, and what was on it without an answer goes out again on the next one. */
  gone() {
    this.#open.clear();
    for (const request of this.#all) {
      if (request.echo) this.#arrived(request, request.echo);
      else if (request.state === 'sending' || request.state === 'sent') this.#change(request, 'queued');
    }
    this.wake(); // To wait is a matter of the connection that asked for it.
  }

  /**
   * Something of ours was met in the history, whose answer may be still to come, or lost.
   * @param {string} key its client id; of an amendment that has its place now, its message's id
   * @param {{id: string, position: any}} echo
   */
  placed(key, echo) {
    for (const request of this.#all) {
      const { frame, state } = request;
      if (frame.client_id !== key && (frame.id !== key || state !== 'sent')) continue;
      if (state === 'sending') request.echo = echo;
      else this.#arrived(request, echo);
      return;
    }
  }

  /**
   * It is not tried any more, until {@link revive}. What has a client id is kept: somebody wrote it.
   * @param {Request} request
   * @param {PalabreError} error
   */
  fail(request, error) {
    if (!request.frame.client_id) this.#all.delete(request);
    this.#change(request, 'failed', error.code);
    request.reject?.(error);
    // They wait for somebody to try them again, the oldest until there are as many as may wait otherwise.
    if (this.#failed.length > this.#all_max) this.drop(this.#failed[0], error);
  }

  /**
   * Nobody waits for it any more. What went out goes its way, and may be done all the same.
   * @param {Request} request
   * @param {unknown} reason
   * @param {boolean} [sent] also when it went out
   */
  drop(request, reason, sent = false) {
    request.reject?.(reason);
    if (!sent && request.user !== undefined && request.state !== 'failed') return;
    this.#all.delete(request);
    this.#change(request, 'failed', 'dropped');
  }

  /**
   * @param {any} request
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  #add(request, signal) {
    const answer = new Promise((resolve, reject) => Object.assign(request, { resolve, reject }));
    this.#all.add(request);
    this.#change(request, request.state, request.code);
    const abort = () => this.drop(request, signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort);
    answer.catch(() => {}).finally(() => signal?.removeEventListener('abort', abort));
    this.pump();
    return answer;
  }

  /**
   * @param {Request} request
   * @param {{id: string, position: any}} echo
   */
  #arrived(request, { id, position }) {
    request.resolve?.({ type: 'ack', group: request.frame.group, id, position });
    this.#settle(request);
  }

  /** @param {Request} request */
  #settle(request) {
    this.#all.delete(request);
    this.#change(request, 'settled');
  }

  /**
   * @param {any} ref
   * @returns {Request | undefined}
   */
  #take(ref) {
    const request = this.#open.get(ref);
    this.#open.delete(ref);
    // What was given up meanwhile has no use for an answer.
    return request?.state === 'sending' ? request : undefined;
  }

  /**
   * @param {Request} request
   * @param {MessageState} state
   * @param {string} [code]
   */
  #change(request, state, code) {
    Object.assign(request, { state, code });
    this.#asker.changed(request);
  }
}
