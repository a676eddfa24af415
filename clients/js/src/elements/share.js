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

/** @type {WeakMap<import('../group.js').Group, number>} */
const shown = new WeakMap();

/**
 * A group is in the connection that elements share for as long as one of them shows it, or something waits for it.
 * @param {Client} client
 * @param {import('../group.js').Group} group
 * @returns {() => void} it is not shown any more
 */
export function showing(client, group) {
  shown.set(group, (shown.get(group) ?? 0) + 1);
  return () => {
    const others = (shown.get(group) ?? 1) - 1;
    shown.set(group, others);
    const waits = client.queue.some(({ frame }) => frame.group === group.name);
    if (others === 0 && !waits) group.leave();
  };
}

/** A tab's own storage, or none: even to look at it may be forbidden. */
export function sessionStore() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}
