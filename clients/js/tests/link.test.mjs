// The way to the hub: when a client comes back, when it stays away, how it knows that a link is dead, who it says it is.

import assert from 'node:assert/strict';
import test, { mock } from 'node:test';
import { mayReturn, pause } from '../src/link.js';
import { at, Bench, ME, message, PalabreError, Shelf, turn } from './bench.mjs';

function paused(t) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
}

test('pings are answered, the token comes back, a name is asked for', async (t) => {
  const bench = new Bench(t, { name: 'Ana', storage: new Shelf() });
  await bench.enter(5);
  assert.equal(bench.last('hello').name, 'Ana');
  bench.say({ type: 'ping' });
  assert.deepEqual(bench.last('pong'), { type: 'pong' });
  bench.client.rename('Ada');
  await bench.welcome();
  const { token, name } = bench.last('hello');
  assert.deepEqual({ token, name }, { token: 'token of g-me', name: 'Ada' });
});

test('who a guest is outlives the page, for that hub alone', async (t) => {
  const storage = new Shelf();
  await new Bench(t, { storage }).enter(5);
  const again = new Bench(t, { storage });
  await again.enter(5);
  assert.equal(again.last('hello').token, 'token of g-me');
  const elsewhere = new Bench(t, { storage, url: 'ws://127.0.0.2/ws' });
  await elsewhere.enter(5);
  assert.equal(elsewhere.last('hello').token, undefined);
});

test('a link that is silent for 35 s is dead and replaced', async (t) => {
  paused(t);
  const bench = new Bench(t);
  await bench.enter(5);
  mock.timers.tick(34_000);
  bench.say({ type: 'ping' });
  mock.timers.tick(34_999);
  assert.equal(bench.client.status, 'connected');
  mock.timers.tick(1);
  assert.equal(bench.events.at(-1).reason, 'dead');
  assert.equal(bench.client.status, 'reconnecting');
  mock.timers.tick(600);
  assert.equal(bench.sockets.length, 2);
});

test('a socket that is not welcomed in 15 s is given up, whatever else it says', (t) => {
  paused(t);
  const bench = new Bench(t);
  bench.client.connect();
  mock.timers.tick(14_000);
  bench.socket.readyState = 1;
  bench.socket.onopen();
  bench.say({ type: 'ping' });
  mock.timers.tick(999);
  assert.equal(bench.client.status, 'connecting');
  mock.timers.tick(1);
  assert.equal(bench.events.at(-1).reason, 'dead');
});

test('a machine that slept past the silence replaces its link as soon as it looks', async (t) => {
  paused(t);
  const bench = new Bench(t);
  await bench.enter(5);
  const before = bench.socket;
  // The clock went on, and the timers did not.
  mock.timers.setTime(Date.now() + 60_000);
  bench.client.hurry();
  assert.equal(before.readyState, 3);
  assert.equal(bench.client.status, 'reconnecting');
});

test('a doubt is settled by a ping, within 5 s', async (t) => {
  paused(t);
  const bench = new Bench(t);
  await bench.enter(5);
  bench.client.hurry();
  assert.deepEqual(bench.last('ping'), { type: 'ping' });
  mock.timers.tick(4_999);
  bench.say({ type: 'pong' });
  mock.timers.tick(5_000);
  assert.equal(bench.client.status, 'connected');
  bench.client.hurry();
  mock.timers.tick(5_000);
  assert.equal(bench.client.status, 'reconnecting');
});

test('a draining node is left for about as long as it asks, counted from the notice', async (t) => {
  paused(t);
  const random = mock.method(Math, 'random', () => 0);
  t.after(() => random.mock.restore());
  const bench = new Bench(t);
  await bench.enter(5);
  const waits = [];
  for (const [part, kept_ms] of [[0, 0], [0.5, 0], [1, 1_000], [0, 4_000]]) {
    random.mock.mockImplementation(() => part);
    bench.say({ type: 'drain', reconnect_ms: 4_000 });
    mock.timers.tick(kept_ms);
    bench.lose(4000);
    waits.push(bench.heard('status').at(-1).wait_ms);
    mock.timers.tick(waits.at(-1));
    await bench.welcome();
  }
  assert.deepEqual(waits, [2_000, 4_000, 4_500, 0], 'the last node kept the socket for all of that time');
  bench.lose(1006);
  assert.equal(bench.heard('status').at(-1).wait_ms, 0, 'what one node asked for is nothing to the next');
});

