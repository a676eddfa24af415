// What the page keeps between visits: the guest token, the name, the open groups.
//
// A browser may refuse its storage (private windows, blocked site data), even by throwing when it is merely
// looked at. Then everything is kept for the life of the page instead, and nothing else changes.

/** A few small texts that outlive the page where the browser allows it. */
export class Keep {
  #kept = new Map();
  #storage = null;

  /** @param {() => Storage | null | undefined} open gives the browser's storage; it may throw */
  constructor(open) {
    try {
      this.#storage = open() ?? null;
    } catch {
      this.#storage = null;
    }
  }

  /**
   * @param {string} key
   * @returns {string | null}
   */
  read(key) {
    try {
      return this.#storage?.getItem(key) ?? this.#kept.get(key) ?? null;
    } catch {
      return this.#kept.get(key) ?? null;
    }
  }

  /**
   * @param {string} key
   * @param {string} text
   */
  write(key, text) {
    this.#kept.set(key, text);
    try {
      this.#storage?.setItem(key, text);
    } catch {
      // A full or refused storage costs the memory of this page's next visit, and nothing now.
    }
  }
}
