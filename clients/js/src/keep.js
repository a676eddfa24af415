// What outlives the page: small texts under one prefix, in a storage that may be missing.
//
// A browser may refuse its storage (private windows, blocked site data), even by throwing when it is merely
// looked at. Then everything is kept for the life of the page instead, and nothing else changes.

/**
 * What keeps small texts: `localStorage`, `sessionStorage`, or anything that has these three of their methods. What it
 * throws is taken for a storage that is full or refused, and the client goes on without.
 * @typedef {object} Store
 * @property {(key: string) => string | null} getItem
 * @property {(key: string, text: string) => void} setItem
 * @property {(key: string) => void} removeItem
 */

export class Keep {
  /** @type {Record<string, string | null>} */
  #kept = {};
  #store;
  #prefix;

  /**
   * @param {string} prefix
   * @param {() => Store | null | undefined} open gives the storage; it may throw
   */
  constructor(prefix, open) {
    this.#prefix = prefix;
    this.#store = attempt(open);
  }

  /**
   * @param {string} key
   * @returns {string | null}
   */
  read(key) {
    return this.#kept[key] ?? attempt(() => this.#store?.getItem(this.#prefix + key)) ?? null;
  }

  /**
   * @param {string} key
   * @param {string | null} text null: nothing is kept
   */
  write(key, text) {
    this.#kept[key] = text;
    const at = this.#prefix + key;
    // A full or refused storage costs the memory of this page's next visit, and nothing now.
    attempt(() => (text === null ? this.#store?.removeItem(at) : this.#store?.setItem(at, text)));
  }
}

/**
 * @template Value
 * @param {() => Value} act
 * @returns {Value | undefined} nothing, when it throws
 */
export function attempt(act) {
  try {
    return act();
  } catch {
    return undefined;
  }
}
