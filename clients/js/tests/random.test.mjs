// Anything in any order: connections that break in the middle of anything, frames that are lost or come twice, acks
// before and after echoes, refusals for the moment, histories that are trimmed, nodes that answer later. At the end
// each message stands once in the history and once on the screen, in the same order, or a note says what may miss;
// and nobody was told of one twice. Own messages are amended from another tab as well, whether they were acked or not.
//
// `PALABRE_SEED` repeats a run that failed.

import assert from 'node:assert/strict';
import test, { mock } from 'node:test';
import { Bench, EPOCH, ME, turn } from './bench.mjs';

const RUNS = 200;
const STEPS = 120;
const BO = { id: 'g-bo', name: 'Bo' };
const first = Number(process.env.PALABRE_SEED ?? Date.now() % 1_000_000);

/** Numbers that a seed repeats (mulberry32). */
function dice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { chance: (part) => next() < part, below: (count) => Math.floor(next() * count) };
}

/** A hub of one group, as docs/protocol.md has it: what it holds, and a connection that may break. */
class Hub {
  log = []; // {id, client_id, user, text, sent, offset, version, first}; `sent` is what was written of an own one
  last = 0;
  trimmed = 0; // the last offset that the history has let go of
  toClient = [];
  toHub = 0; // frames of the socket that were read
  member = false;
  refusals = 0;

  constructor(bench, random) {
    this.bench = bench;
    this.random = random;
  }

  get isOpen() {
    return this.bench.socket?.readyState === 1;
  }

  position(offset = this.last) {
    return { epoch: EPOCH, offset };
  }

  frame({ offset, first, sent: _, ...message }) {
    const place = first === offset ? {} : { first: this.position(first) };
    return { type: 'chat.message', group: 'lobby', ts: 1, position: this.position(offset), ...place, ...message };
  }

  append(message) {
    this.last++;
    const entry = { version: 1, first: this.last, ...message, offset: this.last };
    this.log = this.log.filter(({ id }) => id !== entry.id).concat(entry);
    if (this.member) this.live(this.frame(entry));
    return entry;
  }

  /** Live frames may be lost on the way to one client, or come twice: a position tells. */
  live(frame) {
    if (this.random.chance(0.05)) return;
    this.toClient.push(frame);
    if (this.random.chance(0.05)) this.toClient.push(frame);
  }

  page(after) {
    return this.log.filter(({ offset }) => offset > Math.max(after, this.trimmed));
  }

  /** Reads one frame of the client. */
  read() {
    const frame = this.bench.socket?.sent[this.toHub];
    if (!this.isOpen || !frame) return;
    this.toHub++;
    if (frame.type === 'join') this.join(frame);
    if (frame.type === 'chat.send') this.send(frame);
    if (frame.type === 'history') this.answer(frame, { type: 'history', messages: [], more: false });
  }

  join({ ref, groups: [{ since }] }) {
    this.member = true;
    const answer = { type: 'joined', ref, group: 'lobby', position: this.position() };
    if (since && since.offset >= this.trimmed) {
      const missed = this.page(since.offset);
      const more = missed.length > 1 && this.random.chance(0.3);
      const part = more ? missed.slice(0, 1 + this.random.below(missed.length - 1)) : missed;
      this.toClient.push({ ...answer, recovered: true, messages: part.map((one) => this.frame(one)), more });
    } else {
      const snapshot = { messages: this.page(0).map((one) => this.frame(one)), more: false };
      this.toClient.push({ ...answer, ...(since && { recovered: false, reason: 'trimmed' }), snapshot });
    }
  }

  send({ ref, client_id, text }) {
    const id = `${ME.id}/${client_id}`;
    const refused = this.random.chance(0.1);
    if (refused) {
      this.refusals++;
      const code = ['rate_limited', 'unavailable', 'overloaded'][this.random.below(3)];
      // What is unavailable may have happened all the same.
      if (code === 'unavailable' && this.random.chance(0.5)) this.known(id, { client_id, text });
      return this.answer({ ref }, { type: 'error', code, message: 'not now', retry_after_s: 1 });
    }
    const ack = (entry) => this.answer({ ref }, { type: 'ack', id, position: this.position(entry.offset), scope: 'cluster' });
    const before = this.toClient.length;
    const entry = this.known(id, { client_id, text });
    ack(entry);
    if (this.random.chance(0.5)) this.toClient.splice(before, 0, this.toClient.pop());
  }

  known(id, { client_id, text }) {
    return this.log.find((one) => one.id === id) ?? this.append({ id, client_id, user: ME, text, sent: text });
  }

