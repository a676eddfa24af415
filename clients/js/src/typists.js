// Who is writing in a group: each is shown for some seconds after the last that was heard of them.

/** @import {User} from './frames.js' */

// The hub passes on one notice in 3 s, so two may be lost before somebody who goes on writing is forgotten.
const SHOWN_MS = 7_000;

export class Typists {
  /** @type {Map<string, {user: User, timer: ReturnType<typeof setTimeout>}>} */
  #writing = new Map();
  #changed;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /** @returns {User[]} whoever began first stands first */
  list() {
    return Array.from(this.#writing.values(), ({ user }) => user);
  }

  /** @param {User} user */
  heard(user) {
    clearTimeout(this.#writing.get(user.id)?.timer);
    this.#writing.set(user.id, { user, timer: setTimeout(() => this.done(user.id), SHOWN_MS) });
    this.#changed();
  }

  /** @param {string} id somebody whose message came, or of whom nothing was heard any more */
  done(id) {
    const one = this.#writing.get(id);
    if (!one) return;
    clearTimeout(one.timer);
    this.#writing.delete(id);
    this.#changed();
  }

  gone() {
    for (const id of this.#writing.keys()) this.done(id);
  }
}
