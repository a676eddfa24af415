// The rules that a client of the hub follows, one by one: order, copies, holes, repeats.

import assert from 'node:assert/strict';
import test from 'node:test';
import { at, Bench, createClient, EPOCH, ME, message, turn } from './bench.mjs';

test('importing does nothing, and a client does nothing before it connects', async (t) => {
  const bench = new Bench(t);
  await turn();
  assert.equal(bench.sockets.length, 0);
  assert.equal(bench.client.status, 'offline');
});

test('an address is that of the hub or of its WebSocket', (t) => {
  for (const [url, dialled] of [
    ['http://127.0.0.1:8080', 'ws://127.0.0.1:8080/ws'],
    ['https://chat.example/', 'wss://chat.example/ws'],
    ['wss://chat.example/chat/ws', 'wss://chat.example/chat/ws'],
    [new URL('https://chat.example/#x'), 'wss://chat.example/ws'],
  ]) {
    const bench = new Bench(t, { url });
    bench.client.connect();
    assert.equal(bench.socket.url, dialled);
    assert.equal(bench.socket.protocol, 'palabre.v1');
  }
  for (const url of ['/ws', 'javascript:alert(1)', 'file:///etc']) assert.throws(() => new Bench(t, { url }), TypeError);
});

test('a group has one handle, and a name that is none is refused', (t) => {
  const bench = new Bench(t);
  assert.equal(bench.client.group('lobby'), bench.group);
  for (const name of ['', 'a b', 'ä', 'x'.repeat(100), '__proto__!', 'a/b']) {
    assert.throws(() => bench.client.group(name), { code: 'bad_request' });
  }
});

test('groups that are joined in one turn are named in one frame, a hundred at most', async (t) => {
  const bench = new Bench(t);
  bench.client.connect();
  await bench.welcome();
  for (let number = 0; number < 150; number++) bench.client.group(`g${number}`).join().catch(() => {});
  await turn();
  assert.deepEqual(bench.all('join').map(({ groups }) => groups.length), [100, 50]);
});

test('the ack and the echo of an own message may come in either order', async (t) => {
  for (const ackFirst of [true, false]) {
    const bench = new Bench(t);
    const group = await bench.enter(5);
    const promise = group.send('hello');
    const { ref, client_id } = bench.last('chat.send');
    const echo = message(7, { id: 'own', client_id, user: ME, text: 'hello' });
    const ack = { type: 'ack', ref, group: 'lobby', id: 'own', position: at(7), scope: 'cluster' };
    if (ackFirst) bench.say(ack);
    bench.say(message(6));
    bench.say(echo);
    if (!ackFirst) bench.say(ack);
    assert.deepEqual(await promise, { id: 'own', position: at(7), scope: 'cluster' });
    assert.deepEqual(bench.texts(), ['text 6', 'hello']);
    assert.equal(group.messages[1].state, 'settled');
    assert.equal(bench.client.queue.length, 0);
    assert.deepEqual(bench.heard('message').map(({ message: { text } }) => text), ['text 6'], 'an echo is no news');
  }
});

test('a message is shown once, however often and under whichever position it comes', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  bench.say(message(6));
  bench.say(message(6));
  bench.say(message(1, { id: 'id-6', position: at(1, 'next') }));
  bench.say(message(2, { id: 'unknown', position: at(2, 'next'), was: [at(3)] }));
  assert.deepEqual(bench.texts(), ['text 6']);
  assert.deepEqual(group.position, at(2, 'next'), 'a copy moves the position all the same');
  assert.equal(bench.heard('message').length, 1);
});

