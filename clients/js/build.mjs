// Makes `dist/`, what a hub serves: the core alone, and the elements, which import it.
//
//   node build.mjs            writes dist/
//   node build.mjs --check    fails when dist/ is not what the sources make, or the core is too heavy

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const CORE_GZIPPED_MAX = 8_000;

// Names that one module of the core has for another, none of which an application or an element sees: shortened,
// they are a fortieth of the weight. The tests run on what comes out as well.
const INTERNAL = [
  'Socket', 'acked', 'answered', 'asked', 'catching', 'changed', 'check', 'claim', 'closed', 'count', 'done', 'drop', 'echo', 'emit', 'fail',
  'frame_max', 'entered', 'fresh', 'give', 'gone', 'heard', 'jumps', 'keep', 'list', 'live', 'mark', 'me', 'met', 'move', 'moved',
  'note', 'older', 'open', 'open_max', 'opened', 'own', 'page', 'passed', 'placed', 'prepare', 'pump', 'rank', 'ready',
  'refused', 'reject', 'repair', 'requested', 'requests', 'reset', 'resolve', 'restart', 'restore', 'revive', 'say',
  'settled', 'shown', 'slots', 'take', 'timeline', 'timer', 'told', 'unwant', 'unwrite', 'wake', 'want', 'welcomed',
  'write', 'written',
];

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const common = { bundle: true, minify: true, format: 'esm', target: 'es2022', charset: 'utf8', write: false };
const coreOutside = {
  name: 'core-outside',
  setup: ({ onResolve }) => onResolve({ filter: /^\.\.\/index\.js$/ }, () => ({ path: './palabre.js', external: true })),
};

const [core, elements] = await Promise.all([
  build({ ...common, entryPoints: [at('src/index.js')], mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`) }),
  build({ ...common, entryPoints: [at('src/elements/index.js')], plugins: [coreOutside] }),
]);
const files = { 'palabre.js': core, 'palabre-elements.js': elements };

const weight = gzipSync(core.outputFiles[0].contents, { level: 9 }).length;
console.log(`core: ${weight} bytes gzipped, at most ${CORE_GZIPPED_MAX}`);
if (weight > CORE_GZIPPED_MAX) process.exitCode = 1;

mkdirSync(at('dist'), { recursive: true });
for (const [name, { outputFiles }] of Object.entries(files)) {
  const path = at(`dist/${name}`);
  if (!process.argv.includes('--check')) {
    writeFileSync(path, outputFiles[0].contents);
  } else if (readFileSync(path, 'utf8') !== outputFiles[0].text) {
    console.error(`dist/${name} is not what src/ makes: npm run build --prefix clients/js`);
    process.exitCode = 1;
  }
}
