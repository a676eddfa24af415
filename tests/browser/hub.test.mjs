// The rules that a client of the hub follows, one by one: order, copies, holes, repeats, the way back.

import assert from 'node:assert/strict';
import test, { mock } from 'node:test';
import { mayReturn, pause } from '../../web-demo/hub/link.js';
import { at, Bench, message } from './socket.mjs';

test('the ack and the echo of an own message may come in either order', async (t) => {
  for (const ackFirst of [true, false]) {
    const bench = new Bench(t);
    bench.enter(5);
    const promise = bench.hub.send('lobby', 'hello');
    const { ref, client_id } = bench.last('chat.send');
    const echo = message(7, { id: 'own', client_id, user: bench.hub.user, text: 'hello' });
    const ack = { type: 'ack', ref, group: 'lobby', id: 'own', position: at(7), scope: 'cluster' };
    if (ackFirst) bench.say(ack);
    bench.say(message(6));
    bench.say(echo);
    if (!ackFirst) bench.say(ack);
    assert.deepEqual(await promise, { id: 'own', position: at(7), scope: 'cluster' });
    assert.deepEqual(bench.texts(), ['text 6', 'hello']);
    assert.equal(bench.hub.rooms.get('lobby').unsettled.size, 0);
  }
});

test('a message is shown once, however often and under whichever position it comes', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.say(message(6));
  bench.say(message(6));
  bench.say(message(1, { id: 'id-6', position: at(1, 'next') }));
  bench.say(message(2, { id: 'unknown', position: at(2, 'next'), was: [at(3)] }));
  assert.deepEqual(bench.texts(), ['text 6']);
  assert.deepEqual(bench.hub.rooms.get('lobby').position, at(2, 'next'), 'a copy moves the position all the same');
});

test('an edit replaces what it edits and stays where that stood', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.say(message(6));
  bench.say(message(7));
  bench.say(message(8, { id: 'id-6', version: 2, first: at(6), text: 'edited' }));
  assert.deepEqual(bench.texts(), ['edited', 'text 7']);
});

test('what has no position stands last until it is settled', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.say(message(0, { id: 'alone', position: null, text: 'alone' }));
  bench.say(message(7, { position: at(6) }));
  assert.deepEqual(bench.texts(), ['text 7', 'alone']);
  bench.say({ type: 'settled', group: 'lobby', items: [{ id: 'alone', position: at(7) }] });
  bench.say(message(8));
  assert.deepEqual(bench.texts(), ['text 7', 'alone', 'text 8']);
});

test('a jump of the offset is repaired by a join from the own position', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.say(message(8));
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(5) }]);
  bench.say(message(9));
  assert.deepEqual(bench.texts(), [], 'nothing is shown before what it follows');
  bench.joined({ position: at(8), recovered: true, messages: [message(6), message(7), message(8)], more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'text 8', 'text 9']);
});

test('more to come is fetched before what is live is shown', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.lose(1006);
  bench.hub.hurry();
  bench.welcome();
  bench.joined({ position: at(8), recovered: true, messages: [message(6)], more: true });
  bench.say(message(9));
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(6) }]);
  bench.joined({ position: at(9), recovered: true, messages: [message(7), message(8), message(9)], more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'text 8', 'text 9']);
});

test('a gap is announced between the messages and is no reason to join again', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  const joins = bench.socket.sent.length;
  bench.say({ type: 'gap', group: 'lobby', position: at(9), lost: 3, reason: 'spool_overflow' });
  bench.say(message(10));
  assert.deepEqual(bench.texts(), [{ reason: 'spool_overflow', lost: 3 }, 'text 10']);
  assert.equal(bench.socket.sent.length, joins);
});

test('a resync and a failed resume replace what was held, and say so', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.say(message(6));
  const snapshot = { messages: [message(1, { id: 'new', position: at(1, 'next') })], more: false };
  bench.say({ type: 'resync', group: 'lobby', reason: 'rebuilt', position: at(1, 'next'), snapshot });
  assert.deepEqual(bench.texts(), [{ reason: 'rebuilt', lost: undefined }, 'text 1']);
  bench.lose(1006);
  bench.hub.hurry();
  bench.welcome();
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(1, 'next') }]);
  const fresh = { messages: [message(90)], more: false };
  bench.joined({ position: at(90), recovered: false, reason: 'trimmed', snapshot: fresh });
  assert.deepEqual(bench.texts(), [{ reason: 'trimmed', lost: undefined }, 'text 90']);
});

test('a resume that a cut-off node cannot answer waits, and its members talk meanwhile', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.lose(4000);
  bench.hub.hurry();
  bench.welcome();
  bench.joined({ position: null, recovered: 'pending' });
  bench.say(message(0, { id: 'alone', position: null, text: 'alone' }));
  assert.deepEqual(bench.texts(), ['alone']);
  bench.say({ type: 'resumed', group: 'lobby', position: at(6), recovered: true, messages: [message(6)], more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'alone']);
});

