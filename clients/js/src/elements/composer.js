// Where one writes: a new message, an answer to another, or other words for one's own. A draft survives a reload.

/** @import {Message} from '../timeline.js' */
/** @import {Words} from './words.js' */
import { button, hide, make, write } from './dom.js';
import { shortened } from './message.js';
import { sessionStore } from './share.js';

/**
 * @typedef {object} Desk
 * @property {(text: string, replyTo: string | undefined) => void} send
 * @property {(id: string, text: string) => void} edit
 * @property {() => void} typed somebody pressed a key
 * @property {() => void} editLast somebody wants to change what they said last
 * @property {() => void} leave somebody is done with writing
 */

export class Composer {
  root = make('form', 'composer');
  #words;
  #desk;
  #draftKey;
  #about = make('p', 'about');
  #aboutText = make('span');
  #field = make('textarea', 'field');
  #send = make('button', 'send');
  /** @type {{reply?: Message, edit?: Message}} */
  #mode = {};
  #kept = ''; // the draft that an edit has put aside

  /** @param {Words} words @param {string} draftKey @param {Desk} desk */
  constructor(words, draftKey, desk) {
    this.#words = words;
    this.#desk = desk;
    this.#draftKey = draftKey;
    this.#field.rows = 1;
    this.#field.placeholder = words.message;
    this.#field.setAttribute('aria-label', words.message);
    this.#field.enterKeyHint = 'send';
    this.#field.dir = 'auto';
    this.#about.append(this.#aboutText, ' ', button('', words.cancel, () => this.cancel()));
    this.root.append(this.#about, this.#field, this.#send);
    this.#field.value = readDraft(draftKey);
    this.root.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener('keydown', (event) => this.#key(event));
    this.#field.addEventListener('input', () => {
      if (!this.#mode.edit) keepDraft(draftKey, this.#field.value);
      if (this.#field.value.trim() !== '') desk.typed();
    });
    this.#show();
  }

  focus() {
    this.#field.focus();
  }

  /** @param {number} chars */
  set textMax(chars) {
    // The field counts UTF-16 units, of which a character has one at least.
    this.#field.maxLength = chars;
  }

  /** @param {Message} message */
  reply(message) {
    if (this.#mode.edit) this.cancel();
    this.#mode = { reply: message };
    this.#show();
    this.focus();
  }

  /** @param {Message} message */
  edit(message) {
    if (!this.#mode.edit) this.#kept = this.#field.value;
    this.#mode = { edit: message };
    this.#field.value = message.text;
    this.#show();
    this.focus();
  }

  cancel() {
    if (this.#mode.edit) this.#field.value = this.#kept;
    this.#mode = {};
    this.#show();
    this.focus();
  }

  #submit() {
    const text = this.#field.value.trim();
    const { edit, reply } = this.#mode;
    if (text === '') return;
    if (edit?.id) {
      this.cancel();
      if (text !== edit.text) this.#desk.edit(edit.id, text);
      return;
    }
    this.#mode = {};
    this.#field.value = '';
    keepDraft(this.#draftKey, '');
    this.#show();
    this.#desk.send(text, reply?.id);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // Enter that ends a composed character (Japanese, Chinese, …) is not yet meant for us. Safari says that the composing is over
    // before it tells of the key, and gives it the code of one that was used up.
    if (event.isComposing || event.keyCode === 229) return;
    const nothing = this.#field.value === '' && !this.#mode.edit;
    if (event.key === 'Enter' && !event.shiftKey) this.root.requestSubmit();
    else if (event.key === 'Escape' && (this.#mode.edit || this.#mode.reply)) this.cancel();
    else if (event.key === 'ArrowUp' && nothing) this.#desk.editLast();
    else return;
    event.preventDefault();
  }

  #show() {
    const { edit, reply } = this.#mode;
    const { words } = { words: this.#words };
    hide(this.#about, !edit && !reply);
    const answered = reply ? `${words.replyingTo(reply.user?.name ?? '')}: ${shortened(reply.text)}` : '';
    write(this.#aboutText, edit ? words.editing : answered);
    write(this.#send, edit ? words.save : words.send);
  }
}

/** @param {string} key */
function readDraft(key) {
  try {
    return sessionStore()?.getItem(key) ?? '';
  } catch {
    return '';
  }
}

/** @param {string} key @param {string} text */
function keepDraft(key, text) {
  try {
    if (text) sessionStore()?.setItem(key, text);
    else sessionStore()?.removeItem(key);
  } catch {
    // A full storage costs the draft at a reload, and nothing now.
  }
}
