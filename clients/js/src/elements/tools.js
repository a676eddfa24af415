// What may be done with a message: one toolbar, which goes to whichever message is pointed at or has the focus.

/** @import {Message} from '../timeline.js' */
/** @import {Words} from './words.js' */
import { button, hide, make, sign, signed } from './dom.js';

const KINDS = ['👍', '❤️', '😂', '🎉', '😮', '😢'];
// A face, an arrow back, a pencil, a bin.
const SIGNS = {
  react: 'M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18zM8 14.5q4 4 8 0M9 9.5v.01M15 9.5v.01',
  reply: 'M10 5l-6 6 6 6M4 11h10q6 0 6 8',
  edit: 'M4 20h4L20 8l-4-4L4 16zM14 6l4 4',
  remove: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5',
};

/**
 * @typedef {object} Deeds
 * @property {(message: Message, kind: string) => void} react
 * @property {(message: Message) => void} reply
 * @property {(message: Message) => void} edit
 * @property {(message: Message) => void} remove
 */

export class Tools {
  root = make('div');
  #bar = make('div', 'tools');
  /** @type {Message | undefined} */
  #message;
  #words;
  #deeds;
  #kinds;
  #opener;
  #edit;
  #remove;

  /** @param {Words} words @param {Deeds} deeds */
  constructor(words, deeds) {
    this.#words = words;
    this.#deeds = deeds;
    this.root.className = 'beside';
    this.root.append(this.#bar);
    this.#bar.setAttribute('role', 'group');
    this.#bar.setAttribute('aria-label', words.actions);
    const act = (/** @type {keyof Omit<Deeds, 'react'>} */ deed) => () => this.#message && deeds[deed](this.#message);
    this.#kinds = make('div', 'kinds', ...KINDS.map((kind) => {
      const made = button('kind', kind, () => this.#react(kind));
      made.setAttribute('aria-label', `${words.react} ${kind}`);
      return made;
    }));
    this.#edit = signed('tool', words.edit, SIGNS.edit, act('edit'));
    this.#remove = signed('tool', words.remove, SIGNS.remove, (event) => event.detail > 1 || this.remove()); // A double click asks once.
    this.#opener = signed('tool', words.react, SIGNS.react, () => this.react());
    this.#bar.append(this.#kinds, this.#opener, signed('tool', words.reply, SIGNS.reply, act('reply')), this.#edit, this.#remove);
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
    if (this.root.parentNode !== element) element.prepend(this.root);
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
    this.#offer(this.#kinds.hidden === true);
    if (!this.#kinds.hidden) /** @type {HTMLElement} */ (this.#kinds.firstChild).focus();
  }

  /** @param {boolean} offered */
  #offer(offered) {
    hide(this.#kinds, !offered);
    this.#opener.setAttribute('aria-expanded', String(offered));
  }

  /** Asks once whether it is meant, then does it. */
  remove() {
    if (!this.#message?.mine) return;
    if (this.#remove.dataset.sure) {
      this.#deeds.remove(this.#message);
      this.rest();
    } else {
      this.#remove.dataset.sure = 'asked';
      this.#remove.setAttribute('aria-label', this.#words.removeSure);
      this.#remove.replaceChildren(this.#words.removeSure);
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
    this.#offer(false);
    if (!this.#remove.dataset.sure) return;
    delete this.#remove.dataset.sure;
    sign(this.#remove, this.#words.remove, SIGNS.remove);
  }
}