test('an edit replaces what it edits and stays where that stood', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  bench.say(message(6));
  bench.say(message(7));
  bench.say(message(8, { id: 'id-6', client_id: 'an-edit', version: 2, first: at(6), text: 'edited' }));
  assert.deepEqual(bench.texts(), ['edited', 'text 7']);
  assert.equal(group.messages[0].clientId, 'bo-6');
  bench.say(message(9, { id: 'id-6', version: 3, first: at(6), text: undefined, deleted: true }));
  const [gone] = group.messages;
  assert.deepEqual([gone.deleted, gone.version], [true, 3]);
  bench.say(message(6, { position: null, text: 'the past' }));
  assert.equal(gone.version, 3, 'an older version is no news');
});

test('what has no position stands last until it is settled', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.say(message(0, { id: 'alone', position: null, text: 'alone' }));
  bench.say(message(7, { position: at(6) }));
  assert.deepEqual(bench.texts(), ['text 7', 'alone']);
  bench.say({ type: 'settled', group: 'lobby', items: [{ id: 'alone', position: at(7) }] });
  bench.say(message(8));
  assert.deepEqual(bench.texts(), ['text 7', 'alone', 'text 8']);
});

test('a jump of the offset is repaired by a join from the own position', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.say(message(8));
  await turn();
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(5) }]);
  bench.say(message(9));
  assert.deepEqual(bench.texts(), [], 'nothing is shown before what it follows');
  await bench.joined({ position: at(8), recovered: true, messages: [message(6), message(7), message(8)], more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'text 8', 'text 9']);
});

test('more to come is fetched before what is live is shown', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.lose(1006);
  await bench.back();
  await bench.joined({ position: at(8), recovered: true, messages: [message(6)], more: true });
  bench.say(message(9));
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(6) }]);
  await bench.joined({ position: at(9), recovered: true, messages: [message(7), message(8), message(9)], more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'text 8', 'text 9']);
});

test('a gap is announced between the messages and is no reason to join again', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const sent = bench.socket.sent.length;
  bench.say({ type: 'gap', group: 'lobby', position: at(9), lost: 3, reason: 'spool_overflow' });
  bench.say(message(10));
  assert.deepEqual(bench.texts(), [{ reason: 'spool_overflow', lost: 3 }, 'text 10']);
  assert.equal(bench.socket.sent.length, sent);
  assert.deepEqual(bench.heard('hole'), [{ type: 'hole', reason: 'spool_overflow', lost: 3 }]);
});

test('a resync and a failed resume replace what was held, and say so', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  bench.say(message(6));
  const snapshot = { messages: [message(1, { id: 'new', position: at(1, 'next') })], more: true };
  bench.say({ type: 'resync', group: 'lobby', reason: 'rebuilt', position: at(1, 'next'), snapshot });
  assert.deepEqual(bench.texts(), [{ reason: 'rebuilt', lost: undefined }, 'text 1'], 'the note stands although there is more');
  assert.equal(group.hasOlder, true);
  bench.lose(1006);
  await bench.back();
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(1, 'next') }]);
  const fresh = { messages: [message(90)], more: false };
  await bench.joined({ position: at(90), recovered: false, reason: 'trimmed', snapshot: fresh });
  assert.deepEqual(bench.texts(), [{ reason: 'trimmed', lost: undefined }, 'text 90']);
  assert.deepEqual(bench.heard('hole').map(({ reason }) => reason), ['rebuilt', 'trimmed']);
});

test('a snapshot begins anew, also below what was passed', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(9, { messages: [message(8), message(9)] });
  bench.say({ type: 'resync', group: 'lobby', reason: 'rebuilt', position: at(4), snapshot: { messages: [message(4, { text: 'again' })], more: false } });
  bench.say(message(5));
  assert.deepEqual(bench.texts().slice(1), ['again', 'text 5']);
  assert.deepEqual(group.position, at(5));
  assert.equal(group.find('id-9'), undefined);
  bench.say({ type: 'chat.reactions', group: 'lobby', id: 'id-9', position: null, counts: { a: 1 }, rev: 9 });
});