test('nodes that drain one after the other, at once, are not asked as fast as they answer', async (t) => {
  paused(t);
  const random = mock.method(Math, 'random', () => 1);
  t.after(() => random.mock.restore());
  const bench = new Bench(t);
  bench.client.connect();
  const waits = [];
  for (let node = 0; node < 8; node++) {
    await bench.welcome();
    bench.say({ type: 'drain', reconnect_ms: 0 });
    bench.lose(4000);
    waits.push(bench.heard('status').at(-1).wait_ms);
    mock.timers.tick(waits.at(-1));
  }
  assert.deepEqual(waits, [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200, 20_000]);
});

test('the close code says whether to come back', async (t) => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4000, 4001, 4003, 4100, 4499]) {
    assert.equal(mayReturn(code), true, String(code));
    const bench = new Bench(t);
    await bench.enter(5);
    bench.lose(code);
    assert.equal(bench.client.status, 'reconnecting', String(code));
  }
  for (const code of [1000, 1002, 1003, 1007, 1009, 1010, 1014, 3000, 3999, 4500, 4501, 4503, 4999]) {
    assert.equal(mayReturn(code), false, String(code));
    const bench = new Bench(t);
    await bench.enter(5);
    bench.lose(code);
    assert.deepEqual(bench.events.at(-1), { type: 'status', status: 'offline', reason: 'closed', code });
    bench.client.hurry();
    assert.equal(bench.sockets.length, 1);
  }
});

test('the pause before a try is a random part of a delay that doubles from 0.3 s to 20 s', () => {
  for (const [attempt, most_ms] of [[0, 300], [1, 600], [2, 1_200], [6, 19_200], [7, 20_000], [50, 20_000], [5_000, 20_000]]) {
    for (const random of [0, 0.25, 1]) assert.equal(pause(attempt, random), random * most_ms);
  }
});

test('the pause begins small again after a link that held', async (t) => {
  paused(t);
  const random = mock.method(Math, 'random', () => 1);
  t.after(() => random.mock.restore());
  const bench = new Bench(t);
  await bench.enter(5);
  const waits = [];
  for (const held_ms of [0, 0, 9_999, 10_000]) {
    mock.timers.tick(held_ms);
    bench.lose(1006);
    waits.push(bench.heard('status').at(-1).wait_ms);
    mock.timers.tick(waits.at(-1));
    await bench.welcome();
  }
  assert.deepEqual(waits, [300, 600, 1_200, 300]);
});

test('what a socket that was given up still says is nobody\'s', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const { onmessage } = bench.socket;
  const before = bench.socket;
  bench.client.rename('Ada');
  assert.deepEqual([before.onmessage, before.onclose, before.readyState], [null, null, 3]);
  assert.ok(onmessage);
});

test('a token is asked for before each connection, once, and told that the last one expired', async (t) => {
  const asked = [];
  const getToken = async (context) => {
    asked.push(context);
    return `t${asked.length}`;
  };
  const bench = new Bench(t, { getToken, storage: new Shelf() });
  bench.client.connect();
  await turn();
  await bench.welcome();
  assert.equal(bench.last('hello').token, 't1');
  bench.lose(4100);
  bench.client.hurry();
  await turn();
  await bench.welcome();
  assert.equal(bench.last('hello').token, 't2', 'not the one that the hub gave');
  assert.deepEqual(asked, [{ expired: false }, { expired: true }]);
  bench.lose(1006);
  bench.client.hurry();
  await turn();
  assert.deepEqual(asked.at(-1), { expired: false });
});

