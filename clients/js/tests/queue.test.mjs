// What one writes reaches the history once, whatever happens on the way: the queue, its states, its bounds.

import assert from 'node:assert/strict';
import test, { mock } from 'node:test';
import { at, Bench, ME, message, Shelf, turn } from './bench.mjs';

const OTHER = { id: 'g-other', name: 'Ana' };

function states({ group }) {
  return group.messages.map(({ text, state }) => [text, state]);
}

/** Acks the newest send. */
function ack(bench, fields) {
  bench.answer('chat.send', { type: 'ack', id: 'own', position: at(6), scope: 'cluster', ...fields });
}

test('a message goes from queued to settled', async (t) => {
  const bench = new Bench(t);
  const queues = [];
  bench.client.on('queue', ({ queue }) => queues.push(queue.map(({ state }) => state)));
  const promise = bench.group.send('hello');
  const seen = [states(bench)];
  bench.client.connect();
  await bench.welcome();
  assert.equal(bench.last('chat.send'), undefined, 'it waits for the group');
  await bench.joined({ position: at(5), snapshot: { messages: [], more: false } });
  seen.push(states(bench));
  ack(bench, { position: null, scope: 'node' });
  seen.push(states(bench));
  assert.deepEqual(await promise, { id: 'own', position: null, scope: 'node' });
  assert.equal(bench.client.queue.length, 1, 'it is not safe yet');
  bench.say({ type: 'settled', group: 'lobby', items: [{ id: 'own', position: at(6) }] });
  seen.push(states(bench));
  assert.deepEqual(seen.flat().map(([, state]) => state), ['queued', 'sending', 'sent', 'settled']);
  assert.equal(bench.client.queue.length, 0);
  await turn();
  assert.deepEqual(queues.at(-1), []);
});

test('what is not settled goes out again after a reconnect, in order, under its own client id and first position', async (t) => {
  const bench = new Bench(t);
  const { group } = bench;
  await bench.enter(5);
  const one = group.send({ text: 'one', data: { n: 1 }, replyTo: 'id-1' });
  ack(bench, { id: 'one', position: null, scope: 'node' });
  await one;
  bench.say(message(6));
  const two = group.send('two');
  const first = bench.all('chat.send');
  bench.lose(1006);
  const three = group.send('three');
  await bench.back();
  await bench.joined({ position: at(9), recovered: true, messages: [7, 8, 9].map((offset) => message(offset)), more: false });
  const again = bench.all('chat.send');
  assert.deepEqual(again.map(({ text }) => text), ['one', 'two', 'three']);
  assert.deepEqual(again.map(({ since }) => since), [at(5), at(6), at(9)]);
  const bare = ({ ref: _, ...frame }) => frame;
  assert.deepEqual(again.slice(0, 2).map(bare), first.map(bare), 'word for word');
  again.forEach(({ ref }, n) => bench.say({ type: 'ack', ref, group: 'lobby', id: `n${n}`, position: at(10 + n), scope: 'cluster' }));
  assert.equal((await two).id, 'n1');
  assert.equal((await three).position.offset, 12);
  assert.deepEqual(states(bench).slice(-3), [['one', 'settled'], ['two', 'settled'], ['three', 'settled']]);
});

test('an echo stands for an ack that was lost with its connection', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const promise = bench.group.send('hello');
  const { client_id } = bench.last('chat.send');
  bench.say(message(6, { id: 'own', client_id, user: ME, text: 'hello' }));
  bench.lose(1006);
  assert.deepEqual(await promise, { id: 'own', position: at(6), scope: undefined });
  await bench.back();
  await bench.joined({ position: at(6), recovered: true, messages: [], more: false });
  assert.equal(bench.last('chat.send'), undefined, 'it is not sent again');
});

test('another identity sends what was never tried, and repeats nothing by itself', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const promise = bench.group.send('hello');
  bench.lose(1006);
  const later = bench.group.send('written while away');
  bench.client.hurry();
  await turn();
  await Promise.all([bench.welcome(OTHER), assert.rejects(promise, { code: 'new_identity' })]);
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  assert.deepEqual(bench.all('chat.send').map(({ text }) => text), ['written while away']);
  ack(bench);
  await later;
  const [failed] = bench.group.messages.filter(({ state }) => state === 'failed');
  assert.equal(failed.code, 'new_identity');
  const retried = bench.group.retry(failed.clientId);
  await turn();
  assert.equal(bench.last('chat.send').text, 'hello', 'who we are now says it, when somebody asks for it');
  ack(bench, { id: 'two', position: at(7) });
  await retried;
});

