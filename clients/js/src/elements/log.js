// The messages of a group as they stand on the screen: days, notes and a line before what is new between them.
//
// The element with role `log` itself says nothing aloud, since older messages come into it as the reader scrolls;
// what is new is said by a line of its own, some at a time. Messages are no tab stops: the arrows walk from one to
// the next, and Tab leads from there to what can be done with it.

/** @import {Entry, Message, Note} from '../timeline.js' */
/** @import {Surface, MessageItem} from './message.js' */
import { button, hide, make, write } from './dom.js';
import { MessageView, shortened } from './message.js';
import { Tools } from './tools.js';
import { Windowed } from './windowed.js';

// What an author says within this goes on with what they said before.
const GOES_ON_MS = 300_000;
// Older messages are asked for this early, in screens.
const EARLY = 1;
const ANNOUNCE_EVERY_MS = 2_000;
const ANNOUNCED_MAX = 3; // messages that are read out whole; of more their number is
// What is looked for, a quoted message or the first unread one, is looked for in so many pages of the past.
const PAGES_MAX = 10;

/** @type {WeakMap<import('../group.js').Group, Log>} of several logs of a group in a page one says aloud what is new */
const announcers = new WeakMap();

/**
 * @typedef {{type: 'line', key: string, name: string, text: string, passing: true}} LineItem
 * @typedef {MessageItem | LineItem} Item
 */

