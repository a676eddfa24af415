// What the page itself says; the elements have words of their own.

const WORDS = {
  en: {
    language: 'Language',
    theme: 'Colours',
    auto: 'Automatic',
    light: 'Light',
    dark: 'Dark',
    menu: 'Groups and settings',
    groups: 'Groups',
    name: 'Your name',
    set: 'Set',
    joinGroup: 'Join a group',
    groupName: 'Letters, digits, dot, dash and underscore',
    join: 'Join',
    leave: 'Leave',
    nowhere: 'No group: join one by its name',
    news: (count) => `${count} new`,
    here: { one: '{} person here', other: '{} people here' },
    ended: (code) => `The hub ended the connection (${code}). Reload the page to try again.`,
  },
  fr: {
    language: 'Langue',
    theme: 'Couleurs',
    auto: 'Automatiques',
    light: 'Claires',
    dark: 'Sombres',
    menu: 'Groupes et réglages',
    groups: 'Groupes',
    name: 'Votre nom',
    set: 'Changer',
    joinGroup: 'Rejoindre un groupe',
    groupName: 'Lettres, chiffres, point, tiret et tiret bas',
    join: 'Rejoindre',
    leave: 'Quitter',
    nowhere: 'Aucun groupe : rejoignez-en un par son nom',
    news: (count) => (count === '1' ? '1 nouveau' : `${count} nouveaux`),
    here: { one: '{} personne ici', other: '{} personnes ici' },
    ended: (code) => `Le serveur a mis fin à la connexion (${code}). Rechargez la page pour réessayer.`,
  },
};

/**
 * @param {string} language `en` or `fr`
 * @returns {typeof WORDS.en}
 */
export function words(language) {
  return WORDS[language] ?? WORDS.en;
}

/**
 * @param {string} language
 * @param {number} count
 * @param {{one: string, other: string}} forms
 */
export function counted(language, count, forms) {
  const form = new Intl.PluralRules(language).select(count) === 'one' ? forms.one : forms.other;
  return form.replace('{}', new Intl.NumberFormat(language).format(count));
}

/**
 * Writes the page's own words where its elements ask for them.
 * @param {string} language
 */
export function translate(language) {
  const said = words(language);
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll('[data-word]')) element.textContent = said[element.dataset.word];
  for (const element of document.querySelectorAll('[data-title]')) element.title = said[element.dataset.title];
  for (const element of document.querySelectorAll('[data-label]')) element.ariaLabel = said[element.dataset.label];
}