test('a refusal for the moment keeps the order, and is waited out for as long as the hub asks', async (t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
  const bench = new Bench(t);
  await bench.enter(5);
  const promises = ['one', 'two'].map((text) => bench.group.send(text));
  const [one, two] = bench.all('chat.send');
  bench.say({ type: 'error', ref: one.ref, group: 'lobby', code: 'rate_limited', message: 'slow down', retry_after_s: 4 });
  bench.say({ type: 'error', ref: two.ref, group: 'lobby', code: 'rate_limited', message: 'slow down', retry_after_s: 4 });
  assert.deepEqual(states(bench), [['one', 'queued'], ['two', 'queued']]);
  assert.deepEqual(bench.client.queue.map(({ code }) => code), ['rate_limited', 'rate_limited']);
  const third = bench.group.send('three');
  mock.timers.tick(3_999);
  assert.equal(bench.all('chat.send').length, 2, 'nothing overtakes');
  mock.timers.tick(1);
  assert.deepEqual(bench.all('chat.send').slice(2).map(({ text }) => text), ['one', 'two', 'three']);
  bench.all('chat.send').slice(2).forEach(({ ref }, n) => bench.say({ type: 'ack', ref, group: 'lobby', id: `n${n}`, position: at(6 + n) }));
  await Promise.all([...promises, third]);
});

test('what is unavailable goes out when the layer is healthy again', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const promise = bench.group.send('hello');
  bench.answer('chat.send', { type: 'error', code: 'unavailable', message: 'not now' });
  assert.deepEqual(states(bench), [['hello', 'queued']]);
  bench.say({ type: 'layer', state: 'healthy', mode: 'redis', scope: 'cluster', since: 0 });
  assert.equal(bench.all('chat.send').length, 2);
  ack(bench);
  assert.equal((await promise).id, 'own');
});

test('a refusal for good fails the message, which may be tried again as the same one or given up', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const refused = bench.group.send('hello');
  const first = bench.last('chat.send');
  bench.answer('chat.send', { type: 'error', code: 'internal', message: 'a fault' });
  await assert.rejects(refused, { name: 'PalabreError', code: 'internal', message: 'a fault' });
  assert.deepEqual(states(bench), [['hello', 'failed']]);
  const again = bench.group.retry(first.client_id);
  assert.equal(bench.last('chat.send').client_id, first.client_id);
  bench.answer('chat.send', { type: 'error', code: 'too_large', message: 'too long' });
  await assert.rejects(again, { code: 'too_large' });
  bench.group.discard(first.client_id);
  assert.deepEqual(states(bench), []);
  assert.equal(bench.client.queue.length, 0);
  await assert.rejects(bench.group.retry(first.client_id), { code: 'not_found' });
});

test('what is tried again stands behind what waits, and is the same repeat as ever', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const refused = bench.group.send('one');
  bench.answer('chat.send', { type: 'error', code: 'internal', message: 'a fault' });
  await assert.rejects(refused, { code: 'internal' });
  bench.say(message(6));
  bench.lose(1006);
  bench.group.send('two').catch(() => {});
  bench.group.retry(bench.client.queue[0].frame.client_id).catch(() => {});
  await bench.back();
  await bench.joined({ position: at(6), recovered: true, messages: [], more: false });
  const sends = bench.all('chat.send').map(({ text, since }) => [text, since]);
  assert.deepEqual(sends, [['two', at(6)], ['one', at(5)]], 'the hub looks for it from where it was first sent');
});

test('what another identity has made its own stays so', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const refused = bench.group.send('hello');
  bench.lose(1006);
  await Promise.all([bench.back(OTHER), assert.rejects(refused, { code: 'new_identity' })]);
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  const retried = bench.group.retry(bench.group.messages[0].clientId);
  bench.lose(1006);
  await bench.back(OTHER);
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  ack(bench);
  assert.equal((await retried).id, 'own');
});