test('own messages that are on their way stand behind a snapshot, and are known in it', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  const [one, two] = [group.send('one'), group.send('two')];
  const [first] = bench.all('chat.send');
  bench.lose(1006);
  await bench.back();
  const known = message(7, { id: 'own', client_id: first.client_id, user: ME, text: 'one' });
  await bench.joined({ position: at(8), recovered: false, reason: 'trimmed', snapshot: { messages: [known, message(8)], more: false } });
  assert.deepEqual(bench.texts().slice(1), ['one', 'text 8', 'two']);
  assert.equal((await one).id, 'own');
  assert.deepEqual(bench.all('chat.send').map(({ text }) => text), ['two'], 'what is in the history is not sent again');
  bench.answer('chat.send', { type: 'ack', id: 'other', position: at(9), scope: 'cluster' });
  await two;
});

test('what was settled behind a hole brings what is missing first', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.say(message(0, { id: 'alone', position: null, text: 'alone' }));
  bench.say({ type: 'settled', group: 'lobby', items: [{ id: 'alone', position: at(8) }] });
  await turn();
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(5) }]);
});

test('a copy of somebody else under our client id settles nothing of ours', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  group.send('mine').catch(() => {});
  bench.answer('chat.send', { type: 'ack', id: 'own', position: null, scope: 'node' });
  const { client_id } = bench.last('chat.send');
  bench.say(message(6, { client_id, text: 'a copy' }));
  bench.say(message(0, { id: 'late', position: null, client_id, text: 'another' }));
  bench.say({ type: 'settled', group: 'lobby', items: [{ id: 'late', position: at(7) }] });
  assert.deepEqual(bench.client.queue.map(({ state }) => state), ['sent']);
  assert.deepEqual(group.messages.map(({ text, mine }) => [text, mine]), [['a copy', false], ['another', false], ['mine', true]]);
});

test('a resume that a cut-off node cannot answer waits, and its members talk meanwhile', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.lose(4000);
  await bench.back();
  await bench.joined({ position: null, recovered: 'pending' });
  bench.say(message(0, { id: 'alone', position: null, text: 'alone' }));
  bench.say(message(7));
  assert.deepEqual(bench.texts(), ['alone'], 'what has a place waits for what is before it');
  bench.say({ type: 'resumed', group: 'lobby', position: at(6), recovered: true, messages: [message(6)], more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'alone']);
  assert.equal(bench.all('join').length, 1, 'no hole was seen');
  // What was held goes with the connection that it came on.
  bench.lose(4000);
  await bench.back();
  await bench.joined({ position: null, recovered: 'pending' });
  bench.say(message(8, { text: 'held' }));
  bench.lose(4000);
  await bench.back();
  await bench.joined({ position: at(7), recovered: true, messages: [], more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'alone']);
  bench.say(message(8));
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'text 8', 'alone']);
});

test('older messages come a page at a time, those of an older epoch before all others', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(9, { messages: [message(8), message(9)], more: true });
  assert.equal(group.hasOlder, true);
  const more = group.loadOlder({ limit: 2 });
  assert.equal(group.loadOlder(), more, 'one page at a time');
  await turn();
  const { before, limit } = bench.last('history');
  assert.deepEqual([before, limit], [at(8), 2]);
  bench.answer('history', { type: 'history', messages: [message(5, { position: at(5, 'past') }), message(7)], more: true, next: at(5, 'past') });
  assert.equal(await more, true);
  assert.deepEqual(bench.texts(), ['text 5', 'text 7', 'text 8', 'text 9']);
  assert.deepEqual(group.position, at(9), 'the past moves nothing');
  const rest = group.loadOlder();
  await turn();
  bench.answer('history', { type: 'history', messages: [message(4, { position: at(4, 'past') })], more: false });
  assert.equal(await rest, false);
  assert.equal(group.hasOlder, false);
  assert.deepEqual(bench.texts(), ['text 4', 'text 5', 'text 7', 'text 8', 'text 9']);
});