test('what is not settled goes out again after a reconnect, under its own client id and first position', async (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  const promise = bench.hub.send('lobby', 'unanswered');
  const first = bench.last('chat.send');
  const alone = bench.hub.send('lobby', 'on this node only');
  const second = bench.last('chat.send');
  bench.say({ type: 'ack', ref: second.ref, group: 'lobby', id: 'two', position: null, scope: 'node' });
  assert.equal((await alone).scope, 'node');
  bench.lose(1006);
  bench.hub.hurry();
  bench.welcome();
  assert.equal(bench.last('chat.send'), undefined, 'not before the group is joined');
  const messages = [6, 7, 8, 9].map((offset) => message(offset));
  bench.joined({ position: at(9), recovered: true, messages, more: false });
  const again = bench.socket.sent.filter(({ type }) => type === 'chat.send');
  assert.deepEqual(again.map(({ client_id }) => client_id), [first.client_id, second.client_id]);
  assert.deepEqual(again.map(({ since }) => since), [at(5), at(5)]);
  bench.say({ type: 'ack', ref: again[0].ref, group: 'lobby', id: 'one', position: at(10), scope: 'cluster' });
  assert.equal((await promise).id, 'one');
});

test('a refused message is tried again as the same message', async (t) => {
  const bench = new Bench(t);
  const room = bench.enter(5);
  const refused = bench.hub.send('lobby', 'hello');
  const first = bench.last('chat.send');
  bench.say({ type: 'error', ref: first.ref, group: 'lobby', code: 'unavailable', message: 'not now' });
  await assert.rejects(refused, { code: 'unavailable' });
  assert.equal(room.list()[0].state, 'failed');
  const promise = bench.hub.retry('lobby', first.client_id);
  const { ref, client_id } = bench.last('chat.send');
  assert.equal(client_id, first.client_id);
  bench.say({ type: 'ack', ref, group: 'lobby', id: 'own', position: at(6), scope: 'cluster' });
  assert.equal((await promise).id, 'own');
});

test('another identity sends what was never tried, and repeats nothing by itself', async (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  const promise = bench.hub.send('lobby', 'hello');
  bench.lose(1006);
  const later = bench.hub.send('lobby', 'written while away');
  bench.hub.hurry();
  bench.welcome({ id: 'g-other', name: 'Ana' });
  await assert.rejects(promise, { code: 'new_identity' });
  bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  const sends = bench.socket.sent.filter(({ type }) => type === 'chat.send');
  assert.deepEqual(sends.map(({ text }) => text), ['written while away']);
  bench.say({ type: 'ack', ref: sends[0].ref, group: 'lobby', id: 'two', position: at(6), scope: 'cluster' });
  await later;
});

test('a join that was refused as unavailable is repeated when the layer is healthy', (t) => {
  const bench = new Bench(t);
  bench.hub.join('lobby');
  bench.hub.connect();
  bench.welcome();
  const { ref } = bench.last('join');
  bench.say({ type: 'error', ref, group: 'lobby', code: 'unavailable', message: 'not now' });
  assert.equal(bench.hub.rooms.get('lobby').refusal, 'unavailable');
  bench.say({ type: 'layer', state: 'healthy', mode: 'redis', scope: 'cluster', since: 0 });
  assert.notEqual(bench.last('join').ref, ref);
  bench.joined({ position: at(0), snapshot: { messages: [], more: false } });
  assert.equal(bench.hub.rooms.get('lobby').refusal, null);
});

test('pings are answered, the token comes back, a name is asked for', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.say({ type: 'ping' });
  assert.deepEqual(bench.last('pong'), { type: 'pong' });
  bench.hub.rename('Ada');
  bench.welcome();
  const { token, name } = bench.last('hello');
  assert.deepEqual({ token, name }, { token: 'token of g-me', name: 'Ada' });
});

test('a link that is silent for 35 s is dead and replaced', (t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
  const bench = new Bench(t);
  bench.enter(5);
  mock.timers.tick(34_000);
  bench.say({ type: 'ping' });
  mock.timers.tick(34_999);
  assert.equal(bench.hub.status, 'connected');
  mock.timers.tick(1);
  assert.equal(bench.events.at(-1).reason, 'dead');
  assert.equal(bench.hub.status, 'reconnecting');
  mock.timers.tick(600);
  assert.equal(bench.sockets.length, 2);
});

test('a draining node is left for about as long as it asks', (t) => {
  const bench = new Bench(t);
  bench.enter(5);
  bench.say({ type: 'drain', reconnect_ms: 4_000 });
  bench.lose(4000);
  const { wait_ms } = bench.events.findLast(({ type }) => type === 'status');
  assert.ok(wait_ms >= 2_000 && wait_ms <= 6_000, `${wait_ms}`);
});

test('the close code says whether to come back', async (t) => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4000, 4003, 4100, 4499]) assert.equal(mayReturn(code), true);
  for (const code of [1000, 1002, 1003, 1007, 1009, 1010, 4500, 4502, 4999]) assert.equal(mayReturn(code), false);
  const bench = new Bench(t);
  bench.enter(5);
  const promise = bench.hub.send('lobby', 'hello');
  bench.lose(4502);
  assert.equal(bench.hub.status, 'offline');
  await assert.rejects(promise, { code: 'offline' });
});

test('the pause before a try grows from 0.3 s to 20 s, with full jitter', () => {
  assert.equal(pause(0, 0), 300);
  assert.equal(pause(0, 1), 600);
  assert.equal(pause(3, 1), 4_800);
  assert.equal(pause(50, 0), 300);
  assert.equal(pause(5_000, 1), 20_000);
});
