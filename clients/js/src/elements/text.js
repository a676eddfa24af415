// A message's text as nodes: words stay words, and what is a web address becomes a link that gives nothing away.

// What turns the direction of writing would show an address as another one.
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gi;
// What ends a sentence ends no address; nor does a bracket that was opened before it.
const AFTER = /[.,;:!?…]+$/;

/**
 * @param {string} text
 * @returns {(string | HTMLAnchorElement)[]}
 */
export function linked(text) {
  /** @type {(string | HTMLAnchorElement)[]} */
  const nodes = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = trimmed(found);
    if (!URL.canParse(address)) continue;
    const { host, username } = new URL(address);
    // What stands before an @ looks like the place that it leads to.
    if (username !== '') continue;
    const link = document.createElement('a');
    link.href = address;
    // Letters of other alphabets look like those of a name that is known: then the name that is asked for stands beside.
    link.textContent = address.toLowerCase().includes(host) ? address : `${address} (${host})`;
    link.target = '_blank';
    link.rel = 'noopener noreferrer nofollow ugc';
    nodes.push(text.slice(from, index), link);
    from = index + address.length;
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== '');
}

/** @param {string} address */
function trimmed(address) {
  let rest = address.replace(AFTER, '');
  while (/[)\]}]$/.test(rest) && unopened(rest)) rest = rest.slice(0, -1).replace(AFTER, '');
  return rest;
}

/** @param {string} text whether its last character closes what was not opened in it */
function unopened(text) {
  const close = text.at(-1) ?? '';
  const open = { ')': '(', ']': '[', '}': '{' }[close] ?? '';
  return text.split(open).length < text.split(close).length;
}
