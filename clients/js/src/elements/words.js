// What the elements say, in English and French. Plurals go by the language's own rules.

/**
 * @typedef {ReturnType<typeof english>} Words
 */

/** @param {Plural} plural */
const english = (plural) => ({
  messages: (/** @type {string} */ group) => `Messages in ${group}`,
  message: 'Message',
  messageIn: (/** @type {string} */ group) => `Message in ${group}`,
  tooLong: (/** @type {number} */ over) => plural(over, { one: `${over} character too many`, other: `${over} characters too many` }),
  send: 'Send',
  save: 'Save',
  cancel: 'Cancel',
  you: 'you',
  edited: 'edited',
  deleted: 'Message deleted',
  unreadable: 'Message not loaded',
  latest: 'Jump to latest',
  fresh: 'New messages',
  beginning: 'This is where the history begins.',
  loading: 'Loading earlier messages…',
  today: 'Today',
  yesterday: 'Yesterday',
  react: 'React',
  reply: 'Reply',
  edit: 'Edit',
  remove: 'Delete',
  removeSure: 'Delete it for all?',
  showAll: 'Show all',
  retry: 'Try again',
  discard: 'Give up',
  actions: 'What to do with this message',
  reaction: (/** @type {string} */ kind, /** @type {number} */ count) =>
    `${kind} ${plural(count, { one: `${count} person`, other: `${count} people` })}`,
  replyingTo: (/** @type {string} */ name) => `Reply to ${name}`,
  editing: 'Edit your message',
  typing: (/** @type {string[]} */ names, /** @type {string} */ listed) =>
    names.length > 3 ? 'Several people are writing…' : `${listed} ${names.length > 1 ? 'are' : 'is'} writing…`,
  said: (/** @type {string} */ name, /** @type {string} */ text) => `${name}: ${text}`,
  arrived: (/** @type {number} */ count) => plural(count, { one: `${count} new message`, other: `${count} new messages` }),
  states: { queued: 'Waiting to be sent', sending: 'Sending…', sent: 'Sent, so far on this server only', settled: 'Sent' },
  notSent: 'Not sent:',
  notEdited: 'Not edited:',
  notDeleted: 'Not deleted:',
  deleting: 'Deleting…',
  failures: {
    closed: 'the connection has ended',
    conflict: 'it was sent before with another text',
    expired: 'it waited too long',
    forbidden: 'you may not write here',
    internal: 'the server has made a mistake',
    new_identity: 'the server knows you as somebody else now',
    not_admitted: 'you may not enter it',
    not_found: 'it is not there any more',
    queue_full: 'too much waits already',
    too_large: 'it is too long',
    too_many_groups: 'you are in too many groups',
    unavailable: 'the server cannot be asked just now',
    undecided: 'whether it arrived cannot be known any more',
  },
  notJoined: 'This group cannot be joined:',
  lost: (/** @type {number} */ count) =>
    plural(count, { one: `${count} message was lost here`, other: `${count} messages were lost here` }),
  mayMiss: 'Some messages may be missing here',
  status: { connecting: 'Connecting', connected: 'Connected', reconnecting: 'Reconnecting', offline: 'Offline' },
  inSeconds: (/** @type {number} */ seconds) => `(${seconds} s)`,
  memory: 'One server',
  states_redis: {
    connecting: 'Redis: connecting',
    healthy: 'Cluster',
    suspect: 'Cluster, Redis slow',
    degraded: 'Redis away: this server only',
    healing: 'Redis: catching up',
  },
  alone: (/** @type {string} */ time) =>
    `Live only on this server since ${time}. Messages from other servers will appear when the link is back.`,
  caughtUp: (/** @type {number} */ count) =>
    `The link is back: ${plural(count, { one: `${count} message`, other: `${count} messages` })} caught up.`,
});

