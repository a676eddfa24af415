// What the page keeps between visits: the open groups, the language, the colours. A browser may refuse its storage,
// even by throwing when it is merely looked at; then the next visit begins anew, and nothing else changes.

const PREFIX = 'palabre.page.';

function read(key) {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

function write(key, text) {
  try {
    localStorage.setItem(PREFIX + key, text);
  } catch {
    // Refused, or full.
  }
}

export const keep = {
  /** @param {string[]} names */
  groups: (names) => write('groups', JSON.stringify(names)),
  /** @param {string} language */
  language: (language) => write('language', language),
  /** @param {string} theme */
  theme: (theme) => write('theme', theme),
};

export const recall = {
  /** @returns {string[]} */
  groups() {
    try {
      const names = JSON.parse(read('groups') ?? '[]');
      return Array.isArray(names) ? names.map(String) : [];
    } catch {
      return []; // Somebody else wrote there.
    }
  },
  language: () => (['en', 'fr'].includes(read('language')) ? read('language') : null),
  theme: () => (['light', 'dark'].includes(read('theme')) ? read('theme') : ''),
  /** A tab's own storage, for messages that wait over a reload. */
  get session() {
    try {
      return sessionStorage;
    } catch {
      return null;
    }
  },
};