test('of two refusals for the moment the later one counts, and none outlives what ended it', async (t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
  const bench = new Bench(t);
  await bench.enter(5);
  bench.group.send('one').catch(() => {});
  bench.group.send('two').catch(() => {});
  const refuse = ({ ref }, retry_after_s) => bench.say({ type: 'error', ref, group: 'lobby', code: 'rate_limited', message: 'slow', retry_after_s });
  const [one, two] = bench.all('chat.send');
  refuse(one, 2);
  refuse(two, 6);
  mock.timers.tick(5_999);
  assert.equal(bench.all('chat.send').length, 2);
  mock.timers.tick(1);
  assert.equal(bench.all('chat.send').length, 4);
  refuse(bench.last('chat.send'), 4);
  mock.timers.tick(1_000);
  // What ends the wait ends its timer too, or that would cut the next one short.
  bench.say({ type: 'layer', state: 'healthy', mode: 'redis', scope: 'cluster', since: 0 });
  assert.equal(bench.all('chat.send').length, 5);
  refuse(bench.last('chat.send'), 4);
  mock.timers.tick(3_999);
  assert.equal(bench.all('chat.send').length, 5);
  mock.timers.tick(1);
  assert.equal(bench.all('chat.send').length, 6);
});

test('what is refused for good makes way, and a question that failed is kept no longer', async (t) => {
  const bench = new Bench(t, { queueMax: 2 });
  bench.group.join().catch(() => {});
  bench.client.connect();
  await bench.welcome(ME, { limits: { open_requests: 1 } });
  await bench.joined({ position: at(5), snapshot: { messages: [], more: false } });
  for (let round = 0; round < 3; round++) {
    const asked = [bench.group.history(), bench.group.history()];
    for (let each = 0; each < 2; each++) bench.answer('history', { type: 'error', code: 'not_found', message: 'nothing' });
    for (const one of asked) await assert.rejects(one, { code: 'not_found' });
  }
  assert.equal(bench.all('history').length, 6);
});

test('a signal that outlives a message keeps nothing of it', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const { signal } = new AbortController();
  const listening = new Set();
  signal.addEventListener = (_, listener) => listening.add(listener);
  signal.removeEventListener = (_, listener) => listening.delete(listener);
  const promise = bench.group.send('hello', { signal });
  assert.equal(listening.size, 1);
  ack(bench);
  await promise;
  await turn();
  assert.equal(listening.size, 0);
});

test('aborting takes back what has not gone out, and only that', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const [early, late] = [new AbortController(), new AbortController()];
  const gone = bench.group.send('gone out', { signal: late.signal });
  bench.lose(1006);
  const waiting = bench.group.send('waits', { signal: early.signal });
  early.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  assert.deepEqual(states(bench), [['gone out', 'queued']]);
  await bench.back();
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  late.abort();
  await assert.rejects(gone, { name: 'AbortError' });
  ack(bench);
  assert.deepEqual(states(bench), [['gone out', 'settled']]);
  await assert.rejects(bench.group.send('never', { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.equal(bench.all('chat.send').length, 1);
});

test('a client that is closed fails what waits, and another connect lets it be tried again', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const promise = bench.group.send('hello');
  bench.lose(4502);
  assert.equal(bench.client.status, 'offline');
  await assert.rejects(promise, { code: 'closed' });
  const again = bench.group.retry(bench.group.messages[0].clientId);
  await turn();
  await bench.welcome();
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  ack(bench);
  assert.equal((await again).id, 'own');
});

test('leaving the group fails what waits for it', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const promise = bench.group.send('hello');
  bench.group.leave();
  await assert.rejects(promise, { code: 'left' });
  assert.equal(bench.client.queue.length, 0);
});

test('no more requests are open than the hub reads, and no more wait than may', async (t) => {
  const bench = new Bench(t, { queueMax: 5 });
  bench.group.join().catch(() => {});
  bench.client.connect();
  await bench.welcome(ME, { limits: { open_requests: 2 } });
  await bench.joined({ position: at(5), snapshot: { messages: [], more: false } });
  const promises = [1, 2, 3, 4, 5].map((n) => bench.group.send(`n${n}`));
  await assert.rejects(bench.group.send('n6'), { code: 'queue_full' });
  assert.deepEqual(bench.all('chat.send').map(({ text }) => text), ['n1', 'n2']);
  for (let n = 0; n < 5; n++) {
    const { ref } = bench.all('chat.send')[n];
    bench.say({ type: 'ack', ref, group: 'lobby', id: `n${n}`, position: at(6 + n), scope: 'cluster' });
  }
  await Promise.all(promises);
  assert.equal(bench.all('chat.send').length, 5);
});