test('no token now is tried again, no token for good is not', async (t) => {
  paused(t);
  const answers = [new Error('the network'), null, new PalabreError('unauthorized')];
  const getToken = async () => {
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const bench = new Bench(t, { getToken });
  bench.client.connect();
  await turn();
  assert.deepEqual([bench.client.status, bench.events.at(-1).reason], ['reconnecting', 'no_token']);
  mock.timers.tick(bench.events.at(-1).wait_ms);
  await turn();
  await bench.welcome();
  assert.equal(bench.last('hello').token, undefined, 'null is a guest');
  bench.lose(4100);
  mock.timers.tick(bench.heard('status').at(-1).wait_ms);
  await turn();
  assert.deepEqual([bench.client.status, bench.events.at(-1).reason], ['offline', 'unauthorized']);
});

test('an address to which the platform opens nothing is told of, and not tried again', async (t) => {
  class Forbidden {
    constructor() {
      throw new Error('an insecure connection from a secure page');
    }
  }
  const bench = new Bench(t, { WebSocket: Forbidden });
  const before = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  const seen = new Promise((resolve) => process.once('unhandledRejection', resolve));
  bench.client.connect();
  assert.match((await seen).message, /insecure/);
  for (const listener of before) process.on('unhandledRejection', listener);
  assert.deepEqual(bench.events.at(-1), { type: 'status', status: 'offline', reason: 'refused' });
});

test('a token that comes after the client was closed connects nothing', async (t) => {
  let give;
  const bench = new Bench(t, { getToken: () => new Promise((resolve) => (give = resolve)) });
  bench.client.connect();
  bench.client.close();
  give('late');
  await turn();
  assert.equal(bench.sockets.length, 0);
});

test('a page that comes back to the foreground, or to the network, looks at its link', async (t) => {
  const target = new EventTarget();
  const names = ['addEventListener', 'removeEventListener', 'document'];
  const before = names.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
  const document = { visibilityState: 'hidden' };
  globalThis.addEventListener = target.addEventListener.bind(target);
  globalThis.removeEventListener = target.removeEventListener.bind(target);
  globalThis.document = document;
  t.after(() => names.forEach((name, n) => (before[n] ? Object.defineProperty(globalThis, name, before[n]) : delete globalThis[name])));
  const bench = new Bench(t);
  await bench.enter(5);
  target.dispatchEvent(new Event('visibilitychange'));
  assert.equal(bench.last('ping'), undefined, 'hidden');
  document.visibilityState = 'visible';
  target.dispatchEvent(new Event('visibilitychange'));
  assert.equal(bench.all('ping').length, 1);
  bench.lose(1006);
  target.dispatchEvent(new Event('online'));
  assert.equal(bench.sockets.length, 2);
  bench.client.close();
  target.dispatchEvent(new Event('online'));
  assert.equal(bench.sockets.length, 2, 'a client that was closed listens no more');
});

test('who is there, who writes, what was read', async (t) => {
  paused(t);
  const bench = new Bench(t);
  const bo = { id: 'g-bo', name: 'Bo' };
  const group = await bench.enter(5, { occupancy: 1, messages: [message(5)], chat: { unread: 3, unread_more: true } });
  assert.deepEqual([group.occupancy, group.members, group.unread, group.unreadMore], [1, null, 3, true]);

  bench.say({ type: 'presence', group: 'lobby', occupancy: 2, joined: [bo] });
  assert.deepEqual([group.occupancy, group.members], [2, null], 'nobody asked for names');
  const watched = group.watchMembers();
  await turn();
  bench.answer('presence', { type: 'presence', occupancy: 2, members: [ME, bo] });
  assert.deepEqual(await watched, [ME, bo]);
  bench.say({ type: 'presence', group: 'lobby', occupancy: 1, left: [bo] });
  assert.deepEqual(group.members, [ME]);
  bench.say({ type: 'presence', group: 'lobby', occupancy: 9, joined: [bo] });
  mock.timers.tick(2_000);
  await turn();
  assert.equal(bench.all('presence').length, 2, 'a list that does not agree is asked for again');
  bench.answer('presence', { type: 'presence', occupancy: 900 });
  await turn();
  assert.deepEqual([group.occupancy, group.members], [900, null], 'too many to be named');

  bench.say({ type: 'chat.typing', group: 'lobby', position: null, user: bo });
  bench.say({ type: 'chat.typing', group: 'lobby', position: null, user: ME });
  assert.deepEqual(group.typing, [bo], 'one does not see oneself write');
  bench.say(message(6));
  assert.deepEqual(group.typing, [], 'what they wrote is here');
  bench.say({ type: 'chat.typing', group: 'lobby', position: null, user: bo });
  mock.timers.tick(7_000);
  assert.deepEqual(group.typing, []);
  for (let key = 0; key < 5; key++) group.type();
  mock.timers.tick(3_000);
  group.type();
  assert.equal(bench.all('chat.typing').length, 2);

  assert.equal(group.unread, 4);
  group.read();
  assert.deepEqual([group.unread, group.unreadMore], [0, false]);
  bench.say(message(7));
  group.read();
  mock.timers.tick(2_000);
  assert.deepEqual(bench.all('chat.read').map(({ position }) => position), [at(7)], 'one for both');
  group.read();
  mock.timers.tick(2_000);
  assert.equal(bench.all('chat.read').length, 1);
});

test('who came back asks for the reactions to what stays on the screen', async (t) => {
  paused(t);
  const bench = new Bench(t);
  const group = await bench.enter(6, { messages: [message(6)] });
  group.on('change', () => {});
  bench.lose(1006);
  await bench.back();
  await bench.joined({ position: at(6), recovered: true, messages: [], more: false });
  mock.timers.tick(2_000);
  await turn();
  const reactions = { 'id-6': { counts: { '👍': 1 }, rev: 1, mine: [] } };
  bench.answer('history', { type: 'history', messages: [message(6)], more: false, chat: { reactions } });
  await turn();
  assert.deepEqual(group.messages[0].reactions, { '👍': 1 });
  bench.say({ type: 'chat.reactions', group: 'lobby', id: 'id-6', position: null, counts: { '👍': 9 }, rev: 0 });
  assert.deepEqual(group.messages[0].reactions, { '👍': 1 }, 'an older count comes late');
});

test('a consumer of one\'s own is asked, and its frames are heard', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  const frames = [];
  group.on('frame', ({ frame }) => frames.push(frame.type));
  const answer = group.ask('board.draw', { line: [1, 2] });
  await turn();
  assert.deepEqual(bench.last('board.draw').line, [1, 2]);
  bench.answer('board.draw', { type: 'board.drawn', id: 7 });
  assert.equal((await answer).id, 7);
  bench.say({ type: 'board.line', group: 'lobby', position: at(6) });
  assert.deepEqual(frames, ['board.drawn', 'board.line']);
  assert.deepEqual(group.position, at(6));
});

