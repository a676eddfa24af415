// What frames of the hub are made of, taken apart with care: a field that is not what it must be is as one that is
// not there, and a message that lacks what every message has is none. Types and fields that nobody knows are left.

/**
 * A place in a group's order. Epochs are compared for equality alone.
 * @typedef {{epoch: string, offset: number}} Position
 */

/**
 * Somebody: an id that stays, and a name that others see.
 * @typedef {{id: string, name: string}} User
 */

/**
 * What joins the nodes, and how far messages get now (docs/protocol.md, "layer").
 * @typedef {object} Layer
 * @property {'connecting' | 'healthy' | 'suspect' | 'degraded' | 'healing'} state how the node stands to what joins it to others
 * @property {'redis' | 'memory'} mode `memory`: a node by itself, without others
 * @property {'cluster' | 'node'} scope whom messages reach now: all nodes' members, or this node's
 * @property {number} since when that began, ms since 1970
 * @property {{messages: number, ballots: number}} [caught_up] after an outage: how many were brought to the others
 */

/**
 * A message as it came, with fields of the right kinds.
 * @typedef {object} Said
 * @property {string} id the hub's
 * @property {string} clientId the sender's
 * @property {Position | null} position where this version stands; null while it has no cluster order
 * @property {Position[]} was its older places, if it was put back into the history
 * @property {Position | null} first where version 1 stood, in a later one: its place on the screen
 * @property {number} ts when the hub took this version, ms since 1970
 * @property {User} user the sender
 * @property {string} text empty when deleted
 * @property {any} data what the sender's application put beside the text
 * @property {string | undefined} replyTo the id of the message that this one answers
 * @property {number} version 1, with each edit one more
 * @property {boolean} deleted whether the sender took it back
 */

/**
 * All reactions to a message; the greater `rev` is the newer.
 * @typedef {{counts: Map<string, number>, rev: number, mine?: string[]}} Marks
 */

/**
 * @param {any} value
 * @returns {Position | null}
 */
export function position(value) {
  const { epoch, offset } = value ?? {};
  return typeof epoch === 'string' && count(offset) ? { epoch, offset } : null;
}

/**
 * @param {any} value
 * @returns {User | null}
 */
export function user(value) {
  const id = string(value?.id);
  return id ? { id, name: string(value.name) ?? '' } : null;
}

/**
 * @param {any} value
 * @returns {Said | null}
 */
export function message(value) {
  const { data, deleted, ts, type, version } = value ?? {};
  const [id, from] = [string(value?.id), user(value?.user)];
  if (type !== 'chat.message' || !id || !from) return null;
  return {
    id,
    clientId: string(value.client_id) ?? '',
    position: position(value.position),
    was: list(value.was).flatMap((older) => position(older) ?? []),
    first: position(value.first),
    ts: count(ts) && ts <= DATE_MAX ? ts : 0,
    user: from,
    text: string(value.text) ?? '',
    data,
    replyTo: string(value.reply_to),
    version: count(version) ? version : 1,
    deleted: deleted === true,
  };
}

/**
 * @param {any} value
 * @returns {Marks | null}
 */
export function marks(value) {
  const { counts, rev, mine } = value ?? {};
  if (!count(rev) || counts === null || typeof counts !== 'object') return null;
  const some = Object.entries(counts).filter(([, given]) => count(given));
  return { counts: new Map(some), rev, mine: Array.isArray(mine) ? mine.filter(string) : undefined };
}

/**
 * @param {any} value
 * @returns {any[]} empty when it is no list
 */
export function list(value) {
  return Array.isArray(value) ? value : [];
}

/** @param {any} value @returns {string | undefined} */
const string = (value) => (typeof value === 'string' ? value : undefined);

/**
 * @param {any} value
 * @returns {boolean} whether it is a number as the protocol has them
 */
export function count(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

// Past this a Date is none, and the first that formats it throws.
const DATE_MAX = 8.64e15;