test('what waited too long is not said out of nowhere', async (t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
  const bench = new Bench(t, { queueAge_ms: 60_000 });
  await bench.enter(5);
  bench.lose(1006);
  const promise = bench.group.send('hello');
  mock.timers.tick(60_001);
  await bench.welcome();
  await Promise.all([bench.joined({ position: at(5), recovered: true, messages: [], more: false }), assert.rejects(promise, { code: 'expired' })]);
  assert.deepEqual(states(bench), [['hello', 'failed']]);
  assert.equal(bench.last('chat.send'), undefined);
});

test('what waits or has failed outlives the page, where it is given a storage', async (t) => {
  const [storage, queueStorage] = [new Shelf(), new Shelf()];
  const before = new Bench(t, { storage, queueStorage });
  await before.enter(5);
  const refused = before.group.send('refused');
  before.answer('chat.send', { type: 'error', code: 'too_large', message: 'too long' });
  await assert.rejects(refused, { code: 'too_large' });
  before.group.send({ text: 'waits', data: 7 }).catch(() => {});
  const { client_id } = before.last('chat.send');
  before.lose(1006);
  await turn();

  const after = new Bench(t, { storage, queueStorage });
  assert.deepEqual(states(after), [['refused', 'failed'], ['waits', 'queued']]);
  await after.enter(6, { messages: [message(6)] });
  const sends = after.all('chat.send');
  assert.deepEqual(sends.map((frame) => [frame.text, frame.data, frame.client_id, frame.since]), [['waits', 7, client_id, at(5)]]);
  assert.equal(after.last('hello').token, 'token of g-me');
  ack(after, { position: at(7) });
  assert.deepEqual(states(after), [['text 6', 'settled'], ['waits', 'settled'], ['refused', 'failed']]);
  after.group.discard(after.group.messages[2].clientId);
  await turn();
  assert.equal([...queueStorage.kept.values()].length, 0);
});

test('a storage with somebody else\'s words in it, or that throws, is as none', async (t) => {
  const broken = { getItem() { throw new Error('blocked'); }, setItem() { throw new Error('blocked'); }, removeItem() { throw new Error('blocked'); } };
  const bench = new Bench(t, { storage: broken, queueStorage: broken });
  await bench.enter(5);
  bench.group.send('hello').catch(() => {});
  assert.equal(bench.last('chat.send').text, 'hello');
  for (const text of ['no JSON', '7', 'null', '[7, null, {}, {"frame": {}}, {"frame": {"client_id": "a", "group": "/"}}]']) {
    const queueStorage = new Shelf();
    queueStorage.getItem = () => text;
    assert.deepEqual(new Bench(t, { queueStorage }).client.queue, [], text);
  }
});

test('an edit, a deletion and a reaction go out again as well, and answer', async (t) => {
  const bench = new Bench(t);
  const { group } = bench;
  await bench.enter(6, { messages: [message(6, { user: ME })] });
  const asked = [group.edit('id-6', 'better'), group.delete('id-5'), group.react('id-6', '👍')];
  assert.deepEqual([group.messages[0].reactions, group.messages[0].reacted], [{ '👍': 1 }, ['👍']], 'shown at once');
  const first = ['chat.edit', 'chat.delete', 'chat.react'].map((type) => bench.last(type));
  bench.lose(1006);
  await bench.back();
  await bench.joined({ position: at(6), recovered: true, messages: [], more: false });
  for (const { type, client_id } of first) {
    assert.equal(bench.last(type).client_id, client_id);
    bench.answer(type, { type: 'ack', id: 'id-6', scope: 'cluster', ...(client_id && { position: at(7) }) });
  }
  const [edited] = await Promise.all(asked);
  assert.deepEqual(edited, { id: 'id-6', position: at(7), scope: 'cluster' });
  assert.equal(bench.client.queue.length, 0);
});

