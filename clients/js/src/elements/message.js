// One message on the screen: who, when, what, what became of it, the reactions to it. User text enters as text alone.

/** @import {Queued} from '../client.js' */
/** @import {Group} from '../group.js' */
/** @import {Message} from '../timeline.js' */
/** @import {Speech} from './words.js' */
import { button, hide, make, write } from './dom.js';
import { linked } from './text.js';

// Repeating these would get the same answer for ever.
const FINAL = ['conflict', 'undecided', 'too_large', 'forbidden', 'bad_request', 'not_found'];
const QUOTE_CHARS = 120;
// What is longer is shown in part, until somebody wants all of it.
const FOLDED_LINES = 24;
const FOLDED_CHARS = 2_000;
// One to three, and nothing else: shown larger.
const EMOJI = /^\s*(\p{RI}{2}|\p{Extended_Pictographic}[\u{1f3fb}-\u{1f3ff}\ufe0f]*(\u200d\p{Extended_Pictographic}[\u{1f3fb}-\u{1f3ff}\ufe0f]*)*){1,3}\s*$/u;

/**
 * @typedef {object} Surface what a message needs of the chat around it
 * @property {Speech} speech
 * @property {Group} group
 * @property {() => ((message: Message) => Node | null | undefined) | null} render an application's own body
 * @property {(id: string) => Queued | undefined} amending an edit or deletion of the message that is not done yet
 * @property {(id: string) => void} jump to another message
 *
 * @typedef {object} MessageItem
 * @property {'message'} type
 * @property {string | number} key
 * @property {Message} message
 * @property {number} at when it was said, as far as is known, in ms since 1970
 * @property {boolean} goes whether it goes on with what its author said just before
 */

export class MessageView {
  root = make('article', 'message');
  /** @type {Message | undefined} */
  message;
  #surface;
  #author = make('b', 'author');
  #you;
  #time = make('time', 'time');
  #quote = button('quote', '', () => this.message?.replyTo && this.#surface.jump(this.message.replyTo));
  #quoted = make('span');
  #text = make('div', 'text');
  #all;
  #edited;
  #reactions = make('div', 'reactions');
  #state = make('span', 'state');
  #again = make('div', 'again');
  /** @type {Queued | undefined} */
  #amending;
  #drawn = { text: '', reactions: '' };
  #current = false;