  answer({ ref }, fields) {
    this.toClient.push({ ref, group: 'lobby', ...fields });
  }

  /** The client gets one frame. */
  deliver() {
    if (this.isOpen && this.toClient.length > 0) this.bench.say(this.toClient.shift());
  }

  /** Both ways end, with what is on them. */
  break() {
    if (!this.isOpen) return;
    this.reset();
    this.bench.lose([1006, 1001, 4000, 4001][this.random.below(4)]);
  }

  reset() {
    this.toClient = [];
    this.toHub = 0;
    this.member = false;
  }

  async open() {
    if (this.bench.socket?.readyState !== 0) return;
    this.reset();
    await this.bench.welcome();
  }

  trim() {
    if (this.log.length > 3) this.trimmed = Math.max(this.trimmed, this.log[1].offset);
  }

  edit() {
    const some = this.log.filter(({ offset }) => offset > this.trimmed);
    const one = some[this.random.below(Math.max(1, some.length))];
    if (!one) return;
    const version = one.version + 1;
    this.append({ ...one, client_id: `edit-${one.id}-${version}`, version, text: `${one.first}, version ${version}` });
  }
}

async function run(t, seed) {
  const random = dice(seed);
  const bench = new Bench(t);
  const hub = new Hub(bench, random);
  const sent = [];
  const answers = [];
  let others = 0;
  bench.group.join().catch(() => {});
  bench.client.connect();
  const deeds = [
    () => {
      const text = `mine ${sent.length}`;
      sent.push(text);
      answers.push(bench.group.send(text));
    },
    () => hub.append({ id: `bo-${++others}`, client_id: `c-${others}`, user: BO, text: `theirs ${others}` }),
    () => hub.edit(),
    () => hub.read(),
    () => hub.read(),
    () => hub.deliver(),
    () => hub.deliver(),
    () => hub.deliver(),
    () => hub.open(),
    () => random.chance(0.15) && hub.break(),
    () => random.chance(0.03) && hub.trim(),
    () => mock.timers.tick(random.below(2_000)),
  ];
  for (let step = 0; step < STEPS; step++) {
    await deeds[random.below(deeds.length)]();
    await turn();
  }
  // Then the network is good, and the hub takes everything.
  random.chance = () => false;
  hub.break();
  for (let round = 0; round < 400 && (bench.client.queue.length > 0 || round < 40); round++) {
    mock.timers.tick(500);
    await hub.open();
    while (hub.bench.socket?.sent[hub.toHub] && hub.isOpen) hub.read();
    while (hub.isOpen && hub.toClient.length > 0) hub.deliver();
    await turn();
  }
  await Promise.all(answers);
  const ours = hub.log.filter(({ user }) => user === ME);
  assert.deepEqual(ours.map(({ sent }) => sent).sort(), [...sent].sort(), 'what was written is in the history, once');
  // What is already on its way overtakes what the hub refuses in front of it.
  ours.sort((a, b) => a.first - b.first);
  if (hub.refusals === 0) assert.deepEqual(ours.map(({ sent }) => sent), sent, 'in the order of writing');
  assert.equal(bench.client.queue.length, 0);
  // What was amended, and let go of before the answer to its sender came, is shown as it was written,
  // where the answer said.
  const forgotten = hub.log.filter(({ sent, version, offset }) => sent && version > 1 && offset <= hub.trimmed).map(({ id }) => id);
  const shown = bench.group.messages.filter(({ type, id }) => type === 'message' && !forgotten.includes(id));
  const held = hub.log.filter(({ id }) => shown.some((one) => one.id === id)).sort((a, b) => a.first - b.first);
  assert.deepEqual(shown.map(({ id, text }) => [id, text]), held.map(({ id, text }) => [id, text]), 'in the newest version, in order');
  const whole = hub.log.filter(({ offset }) => offset > hub.trimmed);
  for (const { id, text } of whole) assert.ok(shown.some((one) => one.id === id), `nobody was told that ${text} is missing`);
  assert.equal(new Set(shown.map(({ id }) => id)).size, shown.length, 'each once');
  const news = bench.events.filter(({ type }) => type === 'message').map(({ message }) => message.id);
  assert.equal(new Set(news).size, news.length, 'told once');
}

test(`${RUNS} random runs from seed ${first} on`, async (t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.after(() => mock.timers.reset());
  for (let seed = first; seed < first + RUNS; seed++) {
    try {
      await run(t, seed);
    } catch (error) {
      error.message = `PALABRE_SEED=${seed}: ${error.message}`;
      throw error;
    }
  }
});
