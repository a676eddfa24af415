// Who is in a group: the list that the hub gave, kept up to date by what it tells of who comes and goes.
//
// The hub tells at most once a second, leaves it out for a client that does not keep up, and gives no names above
// 500 members. So a list that does not agree with the number is asked for again.

/** @import {User} from './frames.js' */
import { count, list, user } from './frames.js';

export class Members {
  /** @type {number | null} how many, once it is known */
  occupancy = null;
  /** @type {Map<string, User> | null} by id; null while they are not known, or too many to be named */
  #users = null;

  /** @returns {User[] | null} in no order that means anything; null while they are not known, or too many to be named */
  list() {
    return this.#users && [...this.#users.values()];
  }

  /** @param {any} occupancy */
  count(occupancy) {
    if (count(occupancy)) this.occupancy = occupancy;
  }

  /**
   * The hub's answer to who is there.
   * @param {any} answer
   */
  answered({ occupancy, members }) {
    this.count(occupancy);
    this.#users = members ? byId(members) : null;
  }

  /**
   * What the hub tells of who came and went.
   * @param {any} told
   * @returns {boolean} whether the list is to be asked for again
   */
  told({ occupancy, joined, left }) {
    this.count(occupancy);
    if (!(this.#users ?? joined ?? left)) return false; // Too many to be named, before as now.
    const users = (this.#users ??= new Map());
    for (const [id, one] of byId(joined)) users.set(id, one);
    for (const id of byId(left).keys()) users.delete(id);
    return users.size !== this.occupancy;
  }
}

/**
 * @param {any} users
 * @returns {Map<string, User>}
 */
function byId(users) {
  return new Map(list(users).flatMap((one) => {
    const some = user(one);
    return some ? [[some.id, some]] : [];
  }));
}
