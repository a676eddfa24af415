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
 * @param {() => void} press
 */
export function button(name, text, press) {
  const element = make('button', name, text);
  element.type = 'button';
  element.addEventListener('click', press);
  return element;
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
