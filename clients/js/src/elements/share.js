// One connection a hub for all elements of a page: whoever comes first opens it, whoever goes last closes it.

/** @import {Client} from '../client.js' */
import { createClient } from '../index.js';

/** @type {Map<string, {client: Client, users: number}>} */
const shared = new Map();

/**
 * @param {string} url the hub's
 * @returns {{client: Client, release: () => void}}
 */
export function share(url) {
  const own = shared.get(url) ?? { client: createClient({ url, queueStorage: sessionStore() }), users: 0 };
  shared.set(url, own);
  own.users++;
  own.client.connect();
  let held = true;
  const release = () => {
    if (!held) return;
    held = false;
    // An element that is only moved comes back in the same turn.
    setTimeout(() => {
      if (--own.users > 0) return;
      shared.delete(url);
      own.client.close();
    });
  };
  return { client: own.client, release };
}

/** A tab's own storage, or none: even to look at it may be forbidden. */
export function sessionStore() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}