test('a page of the past settles what is ours in it, and brings its reactions', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(9, { messages: [message(9)], more: true });
  const sent = group.send('hello');
  const { client_id } = bench.last('chat.send');
  bench.answer('chat.send', { type: 'ack', id: 'own', position: null, scope: 'node' });
  await sent;
  const older = group.loadOlder();
  await turn();
  const messages = [message(7), message(8, { id: 'own', client_id, user: ME, text: 'hello' })];
  const chat = { reactions: { 'id-7': { counts: { a: 2 }, rev: 1, mine: ['a'] } } };
  bench.answer('history', { type: 'history', messages, more: false, chat });
  await older;
  assert.deepEqual(bench.texts(), ['text 7', 'hello', 'text 9']);
  assert.deepEqual(group.messages[0].reactions, { a: 2 });
  assert.equal(bench.client.queue.length, 0);
});

test('an edit of a message from way back waits until the reader gets there', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(9, { messages: [message(8), message(9, { id: 'old', first: at(2), version: 2, text: 'edited' })], more: true });
  assert.deepEqual(bench.texts(), ['text 8']);
  const rest = group.loadOlder();
  await turn();
  bench.answer('history', { type: 'history', messages: [message(1), message(3)], more: false });
  await rest;
  assert.deepEqual(bench.texts(), ['text 1', 'edited', 'text 3', 'text 8']);
});

test('a history that has let go of all before is at its beginning', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(9, { messages: [message(9)], more: true });
  const rest = group.loadOlder();
  await turn();
  bench.answer('history', { type: 'error', code: 'not_found', message: 'trimmed' });
  assert.equal(await rest, false);
  assert.deepEqual(bench.texts(), ['text 9']);
});

test('a look into the history leaves the screen as it is', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(9);
  const looked = group.history({ after: at(3), limit: 500 });
  await turn();
  const { after, limit } = bench.last('history');
  assert.deepEqual([after, limit], [at(3), 100]);
  bench.answer('history', { type: 'history', messages: [message(4)], more: true, next: at(4) });
  const { messages, next } = await looked;
  assert.deepEqual([messages[0].text, next], ['text 4', at(4)]);
  assert.deepEqual(bench.texts(), []);
});

test('the screen holds ten thousand messages, and asks for the others again', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(0);
  for (let offset = 1; offset <= 10_050; offset++) bench.say(message(offset));
  assert.equal(group.messages.length, 10_000);
  assert.equal(group.hasOlder, true);
  const older = group.loadOlder();
  await turn();
  assert.deepEqual(bench.last('history').before, at(51));
  bench.answer('history', { type: 'history', messages: [message(50)], more: true, next: at(50) });
  await older;
  assert.equal(bench.texts()[0], 'text 50', 'who goes back further is given more');
  bench.say(message(10_051));
  assert.equal(bench.texts()[0], 'text 51');
  assert.equal(group.find('id-50'), undefined);
});

test('another identity owns other messages', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5, { messages: [message(5, { user: ME }), message(4)] });
  assert.deepEqual(bench.group.messages.map(({ id, mine }) => [id, mine]), [['id-4', false], ['id-5', true]]);
  bench.lose(1006);
  await bench.back({ id: 'g-bo', name: 'Bo' });
  const mine = Object.fromEntries(bench.group.messages.map(({ id, mine }) => [id, mine]));
  assert.deepEqual(mine, { 'id-4': true, 'id-5': false });
});

test('frames of a group that was left find nobody, and it may be joined again', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  bench.say(message(6));
  group.leave();
  assert.deepEqual(bench.last('leave').groups, ['lobby']);
  bench.say(message(7));
  assert.deepEqual(bench.texts(), []);
  assert.equal(group.joined, false);
  const joined = group.join();
  await turn();
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby' }]);
  await bench.joined({ position: at(7), snapshot: { messages: [message(7)], more: false } });
  await joined;
  assert.deepEqual(bench.texts(), ['text 7']);
});

