// One message on the screen: who, when, what, what became of it, the reactions to it. User text enters as text alone.

/** @import {Message} from '../timeline.js' */
/** @import {Group} from '../group.js' */
/** @import {Speech} from './words.js' */
import { button, hide, make, write } from './dom.js';
import { linked } from './text.js';

// Repeating these would get the same answer for ever.
const FINAL = ['conflict', 'undecided', 'too_large', 'forbidden', 'bad_request'];
const QUOTE_CHARS = 120;
// One to three, and nothing else: shown larger.
const EMOJI = /^\s*(\p{Extended_Pictographic}[\u{1f3fb}-\u{1f3ff}\ufe0f]*(\u200d\p{Extended_Pictographic}[\u{1f3fb}-\u{1f3ff}\ufe0f]*)*){1,3}\s*$/u;

/**
 * @typedef {object} Surface what a message needs of the chat around it
 * @property {Speech} speech
 * @property {Group} group
 * @property {((message: Message) => Node | null | undefined) | null} render an application's own body
 * @property {(id: string) => void} jump to another message
 *
 * @typedef {object} MessageItem
 * @property {'message'} type
 * @property {string | number} key
 * @property {Message} message
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
  #text = make('div', 'text');
  #reactions = make('div', 'reactions');
  #state = make('span', 'state');
  #again = make('div', 'again');
  #drawn = { version: -1, reactions: '', quote: '' };

  /** @param {Surface} surface */
  constructor(surface) {
    this.#surface = surface;
    const { words } = surface.speech;
    this.root.tabIndex = -1;
    this.#text.dir = this.#quote.dir = 'auto';
    this.#again.append(
      button('', words.retry, () => this.#tried((group, clientId) => group.retry(clientId))),
      button('', words.discard, () => this.#tried((group, clientId) => group.discard(clientId))),
    );
    this.#you = make('span', 'you', words.you);
    const head = make('div', 'head', this.#author, ' ', this.#you, ' ', this.#time);
    this.root.append(head, this.#quote, this.#text, this.#reactions, this.#state, this.#again);
  }

  /** @param {MessageItem} item */
  update({ message, goes }) {
    this.message = message;
    const { speech } = this.#surface;
    const { words } = speech;
    const { user, mine, ts, state, code, deleted, version } = message;
    for (const [name, on] of Object.entries({ mine, goes, deleted })) this.root.classList.toggle(name, on);
    this.root.dataset.state = state;
    write(this.#author, user?.name || '…');
    hide(this.#you, !mine);
    const iso = new Date(ts).toISOString();
    if (this.#time.dateTime !== iso || this.#drawn.version !== version) {
      this.#time.dateTime = iso;
      this.#time.title = speech.exact.format(ts);
      write(this.#time, version > 1 && !deleted ? `${speech.time.format(ts)} (${words.edited})` : speech.time.format(ts));
    }
    if (this.#drawn.version !== version) this.#write(message);
    this.#drawn.version = version;
    this.#quoted(message);
    this.#react(message);
    const failed = state === 'failed';
    const said = failed ? `${words.notSent} ${words.failures[/** @type {'closed'} */ (code)] ?? code}` : words.states[state];
    write(this.#state, mine ? said : '');
    this.#hide(this.#again, !failed);
    hide(/** @type {HTMLElement} */ (this.#again.firstChild), FINAL.includes(code ?? ''));
  }

  /** @param {Message} message */
  #write(message) {
    if (message.deleted) return this.#text.replaceChildren(this.#surface.speech.words.deleted);
    let own;
    try {
      own = this.#surface.render?.(message);
    } catch (error) {
      console.error(error); // The application's fault, and no reason to lose what was said.
    }
    this.#text.classList.toggle('emoji', !own && EMOJI.test(message.text));
    this.#text.replaceChildren(...(own ? [own] : linked(message.text)));
  }

  /** @param {Message} message */
  #quoted({ replyTo, deleted }) {
    this.#hide(this.#quote, !replyTo || deleted);
    if (!replyTo) return;
    const { words } = this.#surface.speech;
    const answered = this.#surface.group.find(replyTo);
    const text = answered?.deleted ? words.deleted : (answered?.text ?? words.unreadable);
    write(this.#quote, answered ? words.said(answered.user?.name ?? '', shortened(text)) : text);
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
      await act(this.#surface.group, this.message.clientId);
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