export class Log {
  /** The messages, and over them the way to the latest. */
  view = make('div', 'view');
  root = make('div', 'log');
  latest;
  announced = make('div', 'unseen');
  alarmed = make('div', 'unseen');
  /** @type {Map<HTMLElement, MessageView>} */
  #views = new Map();
  /** @type {Windowed<Item>} */
  #list;
  /** @type {Surface & {deeds: import('./tools.js').Deeds, seen: () => void}} */
  #surface;
  #tools;
  /** @type {Item[]} */
  #items = [];
  /** @type {string | number | null} the first message that was new when the reader came */
  #firstNew = null;
  /** Whether the reader has their place: nothing is read before. */
  #placed = false;
  /** @type {MessageView | undefined} the one to whose parts Tab leads */
  #current;
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
    this.alarmed.setAttribute('role', 'alert');
    this.latest = button('latest', words.latest, () => this.toEnd());
    this.latest.hidden = true;
    this.view.append(this.root, this.latest);
    this.#tools = new Tools(words, surface.deeds);
    this.#list = new Windowed(this.root, {
      draw: (item) => this.#draw(item),
      update: (element, item) => this.#update(element, item),
      moved: () => this.#moved(),
    });
    for (const type of ['pointerover', 'focusin']) this.root.addEventListener(type, (event) => this.#point(event));
    this.root.addEventListener('pointerleave', () => this.#tools.root.matches(':focus-within') || this.#tools.away());
    if (!announcers.has(surface.group)) announcers.set(surface.group, this);
    this.root.addEventListener('keydown', (event) => this.#key(event, surface.leave));
  }

  /** Draws what the group has now. */
  show() {
    this.#items = this.#arrange(this.#surface.group.messages);
    this.#list.show(this.#items);
  }

  /** Draws it with other bodies. */
  renew() {
    for (const view of this.#views.values()) view.renew();
    this.show();
  }

  /**
   * The reader comes, or comes back: a line stands before what came since they have read, and they are at it, not at the end;
   * or where they were when they left.
   * @param {{id: string, below: number} | null} [left]
   */
  async come(left = null) {
    this.#placed = false;
    const { group } = this.#surface;
    const isBehind = group.unread > 0;
    const others = () => group.messages.filter((entry) => entry.type === 'message' && !entry.mine && !entry.deleted);
    if (isBehind) {
      await this.#back(() => others().length >= group.unread);
      // More may have come meanwhile. What is older than all that could be brought is not known to be read either.
      const first = group.unread > 0 ? (others().at(-group.unread) ?? others()[0]) : undefined;
      this.#firstNew = first?.key ?? null;
    }
    const message = left && (await this.#find(left.id));
    this.show();
    if (left && message) this.#list.restore({ key: message.key, below: left.below });
    else if (isBehind && this.#items.some(({ key }) => key === 'new')) this.#list.reveal('new', 0.1);
    this.#placed = true;
    this.show();
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

  /** @param {string} id brings the message to the screen, if the history still has it */
  async jump(id) {
    const message = await this.#find(id);
    if (!message) return;
    this.#list.reveal(message.key, 0.3);
    const element = this.#list.element(message.key);
    element?.focus({ preventScroll: true });
    element?.classList.add('found');
    element?.addEventListener('animationend', () => element.classList.remove('found'), { once: true });
  }

  /** @param {Message} message somebody's, that has just come */
  announce(message) {
    if (announcers.get(this.#surface.group) !== this) return;
    this.#news.push(message);
    // The same again is said again: a line that does not change is not.
    if (!this.#announcing) write(this.announced, '');
    this.#announcing ??= setTimeout(() => this.#say(), ANNOUNCE_EVERY_MS);
  }

  /** @param {string} text what one has written, and what has failed; what it was and why stands at the message */
  alarm(text) {
    const { notSent } = this.#surface.speech.words;
    write(this.alarmed, '');
    write(this.alarmed, `${notSent} ${shortened(text)}`);
  }

  closed() {
    clearTimeout(this.#announcing);
    if (announcers.get(this.#surface.group) === this) announcers.delete(this.#surface.group);
  }

  #say() {
    this.#announcing = undefined;
    const { words } = this.#surface.speech;
    const news = this.#news.splice(0).filter(({ deleted }) => !deleted);
    const whole = news.map(({ user, text }) => words.said(user?.name ?? '', shortened(text))).join('\n');
    write(this.announced, news.length > ANNOUNCED_MAX ? words.arrived(news.length) : whole);
  }

  /** @param {string} id @returns {Promise<Message | undefined>} */
  async #find(id) {
    const shown = () => {
      const item = this.#items.find((one) => one.type === 'message' && one.message.id === id);
      return item?.type === 'message' ? item.message : undefined;
    };
    this.show();
    await this.#back(() => shown() !== undefined);
    return shown();
  }

  /** Brings older messages until it is enough. @param {() => boolean} enough */
  async #back(enough) {
    const { group } = this.#surface;
    try {
      for (let page = 0; page < PAGES_MAX && !enough() && group.hasOlder; page++) {
        await group.loadOlder({ limit: 100 });
        this.show();
      }
    } catch {
      // The hub does not answer now; the reader has what is here.
    }
  }

  /**
   * @param {Entry[]} entries
   * @returns {Item[]}
   */
  #arrange(entries) {
    const { speech, group } = this.#surface;
    const top = group.hasOlder ? speech.words.loading : speech.words.beginning;
    /** @type {Item[]} */
    const items = group.position ? [line('top', 'top', top)] : [];
    const times = said(entries);
    const day = { from: 0, to: 0 };
    /** @type {Message | undefined} */
    let before;
    for (const [index, entry] of entries.entries()) {
      const at = times[index];
      if (entry.type === 'note') {
        items.push(line(`note-${entry.key}`, 'note', this.#noted(entry)));
        before = undefined;
        continue;
      }
      // Thousands of entries are arranged again and again: a calendar is asked once a day.
      if (at < day.from || at >= day.to) {
        const date = new Date(at);
        day.from = date.setHours(0, 0, 0, 0);
        day.to = date.setDate(date.getDate() + 1);
        items.push(line(`day-${entry.key}`, 'day', dayName(new Date(at), speech)));
        before = undefined;
      }
      if (entry.key === this.#firstNew) {
        items.push(line('new', 'new', speech.words.fresh));
        before = undefined;
      }
      const goes = goesOn(before?.user, entry) && at - (times[index - 1] ?? 0) < GOES_ON_MS;
      items.push({ type: 'message', key: entry.key, message: entry, at, goes });
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
    if (this.#placed && this.#list.following) seen();
    if (group.hasOlder && group.joined && this.#list.screensAbove < EARLY) {
      group.loadOlder().catch(() => {}); // The next scroll asks again.
    }
  }

  // The way to the end is offered to who is elsewhere. Whoever took it by keyboard is in the list then.
  #offer() {
    if (this.#list.following && this.latest.matches(':focus')) this.root.focus({ preventScroll: true });
    const { group, speech } = this.#surface;
    write(this.latest, group.unread > 0 ? speech.words.arrived(group.unread) : speech.words.latest);
    hide(this.latest, this.#list.following);
  }

  /** @param {any} event */
  #point({ target, type, pointerType }) {
    // Messages move under a pointer that rests; whoever is in the toolbar by keyboard keeps it. A finger points by pressing: a
    // button that came under it would be pressed as well, so that the tools come with the focus.
    const isPointer = type === 'pointerover';
    if (isPointer && (pointerType === 'touch' || this.#tools.root.matches(':focus-within'))) return;
    const element = /** @type {Element} */ (target).closest('article');
    const view = element && this.#views.get(element);
    if (!view?.message) return;
    this.#tools.at(view.root, view.message);
    if (isPointer || view === this.#current) return;
    if (this.#current) this.#current.current = false;
    this.#current = view;
    view.current = true;
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
    else if (event.key === 'Escape' && message) this.#stepBack(at === element ? leave : () => element.focus());
    else if (at !== element || !message?.id || message.deleted) return;
    else if (event.key === 'r') deeds.reply(message);
    else if (event.key === 'e' && message.mine) deeds.edit(message);
    else if (event.key === '+') this.#tools.react();
    else if (event.key === 'Delete' || event.key === 'Backspace') this.#tools.remove();
    else return;
    event.preventDefault();
  }

  /** A step back: what was asked with a message's tools is not asked any more. @param {() => void} step */
  #stepBack(step) {
    step();
    this.#tools.rest();
  }

  /** @param {Message | null | undefined} from @param {number} step */
  #walk(from, step) {
    const messages = this.#items.filter((item) => item.type === 'message');
    // Who comes from the list as a whole begins at what they see of it.
    const seen = messages.filter(({ key }) => this.#list.isOnScreen(key));
    const first = (step < 0 ? seen.at(-1) : seen[0]) ?? messages.at(-1);
    const index = messages.findIndex(({ key }) => key === (from ?? first)?.key) + (from ? step : 0);
    const { key } = messages[Math.max(0, Math.min(index, messages.length - 1))] ?? {};
    if (key === undefined) return;
    this.#list.reveal(key);
    this.#list.element(key)?.focus({ preventScroll: true });
  }
}

/**
 * When each was said, as far as is known: of what was edited the time is the edit's, and it was said before what follows it.
 * @param {Entry[]} entries
 * @returns {number[]} ms since 1970; of notes it means nothing
 */
function said(entries) {
  const times = [];
  let next = Infinity;
  for (const entry of entries.toReversed()) {
    const at = entry.type === 'note' ? next : entry.version > 1 ? Math.min(entry.ts, next) : entry.ts;
    times.push(at);
    next = at;
  }
  return times.reverse();
}

/** @param {Message['user'] | undefined} before who said what stands above @param {Message} message */
function goesOn(before, { user, replyTo }) {
  return !!before && before.id === user?.id && before.name === user.name && !replyTo;
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