test('an edit that was acked without a place is safe when its echo comes', async (t) => {
  const bench = new Bench(t);
  await bench.enter(6, { messages: [message(6, { user: ME })] });
  const asked = bench.group.edit('id-6', 'better');
  bench.answer('chat.edit', { type: 'ack', id: 'id-6', position: null, scope: 'node' });
  await asked;
  assert.equal(bench.client.queue[0].state, 'sent');
  const { client_id } = bench.last('chat.edit');
  bench.say(message(7, { id: 'id-6', client_id, user: ME, version: 2, first: at(6), text: 'better' }));
  assert.equal(bench.client.queue.length, 0);
  assert.deepEqual(states(bench), [['better', 'settled']]);
});

test('a reaction that is refused is taken back from the screen', async (t) => {
  const bench = new Bench(t);
  await bench.enter(6, { messages: [message(6)], chat: { reactions: { 'id-6': { counts: { '👍': 2 }, rev: 3, mine: ['👍'] } } } });
  const [entry] = bench.group.messages;
  assert.deepEqual([entry.reactions, entry.reacted], [{ '👍': 2 }, ['👍']]);
  const promise = bench.group.react('id-6', '🎉');
  assert.deepEqual(entry.reactions, { '👍': 2, '🎉': 1 });
  bench.answer('chat.react', { type: 'error', code: 'too_large', message: 'too many kinds' });
  await assert.rejects(promise, { code: 'too_large' });
  assert.deepEqual([entry.reactions, entry.reacted], [{ '👍': 2 }, ['👍']]);
});

/** The reactions that the screen shows of the one message of a bench. */
function shown({ group }) {
  const [{ reactions, reacted }] = group.messages;
  return [reactions, reacted];
}

/** The hub tells everybody of the reactions to `id-6`. */
function tell(bench, counts, rev) {
  bench.say({ type: 'chat.reactions', group: 'lobby', id: 'id-6', position: null, counts, rev });
}

/** The hub answers reaction number `n` of this connection. */
function answerReaction(bench, n, fields = { type: 'ack' }) {
  const { ref } = bench.all('chat.react')[n];
  bench.say({ ref, group: 'lobby', id: 'id-6', ...fields });
  return turn();
}

test('two kinds given one after the other are shown all the time, in whichever order the hub speaks', async (t) => {
  for (const ackFirst of [true, false]) {
    const bench = new Bench(t);
    const chat = { reactions: { 'id-6': { counts: { b: 5 }, rev: 1, mine: [] } } };
    await bench.enter(6, { messages: [message(6)], chat });
    const both = [bench.group.react('id-6', 'a'), bench.group.react('id-6', 'b')];
    assert.deepEqual(shown(bench), [{ b: 6, a: 1 }, ['a', 'b']]);
    const deeds = [() => answerReaction(bench, 0), () => tell(bench, { a: 1, b: 5 }, 2), () => answerReaction(bench, 1)];
    if (!ackFirst) deeds.push(deeds.shift());
    for (const deed of deeds.slice(0, 2)) {
      await deed();
      assert.deepEqual(shown(bench), [{ b: 6, a: 1 }, ['a', 'b']]);
    }
    tell(bench, { a: 1, b: 6 }, 3);
    await deeds[2]();
    await Promise.all(both);
    assert.deepEqual(shown(bench), [{ a: 1, b: 6 }, ['a', 'b']]);
  }
});

test('an own reaction stays, and counts once, while others react', async (t) => {
  const bench = new Bench(t);
  await bench.enter(6, { messages: [message(6)] });
  const given = bench.group.react('id-6', 'mine');
  tell(bench, { other: 1 }, 10);
  assert.deepEqual(shown(bench), [{ mine: 1 }, ['mine']], 'whether ours is in it nobody can say yet');
  await answerReaction(bench, 0);
  await given;
  assert.deepEqual(shown(bench), [{ other: 1, mine: 1 }, ['mine']]);
  tell(bench, { other: 1, mine: 1 }, 11);
  assert.deepEqual(shown(bench), [{ other: 1, mine: 1 }, ['mine']]);
  // Theirs overtakes our answer, with ours in it.
  const taken = bench.group.react('id-6', 'mine', false);
  tell(bench, { other: 1 }, 12);
  await answerReaction(bench, 1);
  await taken;
  assert.deepEqual(shown(bench), [{ other: 1 }, []]);
});

