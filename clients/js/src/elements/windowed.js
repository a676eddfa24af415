// A long list of which only what is near the screen is in the document; two empty blocks stand for the rest.
//
// Heights are measured when an item is drawn and guessed before that. Whatever changes above, what the reader looks
// at stays where it is; a reader at the end stays at the end. Items are drawn and updated by whoever owns the list.

// Drawn beyond each edge of the screen, in screens: a flick meets what is there already.
const MARGIN = 1;
// This close to the end counts as reading along.
const NEAR_PX = 48;
// Positions are rounded, and what is less than this is not set right either: steps of any size add up to going away.
const HERE_PX = 1;
// A smooth scroll that is on its way when the reader asks for the end goes on for some time, whatever one sets.
const SCROLLS_ON_MS = 500;
const GUESS_PX = 56;
// A guess may have been too high, so that what was drawn does not fill the screen.
const PASSES_MAX = 4;

/**
 * What stands in the list. `passing`: a line about its neighbours, which stands elsewhere or not at all when others
 * come between them, so that it is nothing to hold on to.
 * @typedef {{key: string | number, passing?: boolean}} Listed
 */

/**
 * @template {Listed} Item
 * @typedef {object} Drawer
 * @property {(item: Item) => HTMLElement} draw a new element
 * @property {(element: HTMLElement, item: Item) => void} update
 * @property {() => void} moved the reader has scrolled, or what is on the screen has changed
 */

/** @template {Listed} Item */
export class Windowed {
  /** Whether the reader is at the end, and stays there. */
  following = true;
  #scroller;
  #drawer;
  #above = block();
  #below = block();
  /** @type {Item[]} */
  #items = [];
  /** @type {Map<Item['key'], HTMLElement>} those in the document */
  #drawn = new Map();
  /** @type {Map<Item['key'], number>} */
  #heights = new Map();
  #width = 0;
  #top = 0; // where the scroller was last known to stand
  #bound = -Infinity; // when the reader asked for the end
  #asked = false;
  #observer = new ResizeObserver(() => this.#resized());

