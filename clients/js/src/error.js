// Why something that was asked for was not done.

/**
 * Why something that was asked for was not done.
 *
 * `code` is one of the hub's (docs/protocol.md, "Errors"; `too_large` also before it goes out), or the client's own: `closed` (the client was closed, or
 * the hub wants it no more), `left` (the group was left), `queue_full`, `expired` (it waited too long),
 * `new_identity` (the hub knows this client as somebody else now, who did not
 * send it), `discarded`, `not_found` (there is nothing of that id to try again), `unauthorized` (from your `getToken`).
 */
export class PalabreError extends Error {
  /** Always `PalabreError`. */
  name = 'PalabreError';

  /**
   * @param {string} code one of those above
   * @param {string} [message] for people; the code, unless it is given
   */
  constructor(code, message = code) {
    super(message);
    this.code = code;
  }
}
