// Small helpers for elements that are made once and written when something changed.

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [name] class and, for styles from outside, part
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, name = '', ...children) {
  const element = document.createElement(tag);
  if (name) {
    element.className = name;
    element.part.add(...name.split(' '));
  }
  element.append(...children);
  return element;
}

/**
 * @param {string} name
 * @param {string} text
 * @param {(event: MouseEvent) => void} press
 */
export function button(name, text, press) {
  const element = make('button', name, text);
  element.type = 'button';
  element.addEventListener('click', press);
  return element;
}

/**
 * A button that shows a sign instead of words; they are its name, and to be seen when it is pointed at.
 * @param {string} name
 * @param {string} words
 * @param {string} strokes of the sign, on a field of 24 by 24
 * @param {(event: MouseEvent) => void} press
 */
export function signed(name, words, strokes, press) {
  const made = button(name, '', press);
  sign(made, words, strokes);
  return made;
}

/**
 * @param {HTMLButtonElement} button
 * @param {string} words
 * @param {string} strokes
 */
export function sign(button, words, strokes) {
  const [image, path] = ['svg', 'path'].map((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag));
  image.setAttribute('viewBox', '0 0 24 24');
  image.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', strokes);
  image.append(path);
  button.title = words;
  button.setAttribute('aria-label', words);
  button.replaceChildren(image);
}

/**
 * A node that is written is announced again, and loses a selection: only a change is written.
 * @param {Element} element
 * @param {string} text
 */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {HTMLElement} element
 * @param {boolean} hidden
 */
export function hide(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}