test('a name that the hub does not take is given up, and nothing else is', async (t) => {
  const bench = new Bench(t);
  bench.client.rename('\u202elive');
  bench.client.connect();
  bench.client.group('lobby').join();
  bench.socket.readyState = 1;
  bench.socket.onopen();
  const [hello] = bench.socket.sent;
  bench.say({ type: 'error', ref: hello.ref, code: 'bad_request', message: '`name` has a control character' });
  assert.equal(bench.sockets.length, 2);
  assert.equal(bench.client.name, '');
  await bench.welcome();
  assert.equal('name' in bench.socket.sent[0], false);
  assert.equal(bench.client.status, 'connected');
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby' }]);
});

test('a hello that is refused for another reason keeps the name, and is tried again only if it may work', async (t) => {
  for (const [code, status, shown] of [['rate_limited', 'reconnecting', 1013], ['overloaded', 'reconnecting', 1013], ['bad_request', 'offline', 4501], ['forbidden', 'offline', 4501]]) {
    const bench = new Bench(t, { name: 'Ana', storage: new Shelf() });
    const frames = [];
    bench.client.on('frame', ({ frame }) => frames.push(frame.code));
    bench.group.join().catch(() => {});
    bench.client.connect();
    bench.socket.readyState = 1;
    bench.socket.onopen();
    bench.say({ type: 'error', ref: 'hello', code, message: '`token` is no string' });
    assert.deepEqual(frames, [code], 'it is told of');
    assert.equal(bench.client.name, 'Ana', code);
    const { type: _, wait_ms: __, ...event } = bench.heard('status').at(-1);
    assert.deepEqual(event, { status, reason: 'closed', code: shown });
    assert.equal(bench.socket.readyState, 3);
  }
});

test('a join that was refused for want of a hello is asked for again', async (t) => {
  const bench = new Bench(t);
  const joined = bench.group.join();
  bench.client.connect();
  bench.socket.readyState = 1;
  bench.socket.onopen();
  bench.answer('join', { type: 'error', group: 'lobby', code: 'hello_required', message: 'hello first' });
  assert.equal(bench.group.refusal, null);
  bench.lose(1006);
  await bench.back();
  await bench.joined({ position: at(5), snapshot: { messages: [], more: false } });
  await joined;
});

test('a token that is being fetched is not fetched twice', async (t) => {
  let asked = 0;
  const bench = new Bench(t, { getToken: () => (++asked === 1 ? 'first' : new Promise(() => {})) });
  bench.client.connect();
  await turn();
  await bench.welcome();
  bench.lose(1006);
  for (let times = 0; times < 3; times++) bench.client.hurry();
  await turn();
  assert.equal(asked, 2);
});

test('a listener may close the client, or rename it, at any event', async (t) => {
  for (const type of ['user', 'layer', 'frame', 'status']) {
    const bench = new Bench(t);
    bench.group.join().catch(() => {});
    bench.client.on(type, ({ status }) => status !== 'connected' && status !== 'offline' && bench.client.close());
    bench.client.connect();
    if (bench.client.status !== 'offline') await bench.welcome();
    assert.equal(bench.client.status, 'offline', type);
    for (const { readyState } of bench.sockets) assert.equal(readyState, 3);
  }
  for (const type of ['user', 'layer', 'frame']) {
    const bench = new Bench(t);
    const off = bench.client.on(type, () => {
      off();
      bench.client.rename('Ada');
    });
    bench.client.connect();
    await bench.welcome();
    assert.equal(bench.client.status, 'reconnecting', type);
    await bench.welcome();
    assert.deepEqual([bench.client.status, bench.last('hello').name, bench.sockets.length], ['connected', 'Ada', 2]);
  }
});