test('refused reactions are taken back, whatever else was clicked and came meanwhile, and only if they were shown', async (t) => {
  const refusal = { type: 'error', code: 'not_found', message: 'gone' };
  const bench = new Bench(t);
  const chat = { reactions: { 'id-6': { counts: { a: 5 }, rev: 1, mine: [] } } };
  await bench.enter(6, { messages: [message(6)], chat });
  const click = (on) => assert.rejects(bench.group.react('id-6', 'a', on), { code: 'not_found' });
  const refused = [click(true), click(false), click(true)];
  tell(bench, { a: 6, b: 1 }, 2);
  assert.deepEqual(shown(bench), [{ a: 6 }, ['a']]);
  for (let n = 0; n < 3; n++) await answerReaction(bench, n, refusal);
  await Promise.all(refused);
  assert.deepEqual(shown(bench), [{ a: 6, b: 1 }, []]);

  const known = new Bench(t);
  await known.enter(6, { messages: [message(6)], chat: { reactions: { 'id-6': { counts: { a: 1 }, rev: 1, mine: ['a'] } } } });
  const again = assert.rejects(known.group.react('id-6', 'a'), { code: 'not_found' });
  await answerReaction(known, 0, refusal);
  await again;
  assert.deepEqual(shown(known), [{ a: 1 }, ['a']]);
});

test('a kind may be called as what every object has', async (t) => {
  for (const kind of ['constructor', 'toString', '__proto__']) {
    const bench = new Bench(t);
    await bench.enter(6, { messages: [message(6)] });
    bench.group.react('id-6', kind).catch(() => {});
    const [{ reactions, reacted }] = bench.group.messages;
    assert.deepEqual([Object.entries(reactions), reacted], [[[kind, 1]], [kind]]);
  }
});

test('what is larger than the hub reads fails by itself, and the others go on', async (t) => {
  const bench = new Bench(t);
  bench.group.join().catch(() => {});
  bench.client.connect();
  await bench.welcome(ME, { limits: { frame_bytes: 400 } });
  await bench.joined({ position: at(5), snapshot: { messages: [], more: false } });
  await assert.rejects(bench.group.send('é'.repeat(200)), { code: 'too_large' });
  const small = bench.group.send('é'.repeat(50));
  assert.deepEqual(bench.all('chat.send').map(({ text }) => text.length), [50]);
  ack(bench);
  await small;
  assert.deepEqual(states(bench).map(([, state]) => state), ['settled', 'failed']);
});

test('what JSON cannot hold fails by itself, and what was given may be changed afterwards', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  await assert.rejects(bench.group.send({ text: 'x', data: { n: 1n } }), TypeError);
  assert.deepEqual(bench.texts(), []);
  const data = { n: 1 };
  bench.group.send({ text: 'x', data }).catch(() => {});
  data.n = 2;
  bench.lose(1006);
  await bench.back();
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  assert.deepEqual(bench.last('chat.send').data, { n: 1 });
  assert.deepEqual(bench.group.messages[0].data, { n: 1 });
});

test('a message whose ack was lost stands once, although it was amended from another tab meanwhile', async (t) => {
  for (const amendment of [{ text: 'mine, edited' }, { text: undefined, deleted: true }]) {
    const bench = new Bench(t);
    const { group } = bench;
    await bench.enter(5);
    const promise = group.send('mine');
    bench.lose(1006);
    await bench.back();
    const amended = message(7, { id: 'own', first: at(6), version: 2, client_id: 'amends', user: ME, ...amendment });
    await bench.joined({ position: at(7), recovered: true, messages: [amended], more: false });
    ack(bench, { position: at(6) });
    assert.equal((await promise).id, 'own');
    assert.deepEqual(group.messages.map(({ id, version, state }) => [id, version, state]), [['own', 2, 'settled']]);
    assert.equal(bench.client.queue.length, 0);
  }
});

test('a late copy of an own message, whose newer version stands already, leaves nothing on its way', async (t) => {
  const bench = new Bench(t);
  const { group } = bench;
  await bench.enter(5);
  const promise = group.send('mine');
  const { client_id } = bench.last('chat.send');
  bench.lose(1006);
  await bench.back();
  const common = { id: 'own', user: ME };
  const edited = message(7, { ...common, first: at(6), version: 2, client_id: 'amends', text: 'edited' });
  await bench.joined({ position: at(7), recovered: true, messages: [edited], more: false });
  bench.say(message(6, { ...common, client_id, text: 'mine' }));
  bench.lose(1006);
  assert.equal((await promise).id, 'own');
  assert.deepEqual(states(bench), [['edited', 'settled']]);
});

