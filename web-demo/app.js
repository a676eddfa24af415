// The page: which groups one is in, which of them is open, and who one is. The rest is done by the two elements.
//
// The open group is the one in the address, so a link leads to a group. Every change marks the page as stale; it is
// drawn once a frame, however much happened.

import '/palabre-elements.js';
import { createClient } from '/palabre.js';
import { showGroups } from './groups.js';
import { keep, recall } from './keep.js';
import { counted, translate, words } from './words.js';

const GROUP = /^[A-Za-z0-9._-]{1,99}$/;
const SEEN = 'seen'; // the state of an entry of the browser's history whose group was open

const at = (id) => document.getElementById(id);
const client = createClient({ url: location.origin, queueStorage: recall.session });
/** @type {Map<string, import('/palabre.js').Group>} those that one is in, in the order of joining */
const groups = new Map();
let language = 'en';
let current = null;
let stale = false;
let ended = ''; // why the hub does not want us back, if so

function redraw() {
  if (stale) return;
  stale = true;
  requestAnimationFrame(draw);
}

function draw() {
  stale = false;
  const said = words(language);
  const news = [...groups.values()].reduce((sum, { unread }) => sum + unread, 0);
  showGroups(at('groups'), groups.values(), current, said);
  document.title = `${news > 0 ? `(${news}) ` : ''}${current ? `${current} · ` : ''}Palabre`;
  at('room').textContent = current ? `# ${current}` : said.nowhere;
  at('leave').hidden = at('chat').hidden = current === null;
  at('notice').hidden = ended === '';
  if (at('notice').textContent !== ended) at('notice').textContent = ended;
  at('name').placeholder = client.user?.name ?? '';
  showPeople(groups.get(current));
}

function showPeople(group) {
  at('people').hidden = !group || group.occupancy === null;
  if (!group || group.occupancy === null) return;
  at('occupancy').textContent = counted(language, group.occupancy, words(language).here);
  const names = (group.members ?? []).map(({ name }) => name).sort((a, b) => a.localeCompare(b, language));
  at('members').replaceChildren(...names.map((name) => Object.assign(document.createElement('li'), { textContent: name })));
}

function enter(name) {
  if (groups.has(name)) return;
  const group = client.group(name);
  groups.set(name, group);
  group.on('change', redraw);
  group.join().catch(() => {}); // Why not stands where the messages would.
}

const addressed = () => location.hash.slice(1) || ([...groups.keys()][0] ?? 'lobby');

/** The address has changed: by a link, by hand, or by going back. */
function follow() {
  // Whoever left a group does not join it again by going back to where it was open.
  if (history.state === SEEN && !groups.has(addressed())) readdress(current);
  else open();
}

/** Another group, or none, takes the place of the one in the address. @param {string | null} name */
function readdress(name) {
  history.replaceState(SEEN, '', name ? `#${name}` : location.pathname);
}

function open() {
  const name = addressed();
  show(GROUP.test(name) ? name : 'lobby');
}

/** @param {string} name */
function show(name) {
  current = name;
  history.replaceState(SEEN, '');
  enter(name);
  at('chat').setAttribute('group', name);
  at('people').open = false;
  if (!wide.matches) at('side').open = false;
  keep.groups([...groups.keys()]);
  redraw();
}

function rename() {
  const name = at('name').value.trim();
  if (name !== client.name) client.rename(name);
}

function choose(wanted) {
  language = wanted;
  at('language').value = wanted;
  translate(wanted);
  for (const id of ['chat', 'status']) at(id).setAttribute('lang', wanted);
  redraw();
}

function paint(theme) {
  at('theme').value = theme;
  document.documentElement.dataset.theme = theme;
}

client.on('status', ({ status, code }) => {
  ended = status === 'offline' ? words(language).ended(code ?? '') : '';
  redraw();
});
client.on('user', () => {
  // A name that the hub does not take is asked for no more.
  if (client.name === '') at('name').value = '';
  redraw();
});

at('name').value = client.name;
at('name').addEventListener('change', rename);
at('name-form').addEventListener('submit', (event) => {
  event.preventDefault();
  rename();
});
at('join-form').addEventListener('submit', (event) => {
  event.preventDefault();
  location.hash = at('group').value;
  at('group').value = '';
  at('chat').focus();
});
at('leave').addEventListener('click', () => {
  groups.get(current).leave();
  groups.delete(current);
  keep.groups([...groups.keys()]);
  const [next] = groups.keys();
  readdress(next ?? null);
  if (next) {
    show(next);
  } else {
    current = null;
    at('chat').removeAttribute('group');
    // There is no group to leave any more, and one thing left to do.
    at('side').open = true;
    at('group').focus();
  }
  redraw();
});
at('people').addEventListener('toggle', () => {
  if (at('people').open) groups.get(current)?.watchMembers().then(redraw, () => {});
});
// As a menu does: Escape closes it, and so does a look elsewhere.
at('people').addEventListener('keydown', ({ key }) => {
  if (key !== 'Escape') return;
  at('people').open = false;
  at('occupancy').focus();
});
addEventListener('pointerdown', ({ target }) => {
  if (!at('people').contains(target)) at('people').open = false;
});
at('language').addEventListener('change', () => {
  keep.language(at('language').value);
  choose(at('language').value);
});
at('theme').addEventListener('change', () => {
  keep.theme(at('theme').value);
  paint(at('theme').value);
});
addEventListener('hashchange', follow);
// A phone's screen is the messages'; where there is room beside them, the rest stands open.
const wide = matchMedia('(min-width: 640px)');
const spread = () => (at('side').open = wide.matches);
wide.addEventListener('change', spread);
spread();

paint(recall.theme());
choose(recall.language() ?? (navigator.language.startsWith('fr') ? 'fr' : 'en'));
for (const name of recall.groups()) if (GROUP.test(name)) enter(name);
for (const id of ['chat', 'status']) at(id).client = client;
open();
client.connect();
