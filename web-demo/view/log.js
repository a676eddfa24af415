// The messages of the open group. Each entry keeps its element for as long as it lives, so a screen reader says a
// message once and a selection survives what comes after. User text enters the page as text only.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const NEAR_PX = 48; // this close to the end counts as reading along

const FAILED = {
  conflict: 'it was sent before with another text',
  forbidden: 'you may not write here',
  left: 'you left the group',
  new_identity: 'the hub knows you under a new name',
  offline: 'no connection',
  rate_limited: 'too many at once',
  too_large: 'it is too long',
  unavailable: 'the hub cannot take it now',
  undecided: 'whether it arrived cannot be known any more',
};
// Repeating these would get the same answer for ever.
const FINAL = ['conflict', 'undecided', 'too_large', 'forbidden'];

/** The element with role `log`, kept equal to a room's list. */
export class Log {
  #log;
  #latest;
  #retry;
  #parts = new Map();

  /**
   * @param {HTMLElement} log
   * @param {HTMLButtonElement} latest takes the reader back to the end
   * @param {(clientId: string) => void} retry
   */
  constructor(log, latest, retry) {
    this.#log = log;
    this.#latest = latest;
    this.#retry = retry;
    latest.addEventListener('click', () => this.toEnd());
    log.addEventListener('scroll', () => this.#atEnd() && (latest.hidden = true), { passive: true });
  }

  /** Another group is shown from here on. */
  clear() {
    this.#parts.clear();
    this.#log.replaceChildren();
    this.#latest.hidden = true;
  }

  toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#latest.hidden = true;
  }

  /**
   * @param {import('../hub/room.js').Entry[]} entries
   * @param {string | undefined} me our own user id
   */
  show(entries, me) {
    const follow = this.#atEnd();
    const keys = new Set(entries.map(({ key }) => key));
    for (const [key, { root }] of this.#parts) {
      if (keys.has(key)) continue;
      root.remove();
      this.#parts.delete(key);
    }
    let next = this.#log.firstChild;
    let grew = false;
    for (const entry of entries) {
      const known = this.#parts.get(entry.key);
      const parts = known ?? this.#make(entry);
      grew ||= !known;
      if (!entry.note) this.#fill(parts, entry, me);
      if (parts.root === next) next = next.nextSibling;
      else this.#log.insertBefore(parts.root, next);
    }
    if (follow) this.toEnd();
    else if (grew) this.#latest.hidden = false;
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  #make(entry) {
    const parts = { root: make('article', 'message') };
    this.#parts.set(entry.key, parts);
    if (entry.note) {
      const lost = entry.note.lost > 0 ? `Messages lost here: ${entry.note.lost}` : 'Some messages may be missing here';
      parts.root = make('p', 'note', entry.note.reason ? `${lost} (${entry.note.reason})` : lost);
      return Object.assign(this.#parts.get(entry.key), parts);
    }
    for (const [name, tag] of [['author', 'b'], ['time', 'time'], ['state', 'span'], ['text', 'p']]) {
      parts[name] = make(tag, name);
    }
    parts.root.append(parts.author, ' ', parts.time, ' ', parts.state, parts.text);
    return parts;
  }

  #fill(parts, { user, ts, text, deleted, state, code, place, clientId }, me) {
    const mine = !user || user.id === me;
    parts.root.classList.toggle('mine', mine);
    parts.root.dataset.state = state;
    write(parts.author, mine ? `${user?.name ?? ''} (you)`.trim() : user.name);
    const iso = new Date(ts).toISOString();
    if (parts.time.dateTime !== iso) {
      parts.time.dateTime = iso;
      write(parts.time, CLOCK.format(ts));
      parts.time.title = new Date(ts).toLocaleString();
    }
    write(parts.text, deleted ? 'Message deleted' : text);
    const words = {
      pending: 'Sending…',
      sent: place ? 'Sent' : 'Sent, so far on this node only',
      failed: `Not sent: ${FAILED[code] ?? code}`,
    };
    write(parts.state, mine ? words[state] : '');
    const again = state === 'failed' && !FINAL.includes(code);
    if (again && !parts.again) {
      parts.again = make('button', 'again', 'Try again');
      parts.again.addEventListener('click', () => this.#retry(clientId));
      parts.root.append(parts.again);
    } else if (!again && parts.again) {
      parts.again.remove();
      parts.again = null;
    }
  }
}

function make(tag, name, text = '') {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

// A node that is written is announced again, so only a change is written.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
