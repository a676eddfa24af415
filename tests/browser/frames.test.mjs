// The golden frames, as JavaScript sees them: the page's code takes every frame that a hub may send.
//
// The list is the directory itself, so a frame that is added there is tried here at once.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { at, Bench } from './socket.mjs';

const FRAMES = new URL('../../protocol/frames/', import.meta.url);

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
  test(`${name} is taken by a page in the group, before and after its welcome, and twice`, (t) => {
    const bench = new Bench(t);
    bench.hub.join('lobby');
    bench.hub.connect();
    bench.hub.take(frame);
    bench.welcome();
    bench.joined({ position: at(16), snapshot: { messages: [], more: false } });
    bench.say(frame);
    bench.say(frame);
    for (const entry of bench.hub.rooms.get('lobby').list()) assert.ok(entry.note || entry.user, name);
  });
}

test('every message of the golden frames reaches the screen as it was sent', (t) => {
  for (const { name, frame } of ofHub.filter(({ frame }) => frame.type === 'chat.message')) {
    const bench = new Bench(t);
    bench.hub.join(frame.group);
    bench.hub.connect();
    bench.welcome();
    bench.say({ type: 'joined', group: frame.group, position: null, snapshot: { messages: [], more: false } });
    bench.say(frame);
    const [entry] = bench.hub.rooms.get(frame.group).list();
    assert.equal(entry?.text, frame.text ?? '', name);
    assert.equal(entry.deleted, frame.deleted === true, name);
    assert.deepEqual(entry.user, frame.user, name);
  }
});

test('a frame of a type that is not known is passed over, and its position counts', (t) => {
  const bench = new Bench(t);
  const room = bench.enter(5);
  bench.say({ type: 'poll.later', group: 'lobby', position: at(6) });
  assert.deepEqual(room.position, at(6));
  assert.deepEqual(room.list(), []);
});
