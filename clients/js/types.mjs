// Makes `types/`, what editors and compilers read of the package, from the JSDoc in `src/`.
//
// TypeScript leaves out what is @internal where the source is TypeScript alone (`stripInternal`), so it is taken out here. A
// constructor that is internal becomes private: what has none could be made by anybody.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

const { config } = ts.readConfigFile(at('tsconfig.json'), ts.sys.readFile);
const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, at('.'));
rmSync(at('types'), { recursive: true, force: true });
const emitted = { noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: at('src'), outDir: at('types') };
const program = ts.createProgram(fileNames, { ...options, ...emitted });
const faults = [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics];
if (faults.length > 0) {
  console.error(ts.formatDiagnostics(faults, { getCanonicalFileName: (name) => name, getCurrentDirectory: () => at('.'), getNewLine: () => '\n' }));
  process.exit(1);
}

for (const name of readdirSync(at('types'), { recursive: true })) {
  if (name.endsWith('.d.ts')) writeFileSync(at(`types/${name}`), stripped(readFileSync(at(`types/${name}`), 'utf8')));
}

/** @param {string} text */
function stripped(text) {
  const source = ts.createSourceFile('types.d.ts', text, ts.ScriptTarget.Latest, true);
  const cuts = source.statements.filter(ts.isClassDeclaration).flatMap(({ members }) => members.filter(isInternal));
  return cuts.reduceRight((left, member) => {
    const instead = ts.isConstructorDeclaration(member) ? '\n    private constructor();' : '';
    return left.slice(0, member.getFullStart()) + instead + left.slice(member.getEnd());
  }, text);
}

/** @param {ts.Node} node */
function isInternal(node) {
  return ts.getJSDocTags(node).some(({ tagName }) => tagName.text === 'internal');
}
