// `<palabre-status>`: whether we have the hub, and whether the hub has the others. Words and signs, not colours alone.

/** @import {Client} from '../client.js' */
/** @import {Layer} from '../frames.js' */
/** @import {StatusEvent} from '../link.js' */
/** @import {Speech} from './words.js' */
import { hide, make, write } from './dom.js';
import { HubElement } from './element.js';
import { STATUS_STYLE, style } from './style.js';

const MOODS = { connecting: 'busy', connected: 'good', reconnecting: 'busy', offline: 'bad' };
const REDIS_MOODS = { connecting: 'busy', healthy: 'good', suspect: 'busy', degraded: 'bad', healing: 'busy' };
const CAUGHT_UP_MS = 10_000;

/**
 * `<palabre-status>`: whether we have the hub, and whether the hub has the others.
 *
 * Attributes `hub` and `lang`, property `client`: as for `<palabre-chat>`. Parts and variables stand in docs/embed.md.
 */
export class PalabreStatus extends HubElement {
  static observedAttributes = ['hub', 'lang'];

  /**
   * @param {Client} client
   * @param {AbortSignal} signal
   * @protected
   */
  open(client, signal) {
    const { speech } = this;
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [style(STATUS_STYLE)];
    const connection = make('span', 'badge connection');
    const count = make('span', 'count');
    const layer = make('span', 'badge layer');
    const banner = make('p', 'banner');
    const badges = make('p', 'badges', connection, count, layer);
    // The seconds that run down are for the eye: said aloud they would never end.
    count.setAttribute('aria-hidden', 'true');
    for (const element of [badges, banner]) element.setAttribute('role', 'status');
    root.replaceChildren(badges, banner);

    const countdown = new Countdown(count, speech);
    const show = (/** @type {StatusEvent} */ { status, wait_ms }) => {
      // A browser that has no network knows better than a try that has not failed yet.
      const shown = status !== 'connected' && navigator.onLine === false ? 'offline' : status;
      connection.dataset.mood = MOODS[shown];
      write(connection, speech.words.status[shown]);
      countdown.from(status === 'reconnecting' ? (wait_ms ?? 0) : 0);
    };
    client.on('status', show, { signal });
    for (const type of ['online', 'offline']) {
      globalThis.addEventListener(type, () => show({ status: client.status }), { signal });
    }
    show({ status: client.status });
    const layered = (/** @type {Layer} */ now) => showLayer(layer, banner, now, speech, signal);
    client.on('layer', layered, { signal });
    for (const element of [layer, banner]) hide(element, true);
    if (client.layer) layered(client.layer);
    signal.addEventListener('abort', () => countdown.from(0));
  }
}

/**
 * @param {HTMLElement} badge
 * @param {HTMLElement} banner
 * @param {Layer} layer
 * @param {Speech} speech
 * @param {AbortSignal} signal
 */
function showLayer(badge, banner, { state, mode, scope, since, caught_up }, { words, time }, signal) {
  const memory = mode === 'memory';
  badge.dataset.mood = memory ? 'good' : (REDIS_MOODS[state] ?? 'busy');
  // A state of a later version is at least named.
  write(badge, memory ? words.memory : (words.states_redis[state] ?? state));
  hide(badge, false);
  const alone = !memory && scope === 'node';
  const back = !alone && (caught_up?.messages ?? 0) > 0;
  if (alone) write(banner, words.alone(time.format(since)));
  if (back) {
    write(banner, words.caughtUp(caught_up?.messages ?? 0));
    const timer = setTimeout(() => hide(banner, true), CAUGHT_UP_MS);
    signal.addEventListener('abort', () => clearTimeout(timer));
  }
  hide(banner, !alone && !back);
}

class Countdown {
  #element;
  #speech;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {HTMLElement} element @param {Speech} speech */
  constructor(element, speech) {
    this.#element = element;
    this.#speech = speech;
  }

  /** @param {number} wait_ms */
  from(wait_ms) {
    clearInterval(this.#timer);
    const until = Date.now() + wait_ms;
    const show = () => {
      const left = Math.round((until - Date.now()) / 1_000);
      write(this.#element, left > 0 ? this.#speech.words.inSeconds(left) : '');
      if (left <= 0) clearInterval(this.#timer);
    };
    if (wait_ms > 0) this.#timer = setInterval(show, 1_000);
    show();
  }
}