  /**
   * @param {HTMLElement} scroller positioned, so that offsets count from it
   * @param {Drawer<Item>} drawer
   */
  constructor(scroller, drawer) {
    this.#scroller = scroller;
    this.#drawer = drawer;
    scroller.append(this.#above, this.#below);
    scroller.addEventListener('scroll', () => this.#soon(), { passive: true });
    this.#observer.observe(scroller);
  }

  /** How far the reader is from the beginning of the list, in screens. */
  get screensAbove() {
    return this.#scroller.scrollTop / Math.max(1, this.#scroller.clientHeight);
  }

  /** @param {Item['key']} key @returns {HTMLElement | undefined} */
  element(key) {
    return this.#drawn.get(key);
  }

  /** @param {Item['key']} key @returns {boolean} whether something of it is on the screen */
  isOnScreen(key) {
    const { clientHeight, scrollTop } = this.#scroller;
    const element = this.#drawn.get(key);
    return !!element && element.offsetTop < scrollTop + clientHeight && element.offsetTop + element.offsetHeight > scrollTop;
  }

  /** @param {Item[]} items in their order, each with a key of its own */
  show(items) {
    this.#follow();
    const anchor = this.#anchor();
    this.#items = items;
    this.#forget();
    for (const item of items) {
      const element = this.#drawn.get(item.key);
      if (element) this.#drawer.update(element, item);
    }
    this.#lay(anchor);
  }

  toEnd() {
    this.following = true;
    this.#bound = performance.now();
    this.#lay(null);
  }

  /**
   * Brings an item to the screen.
   * @param {Item['key']} key
   * @param {number} [at] where on the screen its top shall be, from 0 to 1; without it no further than is needed
   */
  reveal(key, at) {
    const { clientHeight, scrollTop } = this.#scroller;
    const element = this.#drawn.get(key);
    if (at === undefined && element) {
      const { offsetTop, offsetHeight } = element;
      if (offsetTop >= scrollTop && offsetTop + offsetHeight <= scrollTop + clientHeight) return;
      at = offsetTop < scrollTop ? 0 : Math.max(0, 1 - offsetHeight / clientHeight);
    }
    this.restore({ key, below: (at ?? 0) * clientHeight });
  }

  /** Where the reader is, for {@link restore}. @returns {{key: Item['key'], below: number} | null} null: at the end */
  place() {
    return this.#anchor();
  }

  /** @param {{key: Item['key'], below: number}} place */
  restore(place) {
    this.following = false;
    this.#lay(place);
    this.following = this.#scroller.clientHeight > 0 && this.#atEnd();
  }

  /** @param {number} near */
  #atEnd(near = NEAR_PX) {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < near;
  }

  // A reader may have moved already when something comes, and the browser tells of it later: who is pulled back to the
  // end in between is pulled back by every step of a smooth scroll, and never gets away.
  #follow() {
    const { scrollTop } = this.#scroller;
    if (scrollTop === this.#top || performance.now() < this.#bound + SCROLLS_ON_MS) return;
    // Whoever goes up is let go at once. A list that became shorter goes up as well, but stays at its end.
    this.following = this.#atEnd(scrollTop < this.#top ? HERE_PX : NEAR_PX);
    this.#top = scrollTop;
  }

  #resized() {
    const { clientWidth } = this.#scroller;
    if (clientWidth !== this.#width) this.#heights.clear();
    this.#width = clientWidth;
    this.#soon();
  }

  #soon() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#follow();
      this.#lay(this.#anchor());
    });
  }

  /** The first item on the screen that stays what it is, and how far below the screen's top it begins. */
  #anchor() {
    if (this.following) return null;
    const { scrollTop } = this.#scroller;
    for (const { key, passing } of this.#items) {
      const element = passing ? undefined : this.#drawn.get(key);
      if (element && element.offsetTop + element.offsetHeight > scrollTop) {
        return { key, below: element.offsetTop - scrollTop };
      }
    }
    return null;
  }

  /** @param {{key: Item['key'], below: number} | null} anchor */
  #lay(anchor) {
    if (this.#scroller.clientHeight === 0) return; // Not on any screen.
    for (let pass = 0; pass < PASSES_MAX; pass++) {
      const { from, to, above, below } = this.#range(anchor);
      this.#draw(from, to);
      const changed = this.#measure();
      size(this.#above, above);
      size(this.#below, below);
      this.#scroll(anchor);
      if (!changed) break;
    }
    this.#drawer.moved();
  }

  /**
   * What is near the screen, and the heights of what is not.
   * @param {{key: Item['key'], below: number} | null} anchor
   */
  #range(anchor) {
    const { clientHeight, scrollTop } = this.#scroller;
    const tops = [0];
    for (const { key } of this.#items) tops.push((tops.at(-1) ?? 0) + this.#height(key));
    const all = tops.at(-1) ?? 0;
    let top = Math.min(scrollTop, Math.max(0, all - clientHeight));
    const index = anchor ? this.#items.findIndex(({ key }) => key === anchor.key) : -1;
    if (this.following) top = all - clientHeight;
    else if (anchor && index >= 0) top = tops[index] - anchor.below;
    const from = tops.findIndex((_, at) => (tops[at + 1] ?? Infinity) > top - MARGIN * clientHeight);
    const past = tops.findIndex((begins) => begins > top + (1 + MARGIN) * clientHeight);
    const to = past < 0 ? this.#items.length : past;
    const first = Math.max(0, Math.min(from, to));
    return { from: first, to, above: tops[first], below: all - tops[to] };
  }

  /** @param {number} from @param {number} to */
  #draw(from, to) {
    const near = this.#items.slice(from, to);
    const keys = new Set(near.map(({ key }) => key));
    for (const [key, element] of this.#drawn) {
      if (keys.has(key)) continue;
      // Whoever stood in it by keyboard stays in the list.
      if (element.contains(active(element))) this.#scroller.focus({ preventScroll: true });
      this.#observer.unobserve(element);
      element.remove();
      this.#drawn.delete(key);
    }
    let next = this.#above.nextElementSibling;
    for (const item of near) {
      let element = this.#drawn.get(item.key);
      if (!element) {
        element = this.#drawer.draw(item);
        this.#drawn.set(item.key, element);
        this.#observer.observe(element);
      }
      if (element === next) next = next.nextElementSibling;
      else this.#scroller.insertBefore(element, next);
    }
  }

  // Heights of what has left the list are kept until they are as many as those in it.
  #forget() {
    if (this.#heights.size <= 2 * this.#items.length + this.#drawn.size) return;
    const keys = new Set(this.#items.map(({ key }) => key));
    for (const key of this.#heights.keys()) if (!keys.has(key)) this.#heights.delete(key);
  }

  #measure() {
    let changed = false;
    for (const [key, element] of this.#drawn) {
      const height = element.offsetHeight;
      changed ||= this.#heights.get(key) !== height;
      this.#heights.set(key, height);
    }
    return changed;
  }

  /** @param {{key: Item['key'], below: number} | null} anchor */
  #scroll(anchor) {
    const element = anchor && this.#drawn.get(anchor.key);
    let top = this.#scroller.scrollTop;
    if (this.following) top = this.#scroller.scrollHeight - this.#scroller.clientHeight;
    else if (element) top = element.offsetTop - anchor.below;
    if (Math.abs(top - this.#scroller.scrollTop) >= HERE_PX) this.#scroller.scrollTop = top;
    this.#top = this.#scroller.scrollTop;
  }

  /** @param {Item['key']} key */
  #height(key) {
    return this.#heights.get(key) ?? GUESS_PX;
  }
}

function block() {
  const made = document.createElement('div');
  made.setAttribute('aria-hidden', 'true');
  return made;
}

/** @param {HTMLElement} element @param {number} height */
function size(element, height) {
  element.style.blockSize = `${height}px`;
}

/** @param {HTMLElement} element */
function active(element) {
  return /** @type {Document | ShadowRoot} */ (element.getRootNode()).activeElement;
}