/** @type {(plural: Plural) => Words} */
const french = (plural) => ({
  messages: (group) => `Messages de ${group}`,
  message: 'Message',
  messageIn: (group) => `Message dans ${group}`,
  tooLong: (over) => plural(over, { one: `${over} caractère de trop`, other: `${over} caractères de trop` }),
  send: 'Envoyer',
  save: 'Enregistrer',
  cancel: 'Annuler',
  you: 'vous',
  edited: 'modifié',
  deleted: 'Message supprimé',
  unreadable: 'Message non chargé',
  latest: 'Aller au plus récent',
  fresh: 'Nouveaux messages',
  beginning: 'L’historique commence ici.',
  loading: 'Chargement des messages précédents…',
  today: 'Aujourd’hui',
  yesterday: 'Hier',
  react: 'Réagir',
  reply: 'Répondre',
  edit: 'Modifier',
  remove: 'Supprimer',
  removeSure: 'Supprimer pour tous ?',
  showAll: 'Tout afficher',
  retry: 'Réessayer',
  discard: 'Abandonner',
  actions: 'Que faire de ce message',
  reaction: (kind, count) => `${kind} ${plural(count, { one: `${count} personne`, other: `${count} personnes` })}`,
  replyingTo: (name) => `Réponse à ${name}`,
  editing: 'Modifiez votre message',
  typing: (names, listed) =>
    names.length > 3
      ? 'Plusieurs personnes écrivent…'
      : `${listed} ${names.length > 1 ? 'sont en train d’écrire' : 'est en train d’écrire'}…`,
  said: (name, text) => `${name} : ${text}`,
  arrived: (count) => plural(count, { one: `${count} nouveau message`, other: `${count} nouveaux messages` }),
  states: {
    queued: 'En attente d’envoi',
    sending: 'Envoi…',
    sent: 'Envoyé, pour l’instant sur ce serveur seulement',
    settled: 'Envoyé',
  },
  notSent: 'Non envoyé :',
  notEdited: 'Non modifié :',
  notDeleted: 'Non supprimé :',
  deleting: 'Suppression…',
  failures: {
    closed: 'la connexion est terminée',
    conflict: 'il a déjà été envoyé avec un autre texte',
    expired: 'il a attendu trop longtemps',
    forbidden: 'vous ne pouvez pas écrire ici',
    internal: 'le serveur s’est trompé',
    new_identity: 'le serveur vous connaît maintenant sous une autre identité',
    not_admitted: 'vous ne pouvez pas y entrer',
    not_found: 'il n’existe plus',
    queue_full: 'trop de messages attendent déjà',
    too_large: 'il est trop long',
    too_many_groups: 'vous êtes dans trop de groupes',
    unavailable: 'le serveur ne peut pas répondre pour l’instant',
    undecided: 'on ne peut plus savoir s’il est arrivé',
  },
  notJoined: 'Impossible de rejoindre ce groupe :',
  lost: (count) => plural(count, { one: `${count} message perdu ici`, other: `${count} messages perdus ici` }),
  mayMiss: 'Des messages manquent peut-être ici',
  status: { connecting: 'Connexion', connected: 'Connecté', reconnecting: 'Reconnexion', offline: 'Hors ligne' },
  inSeconds: (seconds) => `(${seconds} s)`,
  memory: 'Un seul serveur',
  states_redis: {
    connecting: 'Redis : connexion',
    healthy: 'Grappe',
    suspect: 'Grappe, Redis lent',
    degraded: 'Redis absent : ce serveur seulement',
    healing: 'Redis : rattrapage',
  },
  alone: (time) =>
    `En direct sur ce serveur seulement depuis ${time}. Les messages des autres serveurs viendront au retour du lien.`,
  caughtUp: (count) => `Le lien est rétabli : ${plural(count, { one: `${count} message rattrapé`, other: `${count} messages rattrapés` })}.`,
});

/** @typedef {(count: number, forms: {one: string, other: string}) => string} Plural */

const LANGUAGES = { en: english, fr: french };

/**
 * A language and what is said in it.
 * @param {string} wanted a language tag; English stands in for what we do not speak
 */
export function speak(wanted) {
  const language = wanted.toLowerCase().split('-')[0] === 'fr' ? 'fr' : 'en';
  // A tag that is none makes every Intl constructor throw.
  // A page says which language; which country's times and dates, its reader does.
  const nearest = navigator.languages?.find((one) => one.startsWith(`${wanted}-`)) ?? wanted;
  const [locale = language] = Intl.DateTimeFormat.supportedLocalesOf(/^[A-Za-z]{2,3}(-\w{2,8})*$/.test(nearest) ? nearest : language);
  const tag = locale.startsWith(language) ? locale : language;
  const rules = new Intl.PluralRules(tag);
  /** @type {Plural} */
  const plural = (count, { one, other }) => (rules.select(count) === 'one' ? one : other);
  return {
    words: LANGUAGES[language](plural),
    language: tag,
    time: new Intl.DateTimeFormat(tag, { timeStyle: 'short' }),
    day: new Intl.DateTimeFormat(tag, { weekday: 'long', day: 'numeric', month: 'long' }),
    exact: new Intl.DateTimeFormat(tag, { dateStyle: 'full', timeStyle: 'medium' }),
    list: new Intl.ListFormat(tag, { type: 'conjunction' }),
  };
}

/** @typedef {ReturnType<typeof speak>} Speech */