test('a listener that closes the client at a frame keeps the group from what the frame says', async (t) => {
  for (const whose of ['client', 'group']) {
    const bench = new Bench(t);
    bench[whose].on('frame', ({ frame }) => frame.type === 'joined' && bench.client.close());
    await bench.enter(5);
    assert.deepEqual([bench.client.status, bench.group.joined], ['offline', false]);
  }
});

test('a client that came back asks once for members and reactions, after the last of what was missed', async (t) => {
  paused(t);
  const bench = new Bench(t);
  const group = await bench.enter(5);
  group.on('change', () => {});
  const watched = group.watchMembers();
  await turn();
  bench.answer('presence', { type: 'presence', occupancy: 1, members: [ME] });
  await watched;
  bench.lose(1006);
  await bench.back();
  for (let offset = 6; offset < 16; offset++) await bench.joined({ position: at(16), recovered: true, messages: [message(offset)], more: true });
  await bench.joined({ position: at(16), recovered: true, messages: [message(16)], more: false });
  mock.timers.tick(2_000);
  await turn();
  assert.deepEqual([bench.all('history').length, bench.all('presence').length], [1, 1]);
});

test('a live resync asks for the reactions again, and leaves what it does not speak of', async (t) => {
  paused(t);
  const bench = new Bench(t);
  const reactions = { 'id-5': { counts: { a: 2 }, rev: 7, mine: ['a'] } };
  const group = await bench.enter(5, { messages: [message(5)], chat: { unread: 3, reactions } });
  group.on('change', () => {});
  bench.say({ type: 'resync', group: 'lobby', reason: 'trimmed', position: at(9), snapshot: { messages: [message(5), message(9)], more: false } });
  assert.equal(group.unread, 3);
  mock.timers.tick(2_000);
  await turn();
  bench.answer('history', { type: 'history', messages: [message(5), message(9)], more: false, chat: { reactions } });
  await turn();
  assert.deepEqual([group.find('id-5').reactions, group.find('id-5').reacted], [{ a: 2 }, ['a']]);
});

test('who writes is no longer shown, and told of, when the link is lost', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.say({ type: 'chat.typing', group: 'lobby', position: null, user: { id: 'g-bo', name: 'Bo' } });
  bench.lose(1006);
  assert.deepEqual(bench.heard('typing').map(({ typing }) => typing.length), [1, 0]);
});

test('what was read is told once a connection, also by who one is now, and not in a group that was left', async (t) => {
  paused(t);
  const bench = new Bench(t);
  const group = await bench.enter(5);
  const read = async () => {
    group.read();
    mock.timers.tick(2_000);
    await turn();
    return bench.all('chat.read').map(({ position }) => position.offset);
  };
  assert.deepEqual(await read(), [5]);
  bench.answer('chat.read', { type: 'ack', read: at(5) });
  assert.deepEqual(await read(), [5]);
  bench.lose(1006);
  await bench.back({ id: 'g-other', name: 'Ana' });
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  assert.deepEqual(await read(), [5]);
  bench.answer('chat.read', { type: 'ack', read: at(5) });

  bench.say(message(6));
  group.read();
  bench.lose(1006);
  await bench.back({ id: 'g-other', name: 'Ana' });
  await bench.joined({ position: at(6), recovered: true, messages: [], more: false });
  mock.timers.tick(2_000);
  await turn();
  assert.deepEqual(bench.all('chat.read').map(({ position }) => position.offset), [6], 'a lost connection forgets nothing');
  bench.answer('chat.read', { type: 'ack', read: at(6) });

  bench.say(message(7));
  group.read();
  group.leave();
  group.join().catch(() => {});
  await turn();
  await bench.joined({ position: at(7), snapshot: { messages: [], more: false } });
  mock.timers.tick(2_000);
  await turn();
  assert.equal(bench.all('chat.read').length, 1);
  assert.deepEqual(await read(), [6, 7], 'who is back tells of it as before');
});

test('a client that was closed and connects again reads, and asks, as before', async (t) => {
  paused(t);
  const bench = new Bench(t);
  const group = await bench.enter(5);
  bench.client.close();
  bench.client.connect();
  await bench.welcome();
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  group.read();
  mock.timers.tick(2_000);
  await turn();
  assert.equal(bench.all('chat.read').length, 1);
});
