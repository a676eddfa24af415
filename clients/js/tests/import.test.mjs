// To import the client touches nothing outside: no socket, no storage, no document, on a server that renders as well.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';

const FORBIDDEN = ['WebSocket', 'document', 'fetch', 'localStorage', 'location', 'navigator', 'sessionStorage', 'setInterval', 'setTimeout'];

async function imported(module, then = '') {
  const traps = FORBIDDEN.map((name) => `Object.defineProperty(globalThis, '${name}', {
    configurable: true,
    get() { throw new Error('${name} was touched'); },
  });`);
  const script = `${traps.join('\n')}
    const before = Object.keys(globalThis).length;
    const module = await import(${JSON.stringify(new URL(module, import.meta.url).href)});
    if (Object.keys(globalThis).length !== before) throw new Error('a global was made');
    ${then}
    console.log(Object.keys(module).sort().join(' '));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script]);
  return stdout.trim();
}

for (const module of ['../src/index.js', '../dist/palabre.js']) {
  test(`${module} gives two names and does nothing else`, async () => {
    assert.equal(await imported(module), 'PalabreError createClient');
  });
}

for (const module of ['../src/elements/index.js', '../dist/palabre-elements.js']) {
  test(`${module} may be imported where there are no elements`, async () => {
    assert.equal(await imported(module), 'PalabreChat PalabreStatus');
  });
}
