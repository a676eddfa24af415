// Typed events: `on` gives back what ends the listening, so that nobody has to keep the function itself.

/**
 * @template {Record<string, any>} Events names and what their listeners are given
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(detail: any) => void>>} */
  #listeners = new Map();

  /**
   * Listens until the function that it returns is called, or `signal` aborts. One function listens once.
   * @template {keyof Events} Type
   * @param {Type} type
   * @param {(detail: Events[Type]) => void} listener
   * @param {{signal?: AbortSignal}} [options]
   * @returns {() => void} ends the listening
   */
  on(type, listener, { signal } = {}) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners);
    const off = () => {
      listeners.delete(listener);
      signal?.removeEventListener('abort', off);
    };
    if (!signal?.aborted) listeners.add(listener);
    signal?.addEventListener('abort', off);
    return off;
  }

  /**
   * @template {keyof Events} Type
   * @param {Type} type
   * @param {Events[Type]} detail
   * @internal
   */
  emit(type, detail) {
    for (const listener of this.#listeners.get(type) ?? []) {
      try {
        listener(detail);
      } catch (error) {
        // The fault is the listener's: it is told of as if nobody had caught it, and the others hear the event.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /**
   * @param {keyof Events} type
   * @returns {boolean} whether anybody listens
   * @internal
   */
  heard(type) {
    return (this.#listeners.get(type)?.size ?? 0) > 0;
  }
}