test('a repeat that is acked where the message was amended stands where it began', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  bench.group.send('mine').catch(() => {});
  ack(bench, { position: at(8) });
  bench.say(message(6));
  bench.say({ type: 'settled', group: 'lobby', items: [{ id: 'elsewhere', position: at(7) }] });
  const edited = { id: 'own', user: ME, first: at(5), version: 2, text: 'edited' };
  bench.say(message(8, { ...edited, client_id: 'amends' }));
  assert.deepEqual(bench.texts(), ['edited', 'text 6']);
});

test('what failed takes no place of what waits, and the oldest of it makes way', async (t) => {
  const bench = new Bench(t, { queueMax: 3 });
  await bench.enter(5);
  for (let n = 0; n < 5; n++) {
    const refused = assert.rejects(bench.group.send(`n${n}`), { code: 'internal' });
    bench.answer('chat.send', { type: 'error', code: 'internal', message: 'a fault' });
    await refused;
  }
  assert.deepEqual(states(bench), [['n2', 'failed'], ['n3', 'failed'], ['n4', 'failed']]);
  assert.equal(bench.client.queue.length, 3);
  const waiting = [1, 2, 3].map(() => bench.group.send('waits'));
  await assert.rejects(bench.group.send('one more'), { code: 'queue_full' });
  for (const { ref } of bench.all('chat.send').slice(-3)) bench.say({ type: 'ack', ref, group: 'lobby', id: ref, position: at(6), scope: 'cluster' });
  await Promise.all(waiting);
});

test('what went out once goes its way, although nobody waits for it any more', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const over = new AbortController();
  const aborted = assert.rejects(bench.group.send('aborted', { signal: over.signal }), { name: 'AbortError' });
  const discarded = assert.rejects(bench.group.send('discarded'), { code: 'discarded' });
  bench.lose(1006);
  over.abort();
  bench.group.discard(bench.group.messages[1].clientId);
  await Promise.all([aborted, discarded]);
  assert.deepEqual(states(bench), [['aborted', 'queued'], ['discarded', 'queued']], 'the hub may have them');
  await bench.back();
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  assert.deepEqual(bench.all('chat.send').map(({ text }) => text), ['aborted', 'discarded']);
});

test('a request of a consumer of one\'s own is done when it is answered, whatever the answer says of a place', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const asked = bench.group.ask('notes.add', { x: 1 });
  bench.answer('notes.add', { type: 'notes.added', position: null });
  await asked;
  bench.lose(1006);
  await bench.back();
  await bench.joined({ position: at(5), recovered: true, messages: [], more: false });
  assert.equal(bench.last('notes.add'), undefined);
});

test('a wait of weeks is cut to an hour, and is no wait of nothing', async (t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
  const bench = new Bench(t);
  await bench.enter(5);
  bench.group.send('hello').catch(() => {});
  bench.answer('chat.send', { type: 'error', code: 'rate_limited', message: 'slow down', retry_after_s: 3_000_000 });
  // A timer takes 2^31 ms at most, and goes off at once for more.
  for (let part = 0; part < 120; part++) {
    assert.equal(bench.all('chat.send').length, 1);
    mock.timers.tick(30_000);
    bench.say({ type: 'ping' });
  }
  assert.equal(bench.all('chat.send').length, 2);
});

test('an edit that was acked without a place is safe when its message is said to have another', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5, { messages: [message(5, { user: ME })] });
  const asked = ['two', 'three'].map((text) => bench.group.edit('id-5', text));
  for (const { ref } of bench.all('chat.edit')) bench.say({ type: 'ack', ref, group: 'lobby', id: 'id-5', position: null, scope: 'node' });
  await Promise.all(asked);
  for (const left of [['three'], []]) {
    bench.say({ type: 'settled', group: 'lobby', items: [{ id: 'id-5', position: at(7 - left.length) }] });
    assert.deepEqual(bench.client.queue.map(({ frame }) => frame.text), left);
  }
});
