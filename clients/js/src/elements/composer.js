// Where one writes: a new message, an answer to another, or other words for one's own. What is begun survives a reload.

/** @import {Message} from '../timeline.js' */
/** @import {Words} from './words.js' */
import { button, hide, make, write } from './dom.js';
import { shortened } from './message.js';
import { sessionStore } from './share.js';

/**
 * @typedef {object} Desk
 * @property {(text: string, replyTo: string | undefined) => void} send
 * @property {(edited: Edited, text: string) => void} edit
 * @property {() => void} typed somebody pressed a key
 * @property {() => void} editLast somebody wants to change what they said last
 */

/**
 * What an edit replaces, and what of it stays: an edit is the whole message anew.
 * @typedef {Pick<Message, 'text' | 'replyTo' | 'data'> & {id: string}} Edited
 *
 * What an answer answers.
 * @typedef {{id: string, name: string, text: string}} Answered
 *
 * What is begun. `aside`: the text that an edit has put aside.
 * @typedef {{text: string, aside?: string, reply?: Answered, edit?: Edited}} Draft
 */

export class Composer {
  root = make('form', 'composer');
  #words;
  #desk;
  #key;
  #about = make('p', 'about');
  #aboutText = make('span');
  #field = make('textarea', 'field');
  #excess = make('p', 'excess');
  #send = make('button', 'send');
  #textMax = Infinity;
  /** @type {Draft} */
  #draft;

  /** @param {Words} words @param {string} group @param {Desk} desk */
  constructor(words, group, desk) {
    this.#words = words;
    this.#desk = desk;
    this.#key = `palabre:draft:${group}`;
    this.#draft = recall(this.#key);
    this.#field.rows = 1;
    this.#field.placeholder = words.message;
    this.#field.setAttribute('aria-label', words.messageIn(group));
    this.#field.setAttribute('aria-describedby', 'about excess');
    this.#field.enterKeyHint = 'send';
    this.#field.dir = this.#aboutText.dir = 'auto';
    this.#about.id = 'about';
    this.#excess.id = 'excess';
    this.#excess.setAttribute('role', 'status');
    this.#about.append(this.#aboutText, ' ', button('', words.cancel, () => this.cancel()));
    this.root.append(this.#about, this.#field, this.#send, this.#excess);
    this.#field.value = this.#draft.text;
    this.root.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener('keydown', (event) => this.#pressed(event));
    this.#field.addEventListener('input', () => {
      this.#change({ ...this.#draft, text: this.#field.value });
      if (this.#field.value.trim() !== '') desk.typed();
    });
    this.#show();
  }

  focus() {
    this.#field.focus();
  }

  /** @param {number} chars more than these are not sent */
  set textMax(chars) {
    if (this.#textMax === chars) return;
    this.#textMax = chars;
    this.#show();
  }

  /** @param {Message} message one that has an id */
  reply({ id = '', user, text }) {
    if (this.#draft.edit) this.cancel();
    this.#change({ text: this.#field.value, reply: { id, name: user?.name ?? '', text: shortened(text) } });
    this.focus();
  }

  /** @param {Message} message an own one that has an id */
  edit({ id = '', text, replyTo, data }) {
    const { aside = this.#draft.text } = this.#draft;
    this.#change({ text, aside, edit: { id, text, replyTo, data } });
    this.focus();
  }

  /** Back to a new message, with what was written of one. */
  cancel() {
    this.#change({ text: this.#draft.edit ? (this.#draft.aside ?? '') : this.#draft.text });
    this.focus();
  }

  /** @param {(id: string) => Message | undefined} find what is edited may be gone meanwhile: the words stay, as a message's */
  check(find) {
    const { edit, text } = this.#draft;
    if (edit && find(edit.id)?.deleted) this.#change({ text });
  }

  #submit() {
    const text = this.#field.value.trim();
    const { edit, reply } = this.#draft;
    if (text === '' || this.#over(text) > 0) return;
    if (edit) {
      this.cancel();
      if (text !== edit.text) this.#desk.edit(edit, text);
      return;
    }
    this.#change({ text: '' });
    // On a phone the keyboard goes with the focus.
    this.focus();
    this.#desk.send(text, reply?.id);
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    // Enter that ends a composed character (Japanese, Chinese, …) is not yet meant for us. Safari says that the composing is over
    // before it tells of the key, and gives it the code of one that was used up.
    if (event.isComposing || event.keyCode === 229) return;
    const { edit, reply } = this.#draft;
    if (event.key === 'Enter' && !event.shiftKey) this.root.requestSubmit();
    else if (event.key === 'Escape' && (edit || reply)) this.cancel();
    else if (event.key === 'ArrowUp' && this.#field.value === '' && !edit) this.#desk.editLast();
    else return;
    event.preventDefault();
  }

  /** @param {Draft} draft */
  #change(draft) {
    this.#draft = draft;
    keep(this.#key, draft);
    this.#show();
  }

  /** @param {string} text @returns {number} characters that are too many */
  #over(text) {
    // A character has one or two units: only what may be too long is counted.
    return text.length > this.#textMax ? [...text].length - this.#textMax : 0;
  }

  #show() {
    const { edit, reply, text } = this.#draft;
    const words = this.#words;
    if (this.#field.value !== text) this.#field.value = text;
    hide(this.#about, !edit && !reply);
    const answered = reply ? `${words.replyingTo(reply.name)}: ${reply.text}` : '';
    write(this.#aboutText, edit ? words.editing : answered);
    write(this.#send, edit ? words.save : words.send);
    const over = this.#over(text.trim());
    write(this.#excess, over > 0 ? words.tooLong(over) : '');
    hide(this.#excess, over <= 0);
    this.#field.setAttribute('aria-invalid', String(over > 0));
  }
}

/** @param {string} key @returns {Draft} */
function recall(key) {
  try {
    const { text, aside, reply, edit } = JSON.parse(sessionStore()?.getItem(key) ?? '{}');
    return { text: String(text ?? ''), aside, reply, edit };
  } catch {
    return { text: '' }; // There is no storage, or somebody else wrote there.
  }
}

/** @param {string} key @param {Draft} draft */
function keep(key, draft) {
  try {
    if (draft.text || draft.reply || draft.edit) sessionStore()?.setItem(key, JSON.stringify(draft));
    else sessionStore()?.removeItem(key);
  } catch {
    // A full storage costs the draft at a reload, and nothing now.
  }
}
