// The page: ties the hub to the document. The open group is the one in the address, so a link leads to a group.
//
// Events of the hub mark the screen as stale; it is drawn once a frame, however many messages came.

import { Hub } from './hub.js';
import { showConnection, showLayer } from './view/badges.js';
import { showGroups } from './view/groups.js';
import { Log } from './view/log.js';

const GROUPS_KEY = 'palabre.groups';
const GROUP = /^[A-Za-z0-9._-]{1,99}$/;

const at = (id) => document.getElementById(id);
const hub = new Hub({ url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws` });
const log = new Log(at('log'), at('latest'), (clientId) => hub.retry(current, clientId).catch(shown));
const unread = new Map();
let current = null;
let stale = false;
let ended = ''; // why the hub does not want us back, if so

// A refused message says so where it stands, so its promise has nothing to add.
function shown() {}

function redraw() {
  if (stale) return;
  stale = true;
  requestAnimationFrame(draw);
}

function draw() {
  stale = false;
  const room = hub.rooms.get(current);
  showGroups(at('groups'), hub.rooms.keys(), current, unread);
  const news = [...unread.values()].reduce((sum, count) => sum + count, 0);
  document.title = `${news > 0 ? `(${news}) ` : ''}${current ? `${current} · ` : ''}Palabre`;
  at('room').textContent = current ? `# ${current}` : 'No group: join one by its name';
  at('leave').hidden = at('composer').hidden = !room;
  const notice = ended || (room?.refusal ? `This group cannot be joined: ${room.refusal}` : '');
  at('notice').hidden = notice === '';
  if (at('notice').textContent !== notice) at('notice').textContent = notice;
  if (!room) return log.clear();
  log.show(room.list(), hub.user?.id);
  // History is not read out: only what comes after it is news to somebody who listens.
  if (room.joined) requestAnimationFrame(() => at('log').setAttribute('aria-live', 'polite'));
}

function open() {
  let name = location.hash.slice(1) || (hub.rooms.size === 0 ? 'lobby' : [...hub.rooms.keys()][0]);
  if (!GROUP.test(name)) name = 'lobby';
  at('log').setAttribute('aria-live', 'off');
  log.clear();
  current = name;
  unread.delete(name);
  hub.join(name);
  remember();
  redraw();
}

function remember() {
  hub.keep.write(GROUPS_KEY, JSON.stringify([...hub.rooms.keys()]));
}

function remembered() {
  try {
    return JSON.parse(hub.keep.read(GROUPS_KEY) ?? '[]').filter((name) => GROUP.test(name));
  } catch {
    return []; // Somebody else wrote there.
  }
}

function badge() {
  showConnection(at('connection'), hub.status, navigator.onLine);
}

function rename() {
  const name = at('name').value.trim();
  if (name !== hub.name) hub.rename(name);
}

hub.addEventListener('room', redraw);
hub.addEventListener('layer', ({ detail }) => showLayer(at('layer'), at('banner'), detail));
hub.addEventListener('status', ({ detail: { status, code } }) => {
  ended = status === 'offline' ? `The hub ended the connection (${code}). Reload the page to try again.` : '';
  badge();
  at('name').placeholder = hub.user?.name ?? '';
  if (hub.limits.text_chars) at('text').maxLength = hub.limits.text_chars;
  redraw();
});
hub.addEventListener('message', ({ detail: { group, entry } }) => {
  if (entry.user.id === hub.user?.id || (group === current && !document.hidden)) return;
  unread.set(group, (unread.get(group) ?? 0) + 1);
});

at('name').value = hub.name;
at('name').addEventListener('change', rename);
at('name-form').addEventListener('submit', (event) => {
  event.preventDefault();
  rename();
});
at('join-form').addEventListener('submit', (event) => {
  event.preventDefault();
  location.hash = at('group').value;
  at('group').value = '';
  at('text').focus();
});
at('leave').addEventListener('click', () => {
  hub.leave(current);
  unread.delete(current);
  remember();
  current = null;
  const [next] = hub.rooms.keys();
  if (next) location.hash = next;
  else history.replaceState(null, '', location.pathname);
  redraw();
});
at('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = at('text').value.trim();
  if (text === '') return;
  hub.send(current, text).catch(shown);
  at('text').value = '';
  draw();
  log.toEnd();
});
at('text').addEventListener('keydown', (event) => {
  // Enter that ends a composed character (Japanese, Chinese, …) is not yet meant for us.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at('composer').requestSubmit();
});

addEventListener('hashchange', open);
addEventListener('offline', badge);
addEventListener('online', () => {
  badge();
  hub.hurry();
});
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  unread.delete(current);
  hub.hurry();
  redraw();
});

for (const name of remembered()) hub.join(name);
open();
hub.connect();
