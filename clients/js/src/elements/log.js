// The messages of a group as they stand on the screen: days, notes and a line before what is new between them.
//
// The element with role `log` itself says nothing aloud, since older messages come into it as the reader scrolls;
// what is new is said by a line of its own, some at a time. Messages are no tab stops: the arrows walk from one to
// the next, and Tab leads from there to what can be done with it.

/** @import {Entry, Message, Note} from '../timeline.js' */
/** @import {Surface, MessageItem} from './message.js' */
import { button, hide, make, write } from './dom.js';
import { MessageView } from './message.js';
import { Tools } from './tools.js';
import { Windowed } from './windowed.js';

// What an author says within this goes on with what they said before.
const GOES_ON_MS = 300_000;
// Older messages are asked for this early, in screens.
const EARLY = 1;
const ANNOUNCE_EVERY_MS = 2_000;
const ANNOUNCED_MAX = 3; // messages that are read out whole; of more their number is
// A quoted message is looked for in so many pages of the past.
const JUMP_PAGES_MAX = 10;

/**
 * @typedef {{type: 'line', key: string, name: string, text: string, passing: true}} LineItem
 * @typedef {MessageItem | LineItem} Item
 */

export class Log {
  root = make('div', 'log');
  latest;
  announced = make('div', 'unseen');
  /** @type {Map<HTMLElement, MessageView>} */
  #views = new Map();
  /** @type {Windowed<Item>} */
  #list;
  /** @type {Surface & {deeds: import('./tools.js').Deeds, seen: () => void}} */
  #surface;
  #tools;
  /** @type {Item[]} */
  #items = [];
  /** @type {string | number | null} the first message that was new when the group was opened */
  #firstNew = null;
  /** @type {Message[]} */
  #news = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #announcing;