  /** @param {Surface} surface */
  constructor(surface) {
    this.#surface = surface;
    const { words } = surface.speech;
    this.root.tabIndex = -1;
    this.#text.dir = this.#quoted.dir = 'auto';
    this.#quote.append(this.#quoted);
    this.#again.append(
      button('', words.retry, () => this.#tried((group, clientId) => group.retry(clientId))),
      button('', words.discard, () => this.#tried((group, clientId) => group.discard(clientId))),
    );
    this.#edited = make('span', 'edited', `(${words.edited})`);
    this.#all = button('all', words.showAll, () => {
      this.#text.classList.remove('folded');
      this.#hide(this.#all, true);
    });
    this.#you = make('span', 'you', words.you);
    const head = make('div', 'head', this.#author, ' ', this.#you, ' ', this.#time);
    this.root.append(head, this.#quote, this.#text, this.#all, this.#edited, this.#reactions, this.#state, this.#again);
  }

  /** @param {MessageItem} item */
  update({ message, at, goes }) {
    this.message = message;
    const { speech } = this.#surface;
    const { words } = speech;
    const { user, mine, ts, deleted, version, id } = message;
    const amending = (this.#amending = id === undefined ? undefined : this.#surface.amending(id));
    const { state, code } = amending ?? message;
    const text = amending?.frame.text ?? message.text;
    for (const [name, on] of Object.entries({ mine, goes, deleted })) this.root.classList.toggle(name, on);
    this.root.dataset.state = state;
    const name = user?.name || '…';
    write(this.#author, name);
    hide(this.#you, !mine);
    const iso = new Date(at).toISOString();
    if (this.#time.dateTime !== iso) {
      this.#time.dateTime = iso;
      write(this.#time, speech.time.format(at));
    }
    const isEdited = version > 1 && !deleted;
    this.#time.title = this.#text.title = isEdited ? `${words.edited}: ${speech.exact.format(ts)}` : speech.exact.format(at);
    hide(this.#edited, !isEdited);
    this.#write(message, text);
    this.#quotes(message);
    this.#react(message);
    const said = this.#stated(state, code);
    write(this.#state, mine ? said : '');
    // By keyboard one stands at the whole of it, and hears who said what, also where a head stands further up.
    const all = [words.said(name, deleted ? words.deleted : shortened(text)), this.#time.textContent];
    if (isEdited) all.push(words.edited);
    if (mine) all.push(said);
    this.root.setAttribute('aria-label', all.join(', '));
    this.#hide(this.#again, state !== 'failed');
    hide(/** @type {HTMLElement} */ (this.#again.firstChild), FINAL.includes(code ?? ''));
    this.current = this.#current;
  }

  /**
   * Whether Tab leads from here to what is in it. In all others it does not: they would be hundreds of stops.
   * @param {boolean} current
   */
  set current(current) {
    this.#current = current;
    const stops = [this.#quote, this.#all, ...this.#reactions.children, ...this.#text.querySelectorAll(':scope > a')];
    for (const stop of stops) /** @type {HTMLElement} */ (stop).tabIndex = current ? 0 : -1;
  }

  /** Draws its text anew, whatever was drawn. */
  renew() {
    this.#drawn.text = '';
  }

  /**
   * @param {string} state
   * @param {string | undefined} code
   */
  #stated(state, code) {
    const { words } = this.#surface.speech;
    const type = this.#amending?.frame.type;
    if (state !== 'failed') return type === 'chat.delete' ? words.deleting : words.states[/** @type {'sent'} */ (state)];
    const not = type === 'chat.edit' ? words.notEdited : type === 'chat.delete' ? words.notDeleted : words.notSent;
    return `${not} ${words.failures[/** @type {'closed'} */ (code)] ?? code}`;
  }

  /** @param {Message} message @param {string} text what is shown of it, which may be on its way */
  #write(message, text) {
    const { deleted, version } = message;
    const drawn = JSON.stringify([version, deleted, text]);
    if (this.#drawn.text === drawn) return;
    this.#drawn.text = drawn;
    const { words } = this.#surface.speech;
    const body = deleted ? words.deleted : (this.#own({ ...message, text }) ?? null);
    this.#text.classList.toggle('emoji', body === null && EMOJI.test(text));
    const isLong = body === null && (text.length > FOLDED_CHARS || text.split('\n', FOLDED_LINES + 1).length > FOLDED_LINES);
    this.#text.classList.toggle('folded', isLong);
    this.#hide(this.#all, !isLong);
    this.#text.replaceChildren(...(body === null ? linked(text) : [body]));
  }

  /** @param {Message} message */
  #own(message) {
    try {
      return this.#surface.render()?.(message);
    } catch (error) {
      console.error(error); // The application's fault, and no reason to lose what was said.
    }
  }

  /** @param {Message} message */
  #quotes({ replyTo, deleted }) {
    this.#hide(this.#quote, !replyTo || deleted);
    if (!replyTo) return;
    const { words } = this.#surface.speech;
    const answered = this.#surface.group.find(replyTo);
    const text = answered?.deleted ? words.deleted : (answered?.text ?? words.unreadable);
    write(this.#quoted, answered ? words.said(answered.user?.name ?? '', shortened(text)) : text);
  }

  /** @param {Message} message */
  #react({ id, reactions, reacted }) {
    const wanted = JSON.stringify([reactions, reacted]);
    if (this.#drawn.reactions === wanted) return;
    this.#drawn.reactions = wanted;
    const { group, speech } = this.#surface;
    // Buttons that stay keep their place and the focus.
    const kinds = Object.keys(reactions);
    for (const old of [...this.#reactions.children]) {
      if (kinds.includes(/** @type {HTMLElement} */ (old).dataset.kind ?? '')) continue;
      this.#hide(/** @type {HTMLElement} */ (old), true);
      old.remove();
    }
    for (const kind of kinds) {
      const known = [...this.#reactions.children].find((one) => /** @type {HTMLElement} */ (one).dataset.kind === kind);
      const made = /** @type {HTMLButtonElement | undefined} */ (known) ?? button('reaction', '', () => {
        const on = !this.message?.reacted.includes(kind);
        if (id) group.react(id, kind, on).catch(() => {}); // It shows itself taken back.
      });
      made.dataset.kind = kind;
      made.setAttribute('aria-pressed', String(reacted.includes(kind)));
      made.setAttribute('aria-label', speech.words.reaction(kind, reactions[kind]));
      write(made, `${kind} ${reactions[kind]}`);
      if (!known) this.#reactions.append(made);
    }
  }

  /**
   * Whoever is at what goes away, by keyboard, stays at the message.
   * @param {HTMLElement} element
   * @param {boolean} hidden
   */
  #hide(element, hidden) {
    if (hidden && element.matches(':focus-within')) this.root.focus({ preventScroll: true });
    hide(element, hidden);
  }

  /** @param {(group: Group, clientId: string) => any} act */
  async #tried(act) {
    if (!this.message) return;
    try {
      await act(this.#surface.group, this.#amending?.frame.client_id ?? this.message.clientId);
    } catch {
      // What came of it stands at the message.
    }
  }
}

/** @param {string} text */
export function shortened(text) {
  const line = text.replace(/\s+/g, ' ');
  return line.length > QUOTE_CHARS ? `${line.slice(0, QUOTE_CHARS).trimEnd()}…` : line;
}
