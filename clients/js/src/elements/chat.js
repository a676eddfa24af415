// `<palabre-chat>`: a group's messages and the line to write one, in a shadow tree that a page styles by variables
// and parts.

/** @import {Client} from '../client.js' */
/** @import {Group} from '../group.js' */
/** @import {Message} from '../timeline.js' */
import { Composer } from './composer.js';
import { hide, make, write } from './dom.js';
import { HubElement } from './element.js';
import { Log } from './log.js';
import { sessionStore, showing } from './share.js';
import { CHAT_STYLE, style } from './style.js';

/**
 * `<palabre-chat>`: a group's messages and the line to write one.
 *
 * Attributes: `group`, its name; `hub`, the hub's address (where this script came from, unless it is given); `lang`,
 * `en` or `fr` (the page's, unless it is given). Parts and variables stand in docs/embed.md.
 */
export class PalabreChat extends HubElement {
  static observedAttributes = ['hub', 'group', 'lang'];

  /** @type {Group | null} */
  #group = null;
  /** @type {((message: Message) => Node | null | undefined) | null} */
  #render = null;
  /** @type {Log | null} */
  #log = null;

  /**
   * The group that is shown. What is set is its name, as by the attribute: frameworks set what an element has a property for.
   * @returns {Group | null}
   */
  get group() {
    return this.#group;
  }

  /** @param {string | null | undefined} name */
  set group(name) {
    if (name === null || name === undefined) this.removeAttribute('group');
    else this.setAttribute('group', name);
  }

  /**
   * Draws what stands below a message's head: give a node for what your application put into `data`, nothing for
   * the text as it is.
   * @returns {((message: Message) => Node | null | undefined) | null}
   */
  get render() {
    return this.#render;
  }

  set render(render) {
    this.#render = render;
    this.#log?.renew();
  }