  /** @param {Surface & {deeds: import('./tools.js').Deeds, seen: () => void, leave: () => void}} surface */
  constructor(surface) {
    this.#surface = surface;
    const { words } = surface.speech;
    this.root.setAttribute('role', 'log');
    this.root.setAttribute('aria-live', 'off');
    this.root.setAttribute('aria-label', words.messages(surface.group.name));
    this.root.tabIndex = 0;
    this.announced.setAttribute('role', 'status');
    this.latest = button('latest', words.latest, () => this.toEnd());
    this.latest.hidden = true;
    this.#tools = new Tools(words, surface.deeds);
    this.#list = new Windowed(this.root, {
      draw: (item) => this.#draw(item),
      update: (element, item) => this.#update(element, item),
      moved: () => this.#moved(),
    });
    for (const type of ['pointerover', 'focusin']) this.root.addEventListener(type, (event) => this.#point(event));
    this.root.addEventListener('keydown', (event) => this.#key(event, surface.leave));
  }

  /** Draws what the group has now. */
  show() {
    this.#items = this.#arrange(this.#surface.group.messages);
    this.#list.show(this.#items);
  }

  /** A line stands before what came since this user has read; they are at it, not at the end. */
  markNew() {
    const { messages, unread } = this.#surface.group;
    const others = messages.filter((entry) => entry.type === 'message' && !entry.mine && !entry.deleted);
    const first = unread > 0 ? others.at(-unread) : undefined;
    this.#firstNew = first?.key ?? null;
    this.show();
    if (first && this.#items.length > 0) this.#list.reveal('new', 0.1);
  }

  toEnd() {
    this.#list.toEnd();
    this.#offer();
  }

  get atEnd() {
    return this.#list.following;
  }

  /** Where the reader is: a message's id. @returns {{id: string, below: number} | null} null: at the end */
  place() {
    const place = this.#list.place();
    const item = this.#items.find(({ key }) => key === place?.key);
    return place && item?.type === 'message' && item.message.id ? { id: item.message.id, below: place.below } : null;
  }

  /** @param {{id: string, below: number}} place */
  async restore({ id, below }) {
    const message = await this.#find(id);
    if (message) this.#list.restore({ key: message.key, below });
  }

  /** @param {string} id brings the message to the screen, if the history still has it */
  async jump(id) {
    const message = await this.#find(id);
    if (!message) return;
    this.#list.reveal(message.key, 0.3);
    this.#list.element(message.key)?.focus({ preventScroll: true });
  }

  /** @param {Message} message somebody's, that has just come */
  announce(message) {
    this.#news.push(message);
    // The same again is said again: a line that does not change is not.
    if (!this.#announcing) write(this.announced, '');
    this.#announcing ??= setTimeout(() => this.#say(), ANNOUNCE_EVERY_MS);
  }

  closed() {
    clearTimeout(this.#announcing);
  }

  #say() {
    this.#announcing = undefined;
    const { words } = this.#surface.speech;
    const news = this.#news.splice(0);
    const whole = news.map(({ user, text }) => words.said(user?.name ?? '', text)).join('\n');
    write(this.announced, news.length > ANNOUNCED_MAX ? words.arrived(news.length) : whole);
  }

  /** @param {string} id @returns {Promise<Message | undefined>} */
  async #find(id) {
    const { group } = this.#surface;
    try {
      for (let page = 0; page < JUMP_PAGES_MAX && !this.#shown(id) && group.hasOlder; page++) {
        await group.loadOlder({ limit: 100 });
        this.show();
      }
    } catch {
      return undefined; // The hub does not answer now; the reader stays where they are.
    }
    return this.#shown(id);
  }

  /** @param {string} id */
  #shown(id) {
    const item = this.#items.find((one) => one.type === 'message' && one.message.id === id);
    return item?.type === 'message' ? item.message : undefined;
  }

  /**
   * @param {Entry[]} entries
   * @returns {Item[]}
   */
  #arrange(entries) {
    const { speech, group } = this.#surface;
    const top = group.hasOlder ? speech.words.loading : speech.words.beginning;
    /** @type {Item[]} */
    const items = group.position || entries.length > 0 ? [line('top', 'top', top)] : [];
    const day = { from: 0, to: 0 };
    /** @type {Message | undefined} */
    let before;
    for (const entry of entries) {
      if (entry.type === 'note') {
        items.push(line(`note-${entry.key}`, 'note', this.#noted(entry)));
        before = undefined;
        continue;
      }
      // Thousands of entries are arranged again and again: a calendar is asked once a day.
      if (entry.ts < day.from || entry.ts >= day.to) {
        const date = new Date(entry.ts);
        day.from = date.setHours(0, 0, 0, 0);
        day.to = date.setDate(date.getDate() + 1);
        items.push(line(`day-${entry.key}`, 'day', dayName(new Date(entry.ts), speech)));
        before = undefined;
      }
      if (entry.key === this.#firstNew) {
        items.push(line('new', 'new', speech.words.fresh));
        before = undefined;
      }
      const goes = before?.user?.id === entry.user?.id && before?.user?.name === entry.user?.name && entry.ts - (before?.ts ?? 0) < GOES_ON_MS && !entry.replyTo;
      items.push({ type: 'message', key: entry.key, message: entry, goes: before !== undefined && goes });
      before = entry;
    }
    return items;
  }

  /** @param {Note} note */
  #noted({ lost, reason }) {
    const { words } = this.#surface.speech;
    const said = lost ? words.lost(lost) : words.mayMiss;
    return reason ? `${said} (${reason})` : said;
  }

  /** @param {Item} item */
  #draw(item) {
    if (item.type === 'line') return make('p', `line ${item.name}`, item.text);
    const view = new MessageView(this.#surface);
    this.#views.set(view.root, view);
    view.update(item);
    return view.root;
  }

  /** @param {HTMLElement} element @param {Item} item */
  #update(element, item) {
    if (item.type === 'line') return write(element, item.text);
    this.#views.get(element)?.update(item);
    if (item.message.deleted) this.#tools.leave(element);
  }

  #moved() {
    const { group, seen } = this.#surface;
    for (const element of this.#views.keys()) if (!element.isConnected) this.#views.delete(element);
    this.#offer();
    if (this.#list.following) seen();
    if (group.hasOlder && group.joined && this.#list.screensAbove < EARLY) {
      group.loadOlder().catch(() => {}); // The next scroll asks again.
    }
  }

  // The way to the end is offered to who is elsewhere. Whoever took it by keyboard is in the list then.
  #offer() {
    if (this.#list.following && this.latest.matches(':focus')) this.root.focus({ preventScroll: true });
    hide(this.latest, this.#list.following);
  }

  /** @param {Event} event */
  #point({ target, type }) {
    // Messages move under a pointer that rests; whoever is in the toolbar by keyboard keeps it.
    if (type === 'pointerover' && this.#tools.root.matches(':focus-within')) return;
    const element = /** @type {Element} */ (target).closest('article');
    const view = element && this.#views.get(element);
    if (view?.message) this.#tools.at(view.root, view.message);
  }

  /** @param {KeyboardEvent} event @param {() => void} leave */
  #key(event, leave) {
    const at = /** @type {Element} */ (event.target);
    const element = at.closest('article');
    const message = element && this.#views.get(element)?.message;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { deeds } = this.#surface;
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step) this.#walk(message, step);
    else if (event.key === 'Escape' && message) this.#back(at === element ? leave : () => element.focus());
    else if (at !== element || !message?.id || message.deleted) return;
    else if (event.key === 'r') deeds.reply(message);
    else if (event.key === 'e' && message.mine) deeds.edit(message);
    else if (event.key === '+') this.#tools.react();
    else if (event.key === 'Delete') this.#tools.remove();
    else return;
    event.preventDefault();
  }

  /** A step back: what was asked with a message's tools is not asked any more. @param {() => void} step */
  #back(step) {
    step();
    this.#tools.rest();
  }

  /** @param {Message | null | undefined} from @param {number} step */
  #walk(from, step) {
    const messages = this.#items.filter((item) => item.type === 'message');
    const index = from ? messages.findIndex(({ key }) => key === from.key) + step : messages.length - 1;
    const { key } = messages[Math.max(0, Math.min(index, messages.length - 1))] ?? {};
    if (key === undefined) return;
    this.#list.reveal(key);
    this.#list.element(key)?.focus({ preventScroll: true });
  }
}

/** @param {string} key @param {string} name @param {string} text @returns {LineItem} */
function line(key, name, text) {
  return { type: 'line', key, name, text, passing: true };
}

/** @param {Date} date @param {import('./words.js').Speech} speech */
function dayName(date, { words, day }) {
  const now = new Date();
  if (date.toDateString() === now.toDateString()) return words.today;
  now.setDate(now.getDate() - 1);
  return date.toDateString() === now.toDateString() ? words.yesterday : day.format(date);
}
