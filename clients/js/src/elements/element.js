// What both elements have in common: a client, shared or given, for as long as they stand in a document.

/** @import {Client} from '../client.js' */
import { share } from './share.js';
import { speak } from './words.js';

// Where there are no elements, on a server that renders, the classes are still there to be imported.
const Base = globalThis.HTMLElement ?? class {};

export class HubElement extends Base {
  /** @type {Client | null} */
  #client = null;
  /** @type {Client | null} */
  #given = null;
  /** @type {AbortController | null} */
  #over = null;
  /** @type {() => void} */
  #release = () => {};
  #stale = false;

  /**
   * The client that the element uses. One that is set is used instead of one that the page's elements share, and is
   * neither connected nor closed by them.
   * @returns {Client | null}
   */
  get client() {
    return this.#client ?? this.#given;
  }

  set client(client) {
    if (client === this.#given) return;
    this.#given = client;
    this.renew();
  }

  connectedCallback() {
    // What a page set before the element was defined hides the property of that name.
    const early = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (this));
    for (const name of Object.keys(early).filter((own) => own in Object.getPrototypeOf(this))) {
      const value = early[name];
      delete early[name];
      early[name] = value;
    }
    this.renew();
  }

  disconnectedCallback() {
    this.renew();
  }

  /**
   * @param {string} _name
   * @param {string | null} before
   * @param {string | null} now
   */
  attributeChangedCallback(_name, before, now) {
    if (before !== now) this.renew();
  }

  /** Begins anew, once for all that is changed in one go. @protected */
  renew() {
    if (this.#stale) return;
    this.#stale = true;
    queueMicrotask(() => {
      this.#stale = false;
      this.#end();
      if (this.isConnected) this.#begin();
    });
  }

  /**
   * Stands in the document, until `signal` aborts.
   * @param {Client} _client
   * @param {AbortSignal} _signal
   * @protected
   */
  open(_client, _signal) {}

  /** Whether the page's elements share the client, so that its groups are theirs to leave. @protected */
  get isShared() {
    return this.#given === null;
  }

  /** The language to speak: the nearest that is named, else the reader's. @protected */
  get speech() {
    const named = /** @type {HTMLElement | null} */ (this.closest('[lang]'));
    return speak(named?.lang || navigator.language);
  }

  #begin() {
    const hub = this.getAttribute('hub');
    // Without an address, the hub is where this script came from.
    const url = hub === null ? new URL('/', import.meta.url) : new URL(hub, document.baseURI);
    const { client, release } = this.#given ? { client: this.#given, release() {} } : share(url.href);
    this.#client = client;
    this.#release = release;
    this.#over = new AbortController();
    this.open(client, this.#over.signal);
  }

  #end() {
    this.#over?.abort();
    this.#release();
    this.#release = () => {};
    this.#client = null;
  }
}