  /**
   * @param {Client} client
   * @param {AbortSignal} signal
   * @protected
   */
  open(client, signal) {
    const name = this.getAttribute('group');
    try {
      this.#group = name ? client.group(name) : null;
    } catch (error) {
      this.#group = null;
      return this.#root().replaceChildren(refusal(`${this.speech.words.notJoined} ${name}`));
    }
    if (!this.#group) return this.shadowRoot?.replaceChildren();
    this.#show(client, this.#group, signal);
    if (!this.isShared) return;
    const hidden = showing(client, this.#group);
    // What begins anew shows the group again at once, and has not left it.
    signal.addEventListener('abort', () => queueMicrotask(hidden));
  }

  #root() {
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open', delegatesFocus: true });
    root.adoptedStyleSheets = [style(CHAT_STYLE)];
    return root;
  }

  /** @param {Client} client @param {Group} group @param {AbortSignal} signal */
  #show(client, group, signal) {
    const { speech } = this;
    const { words } = speech;
    const root = this.#root();
    const notice = refusal('');
    const typing = make('p', 'typing');
    const waits = (/** @type {string} */ type) =>
      client.queue.filter(({ frame }) => frame.type === type && frame.group === group.name);
    const log = new Log({
      speech,
      group,
      render: () => this.#render,
      amending: (id) => [...waits('chat.edit'), ...waits('chat.delete')].findLast(({ frame }) => frame.id === id),
      jump: (id) => void log.jump(id),
      seen: () => {
        if (!document.hidden && group.joined) group.read();
      },
      leave: () => composer.focus(),
      deeds: {
        react: ({ id, reacted }, kind) => settle(id && group.react(id, kind, !reacted.includes(kind))),
        reply: (message) => composer.reply(message),
        edit: (message) => composer.edit(message),
        remove: ({ id }) => {
          settle(id && group.delete(id));
          composer.focus();
        },
      },
    });
    this.#log = log;
    const composer = new Composer(words, group.name, {
      send: (text, replyTo) => {
        settle(group.send({ text, replyTo }));
        log.show();
        log.toEnd();
      },
      edit: ({ id, replyTo, data }, text) => settle(group.edit(id, { text, replyTo, data })),
      typed: () => group.type(),
      editLast: () => {
        const last = group.messages.findLast((entry) => entry.type === 'message' && entry.mine && entry.id && !entry.deleted);
        if (last?.type === 'message') composer.edit(last);
      },
    });
    const draw = onceAFrame(() => {
      if (signal.aborted) return;
      const { refusal: why } = group;
      const said = why && (words.failures[/** @type {'closed'} */ (why.code === 'forbidden' ? 'not_admitted' : why.code)] ?? why.message);
      write(notice, said ? `${words.notJoined} ${said}` : '');
      hide(notice, !why);
      const names = group.typing.map(({ name }) => name);
      const written = names.length > 0 ? words.typing(names, speech.list.format(names)) : '';
      write(typing, client.status === 'connected' ? written : words.status[client.status]);
      if (client.limits.text_chars) composer.textMax = client.limits.text_chars;
      composer.check((id) => group.find(id));
      log.show();
    });
    group.on('change', draw, { signal });
    group.on('typing', draw, { signal });
    group.on('message', ({ message }) => message.mine || log.announce(message), { signal });
    client.on('status', draw, { signal });
    const failed = new Set(client.queue.filter(({ state }) => state === 'failed').map(({ frame }) => frame.client_id));
    client.on('queue', ({ queue }) => {
      draw();
      for (const { frame, state } of queue) {
        if (state !== 'failed') failed.delete(frame.client_id);
        else if (frame.group === group.name && !failed.has(frame.client_id)) {
          failed.add(frame.client_id);
          log.alarm(frame.text ?? '');
        }
      }
    }, { signal });
    document.addEventListener('visibilitychange', () => {
      // What came meanwhile to who stands at the end begins with a line.
      if (!document.hidden && group.unread > 0 && log.atEnd) log.come();
      else draw();
    }, { signal });

    const writing = root.activeElement !== null;
    root.replaceChildren(notice, log.view, typing, composer.root, log.announced, log.alarmed);
    // Whoever was in the group that stood here is in this one.
    if (writing) composer.focus();
    this.#begin(group, log, signal);
    draw();
  }

  /** @param {Group} group @param {Log} log @param {AbortSignal} signal */
  async #begin(group, log, signal) {
    const place = new Place(group.name);
    globalThis.addEventListener('pagehide', () => place.keep(log.place()), { signal });
    signal.addEventListener('abort', () => {
      if (log.root.isConnected) place.keep(log.place());
      log.closed();
    });
    try {
      await group.join();
    } catch {
      return; // Why not stands in the notice, or the element is gone.
    }
    await log.come(place.take());
  }
}

/** @param {string} text */
function refusal(text) {
  const notice = make('p', 'notice', text);
  notice.setAttribute('role', 'alert');
  hide(notice, text === '');
  return notice;
}

// Where the reader was, over a reload.
class Place {
  #key;

  /** @param {string} group */
  constructor(group) {
    this.#key = `palabre:place:${group}`;
  }

  /** @param {{id: string, below: number} | null} place */
  keep(place) {
    try {
      if (place) sessionStore()?.setItem(this.#key, JSON.stringify(place));
      else sessionStore()?.removeItem(this.#key);
    } catch {
      // Then a reload begins at the end.
    }
  }

  /** @returns {{id: string, below: number} | null} */
  take() {
    try {
      const { id, below } = JSON.parse(sessionStore()?.getItem(this.#key) ?? 'null') ?? {};
      this.keep(null);
      return typeof id === 'string' && typeof below === 'number' ? { id, below } : null;
    } catch {
      return null;
    }
  }
}

/**
 * What became of it stands on the screen.
 * @param {any} promise
 */
function settle(promise) {
  Promise.resolve(promise).catch(() => {});
}

/** @param {() => void} draw */
function onceAFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    // A page that nobody sees is given no frames, and keeps what its title counts all the same.
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
