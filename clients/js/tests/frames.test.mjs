// The golden frames, and hostile ones: the client takes every frame that a hub may send, and none breaks it.
//
// The list of golden frames is the directory itself, so a frame that is added there is tried here at once.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { at, Bench, message, turn } from './bench.mjs';

const FRAMES = new URL('../../../protocol/frames/', import.meta.url);

const golden = readdirSync(FRAMES)
  .filter((name) => name.endsWith('.json'))
  .map((name) => ({ name, ...JSON.parse(readFileSync(new URL(name, FRAMES), 'utf8')) }));
const ofHub = golden.filter(({ direction }) => direction === 'hub');

test('there are golden frames of both directions', () => {
  assert.ok(ofHub.length > 0);
  assert.ok(golden.length > ofHub.length);
  for (const { name, frame } of golden) assert.equal(typeof frame.type, 'string', name);
});

for (const { name, frame } of ofHub) {
  test(`${name} is taken before and after the welcome, in the group, and twice`, async (t) => {
    const bench = new Bench(t);
    bench.group.join().catch(() => {});
    bench.client.connect();
    bench.say(frame);
    await bench.welcome();
    await bench.joined({ position: at(16), snapshot: { messages: [], more: false } });
    bench.say(frame);
    bench.say(frame);
    await turn();
    for (const entry of bench.group.messages) assert.ok(entry.type === 'note' || entry.user, name);
  });
}

test('every message of the golden frames reaches the screen as it was sent', async (t) => {
  for (const { name, frame } of ofHub.filter(({ frame }) => frame.type === 'chat.message')) {
    const bench = new Bench(t);
    const group = bench.client.group(frame.group);
    group.join().catch(() => {});
    bench.client.connect();
    await bench.welcome();
    bench.say({ type: 'joined', group: frame.group, position: null, snapshot: { messages: [], more: false } });
    bench.say(frame);
    const [entry] = group.messages;
    assert.equal(entry?.text, frame.text ?? '', name);
    assert.deepEqual(entry.data, frame.data, name);
    assert.equal(entry.replyTo, frame.reply_to, name);
    assert.equal(entry.deleted, frame.deleted === true, name);
    assert.deepEqual(entry.user, frame.user, name);
  }
});

test('a frame of a type that is not known is passed over, and its position counts', async (t) => {
  const bench = new Bench(t);
  const group = await bench.enter(5);
  bench.say({ type: 'poll.later', group: 'lobby', position: at(6) });
  assert.deepEqual(group.position, at(6));
  assert.deepEqual(group.messages, []);
});

const NONE = [
  'no JSON', 'null', '7', '"text"', '[]', '[{"type":"chat.message"}]', '{}', '{"type":7}', '{"type":"__proto__"}',
  '{"type":"chat.message"}', '{"type":"chat.message","group":"__proto__"}',
  '{"type":"chat.message","group":"lobby"}', '{"type":"chat.message","group":"lobby","id":"a"}',
  '{"type":"chat.message","group":"lobby","id":7,"user":{"id":"g"}}',
  '{"type":"chat.message","group":"lobby","id":"a","user":7}',
  '{"type":"chat.message","group":["lobby"],"id":"a","user":{"id":"g"}}',
  '{"type":"chat.reactions","group":"lobby","id":"id-6","counts":7,"rev":1}',
  '{"type":"chat.reactions","group":"lobby","id":"id-6","counts":null,"rev":1}',
  '{"type":"chat.reactions","group":"lobby","id":"id-6","counts":{"a":-1},"rev":"1"}',
  '{"type":"chat.typing","group":"lobby"}', '{"type":"chat.typing","group":"lobby","user":{}}',
  '{"type":"presence","group":"lobby","occupancy":-1,"joined":[null,7,{}],"left":7}',
  '{"type":"settled","group":"lobby"}', '{"type":"settled","group":"lobby","items":[null,{},{"id":"id-6"},{"id":7,"position":{}}]}',
  '{"type":"joined"}', '{"type":"joined","ref":"r1"}', '{"type":"joined","group":"elsewhere","position":null}',
  '{"type":"welcome"}', '{"type":"welcome","user":7}',
  '{"type":"error"}', '{"type":"error","ref":7,"code":7}', '{"type":"error","ref":"j1","group":"elsewhere","code":"forbidden"}',
  '{"type":"ack"}', '{"type":"ack","ref":"r1","group":"lobby","position":7}', '{"type":"drain"}', '{"type":"drain","reconnect_ms":"soon"}',
  '{"type":"history","ref":"r9","group":"lobby","messages":7}', '{"type":"left","group":"lobby"}',
];

for (const text of NONE) {
  test(`${text} changes nothing and breaks nothing`, async (t) => {
    const bench = new Bench(t);
    await bench.enter(5);
    bench.say(message(6));
    bench.socket.onmessage({ data: text });
    bench.say(message(7));
    assert.deepEqual(bench.texts(), ['text 6', 'text 7']);
    assert.equal(bench.client.status, 'connected');
  });
}

test('positions that are none count as none, and a message under one is shown', async (t) => {
  const positions = [
    7, 'here', [], {}, { epoch: 7, offset: 6 }, { epoch: 'e' }, at(-1), at(6.5), at(2 ** 53), at('6'), at(null), at(NaN),
  ];
  for (const position of positions) {
    const bench = new Bench(t);
    const group = await bench.enter(5);
    bench.say(message(6, { position, was: [position, null], first: position, version: -1, ts: 1e300, data: undefined }));
    assert.deepEqual(bench.texts(), ['text 6'], JSON.stringify(position));
    assert.deepEqual(group.position, at(5));
    assert.equal(new Date(group.messages[0].ts).toISOString().slice(0, 4), '1970');
  }
});

test('a huge offset asks what is missing before it, and is shown when the hub stands by it', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const far = at(Number.MAX_SAFE_INTEGER);
  bench.say(message(1, { position: far, text: 'far' }));
  await turn();
  assert.deepEqual(bench.last('join').groups, [{ group: 'lobby', since: at(5) }]);
  await bench.joined({ position: far, recovered: true, messages: [message(1, { position: far, text: 'far' })], more: false });
  assert.deepEqual(bench.texts(), ['far']);
});

test('messages in the wrong order are asked for again, and stand in the right one', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  for (const offset of [8, 6, 9, 7]) bench.say(message(offset));
  await turn();
  await bench.joined({ position: at(9), recovered: true, messages: [6, 7, 8, 9].map((offset) => message(offset)), more: false });
  assert.deepEqual(bench.texts(), ['text 6', 'text 7', 'text 8', 'text 9']);
});

test('a text that looks like markup stays a text', async (t) => {
  const bench = new Bench(t);
  await bench.enter(5);
  const text = '<img src=x onerror=alert(1)>\u202e\u0000';
  bench.say(message(6, { text }));
  assert.deepEqual(bench.texts(), [text]);
});