test('a join that is refused for good says so, one refused for the moment is repeated', async (t) => {
  const bench = new Bench(t);
  bench.client.connect();
  await bench.welcome();
  const refused = bench.group.join();
  const sent = bench.group.send('in vain');
  await turn();
  bench.answer('join', { type: 'error', group: 'lobby', code: 'forbidden', message: 'not you' });
  await assert.rejects(refused, { code: 'forbidden' });
  await assert.rejects(sent, { code: 'forbidden' });
  assert.equal(bench.group.refusal.code, 'forbidden');

  const garden = bench.client.group('garden');
  const joined = garden.join();
  await turn();
  const { ref } = bench.last('join');
  bench.say({ type: 'error', ref, group: 'garden', code: 'unavailable', message: 'not now' });
  assert.equal(garden.refusal.code, 'unavailable');
  bench.say({ type: 'layer', state: 'healthy', mode: 'redis', scope: 'cluster', since: 0 });
  await turn();
  assert.notEqual(bench.last('join').ref, ref);
  assert.deepEqual(bench.last('join').groups, [{ group: 'garden' }]);
  bench.say({ type: 'joined', ref: bench.last('join').ref, group: 'garden', position: at(0), snapshot: { messages: [], more: false } });
  await joined;
  assert.equal(garden.refusal, null);
});

test('what a listener throws is its own, and the others hear the event', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  const heard = [];
  const thrown = new Promise((resolve) => {
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => {
      for (const listener of before) process.on('uncaughtException', listener);
      resolve(error);
    });
  });
  group.on('message', () => {
    throw new Error('a listener');
  });
  const off = group.on('message', ({ message: { text } }) => heard.push(text));
  const over = new AbortController();
  group.on('message', ({ message: { text } }) => heard.push(`${text}, too`), { signal: over.signal });
  bench.say(message(6));
  assert.equal((await thrown).message, 'a listener');
  assert.deepEqual(heard, ['text 6', 'text 6, too']);
  off();
  over.abort();
});

test('without a WebSocket one is asked for', (t) => {
  const given = globalThis.WebSocket;
  delete globalThis.WebSocket;
  t.after(() => given && Object.assign(globalThis, { WebSocket: given }));
  assert.throws(() => createClient({ url: 'ws://127.0.0.1', storage: null }), TypeError);
});

test('epochs are compared for equality alone', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.say(message(6));
  bench.say(message(1, { id: 'a', position: at(1, '0000000000000000') }));
  bench.say(message(2, { id: 'b', position: at(2, '0000000000000000') }));
  assert.ok(EPOCH > '0000000000000000');
  assert.deepEqual(bench.texts(), ['text 6', 'text 1', 'text 2']);
});

test('an edit of an old message that is not here is no news, and an edit of one that was missed is', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(50, { messages: [message(49), message(50)], more: true });
  bench.say(message(51, { id: 'old', first: at(3), version: 2, text: 'edited' }));
  bench.say(message(52, { id: 'older', first: at(2), version: 2, text: undefined, deleted: true }));
  bench.say(message(53, { id: 'oldest', first: at(9, 'before'), version: 2, text: 'edited' }));
  assert.deepEqual([bench.heard('message').length, bench.heard('update').length, group.unread], [0, 3, 0]);
  bench.lose(1006);
  await bench.back();
  const missed = message(55, { id: 'id-54', first: at(54), version: 2, text: 'edited' });
  await bench.joined({ position: at(55), recovered: true, messages: [missed], more: false });
  assert.deepEqual(bench.heard('message').map(({ message: { id } }) => id), ['id-54']);
  assert.equal(group.unread, 1);
});

