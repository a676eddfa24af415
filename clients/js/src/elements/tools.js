// What may be done with a message: one toolbar, which goes to whichever message is pointed at or has the focus.

/** @import {Message} from '../timeline.js' */
/** @import {Words} from './words.js' */
import { button, hide, make, write } from './dom.js';

const KINDS = ['👍', '❤️', '😂', '🎉', '😮', '😢'];

/**
 * @typedef {object} Deeds
 * @property {(message: Message, kind: string) => void} react
 * @property {(message: Message) => void} reply
 * @property {(message: Message) => void} edit
 * @property {(message: Message) => void} remove
 */

export class Tools {
  root = make('div', 'tools');
  /** @type {Message | undefined} */
  #message;
  #words;
  #deeds;
  #kinds;
  #edit;
  #remove;

  /** @param {Words} words @param {Deeds} deeds */
  constructor(words, deeds) {
    this.#words = words;
    this.#deeds = deeds;
    this.root.setAttribute('role', 'group');
    this.root.setAttribute('aria-label', words.actions);
    const act = (/** @type {keyof Omit<Deeds, 'react'>} */ deed) => () => this.#message && deeds[deed](this.#message);
    this.#kinds = make('div', 'kinds', ...KINDS.map((kind) => {
      const made = button('kind', kind, () => this.#react(kind));
      made.setAttribute('aria-label', `${words.react} ${kind}`);
      return made;
    }));
    this.#edit = button('tool', words.edit, act('edit'));
    this.#remove = button('tool', words.remove, () => this.remove());
    const opener = button('tool', words.react, () => this.react());
    this.root.append(this.#kinds, opener, button('tool', words.reply, act('reply')), this.#edit, this.#remove);
    this.rest();
  }

  /**
   * @param {HTMLElement} element the message's
   * @param {Message} message
   */
  at(element, message) {
    const usable = message.id !== undefined && !message.deleted;
    if (!usable) {
      this.leave(element);
      return this.away();
    }
    if (this.#message !== message) this.rest();
    this.#message = message;
    hide(this.#edit, !message.mine);
    hide(this.#remove, !message.mine);
    if (this.root.parentNode !== element) element.append(this.root);
  }

  /** @param {HTMLElement} element a message that nothing can be done with any more */
  leave(element) {
    if (this.root.parentNode !== element) return;
    if (this.root.matches(':focus-within')) element.focus({ preventScroll: true });
    this.away();
  }

  away() {
    this.#message = undefined;
    this.root.remove();
  }

  /** Offers the reactions. */
  react() {
    hide(this.#kinds, !this.#kinds.hidden);
    if (!this.#kinds.hidden) /** @type {HTMLElement} */ (this.#kinds.firstChild).focus();
  }

  /** Asks once whether it is meant, then does it. */
  remove() {
    if (!this.#message?.mine) return;
    if (this.#remove.dataset.sure) {
      this.#deeds.remove(this.#message);
      this.rest();
    } else {
      this.#remove.dataset.sure = 'asked';
      write(this.#remove, this.#words.removeSure);
      this.#remove.focus();
    }
  }

  /** @param {string} kind */
  #react(kind) {
    if (this.#message) this.#deeds.react(this.#message, kind);
    this.root.closest('article')?.focus();
    this.rest();
  }

  /** Nothing is offered and nothing asked any more. */
  rest() {
    hide(this.#kinds, true);
    delete this.#remove.dataset.sure;
    write(this.#remove, this.#words.remove);
  }
}