test('a message of an earlier epoch that is edited stands before those of ours, live and in a snapshot', async (t) => {
  const edited = (offset) => message(offset, { id: 'old', first: at(3, 'before'), version: 2, text: 'edited' });
  const live = new Bench(t);
  await live.enter(50, { messages: [message(49), message(50)] });
  for (const one of [edited(51), message(52)]) live.say(one);
  assert.deepEqual(live.texts(), ['edited', 'text 49', 'text 50', 'text 52']);
  const later = new Bench(t);
  await later.enter(51, { messages: [message(50), edited(51)] });
  later.say(message(52));
  assert.deepEqual(later.texts(), ['edited', 'text 50', 'text 52']);
});

test('a note without a place stands before what comes later', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5, { messages: [message(5)] });
  bench.lose(1006);
  await bench.back();
  await bench.joined({ position: null, recovered: false, reason: 'unknown_epoch', snapshot: { messages: [], more: false } });
  for (const offset of [1, 2]) bench.say(message(offset, { position: at(offset, 'next') }));
  assert.deepEqual(bench.texts(), [{ reason: 'unknown_epoch', lost: undefined }, 'text 1', 'text 2']);
});

test('leaving settles all that was asked of the group, and forgets who is there', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(50, { messages: [message(50)], more: true, occupancy: 2 });
  const watched = group.watchMembers();
  await turn();
  bench.answer('presence', { type: 'presence', occupancy: 1, members: [ME] });
  await watched;
  const asked = [group.loadOlder(), group.react('id-50', 'a'), group.ask('board.draw'), group.edit('id-50', 'b')];
  await turn();
  const page = bench.last('history').ref;
  group.leave();
  for (const one of asked) await assert.rejects(one, { code: 'left' });
  assert.deepEqual([group.occupancy, group.members, bench.client.queue], [null, null, []]);
  group.join().catch(() => {});
  await turn();
  await bench.joined({ position: at(90), snapshot: { messages: [message(90)], more: true } });
  bench.say({ type: 'history', ref: page, group: 'lobby', messages: [message(48), message(49)], more: true, next: at(48) });
  await turn();
  assert.deepEqual(bench.texts(), ['text 90'], 'a page of what was left is nobody\'s');
  const older = group.loadOlder();
  await turn();
  assert.deepEqual(bench.last('history').before, at(90));
  bench.answer('history', { type: 'history', messages: [message(89)], more: false });
  assert.equal(await older, false);
});

test('a refusal that comes for a group that was left changes nothing, nor one of an older join', async (t) => {
  const bench = new Bench(t);
  bench.client.connect();
  await bench.welcome();
  bench.group.join().catch(() => {});
  await turn();
  const refusal = { type: 'error', ref: bench.last('join').ref, group: 'lobby', code: 'forbidden', message: 'not you' };
  bench.group.leave();
  bench.say(refusal);
  assert.deepEqual([bench.group.refusal, bench.heard('refused')], [null, []]);
  const joined = bench.group.join();
  await turn();
  bench.say(refusal);
  await bench.joined({ position: at(5), snapshot: { messages: [], more: false } });
  await joined;
});

test('a member that the hub does not let repair is none any more, and may join again', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  bench.say(message(9));
  await turn();
  bench.answer('join', { type: 'error', code: 'internal', message: 'a fault' });
  assert.deepEqual([group.joined, group.refusal.code], [false, 'internal']);
  const joined = group.join();
  await turn();
  assert.equal(bench.all('join').length, 3);
  await bench.joined({ position: at(9), recovered: true, messages: [6, 7, 8, 9].map((offset) => message(offset)), more: false });
  await joined;
  assert.deepEqual([group.joined, bench.texts()], [true, ['text 6', 'text 7', 'text 8', 'text 9']]);
});

test('a listener that ends leaves nothing at its signal', (t) => {
  const bench = new Bench(t);
  const { signal } = new AbortController();
  const listening = new Set();
  signal.addEventListener = (_, listener) => listening.add(listener);
  signal.removeEventListener = (_, listener) => listening.delete(listener);
  bench.group.on('message', () => {}, { signal })();
  assert.equal(listening.size, 0);
});
