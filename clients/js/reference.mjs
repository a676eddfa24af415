// Makes docs/sdk.md, every name of the client, from the JSDoc in `src/`.
//
//   node reference.mjs            writes it
//   node reference.mjs --check    fails when it is not what the sources say, or something is not explained
//
// It lists what index.js and elements/index.js export, as their authors wrote it: types are taken as the comments have them,
// not as the compiler sees through them. What is @internal, @protected or private is left out.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const WIDTH = 145;
const TARGET = '../../docs/sdk.md';
const HEAD = `# The JavaScript client, name by name

Made by \`node clients/js/reference.mjs\` of the comments in [clients/js/src](../clients/js/src): change it there. How to begin is in
[embed.md](embed.md), whole examples are in [cookbook.md](cookbook.md), the wire is in [protocol.md](protocol.md).

A request (\`send\`, \`edit\`, \`history\`, \`ask\`, …) waits until its group is joined, goes out again after a reconnect, and rejects with a
[\`PalabreError\`](#palabreerror). An \`options.signal\` that aborts takes back what has not gone out. Events are heard with \`on\`, which
gives back what ends the listening.
`;
// Chapters in the order in which one meets them; a name that stands in none is a fault.
const CHAPTERS = {
  'The client': ['createClient', 'Options', 'Client', 'ClientEvents', 'PalabreError'],
  'A group': ['Group', 'GroupEvents'],
  'What one says and sees': ['Content', 'Ack', 'Entry', 'Message', 'MessageState', 'Note', 'Said', 'Position', 'User', 'Queued'],
  'How it is': ['Status', 'StatusEvent', 'Layer'],
  'What one may give it': ['GetToken', 'Store', 'SocketClass', 'Socket'],
  'The elements': ['PalabreChat', 'PalabreStatus'],
};

const { config } = ts.readConfigFile(at('tsconfig.json'), ts.sys.readFile);
const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, at('.'));
const program = ts.createProgram(fileNames, options);
const checker = program.getTypeChecker();
const faults = [];

const exported = new Map(['src/index.js', 'src/elements/index.js'].flatMap((path) => {
  const module = checker.getSymbolAtLocation(program.getSourceFile(at(path)));
  return checker.getExportsOfModule(module).map((symbol) => [symbol.name, declaration(symbol)]);
}));

const names = Object.values(CHAPTERS).flat();
for (const name of exported.keys()) if (!names.includes(name)) faults.push(`${name} stands in no chapter`);
for (const name of names) if (!exported.has(name)) faults.push(`${name} is not exported`);

const chapters = Object.entries(CHAPTERS).map(([title, members]) => {
  const known = members.filter((name) => exported.has(name));
  return `## ${title}\n\n${known.map((name) => described(name, exported.get(name))).join('\n')}`;
});
const made = `${HEAD}\n${chapters.join('\n')}`.replace(/\n{3,}/g, '\n\n').trimEnd() + '\n';

const path = at(TARGET);
if (!process.argv.includes('--check')) writeFileSync(path, made);
else if (readFileSync(path, 'utf8') !== made) faults.push('docs/sdk.md is not what src/ says: node clients/js/reference.mjs');
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;

/** What an exported name stands for, through other modules' names for it. */
function declaration(symbol) {
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const [node] = target.declarations;
  const type = ts.isJSDocTypedefTag(node) && ts.isJSDocTypeExpression(node.typeExpression) && node.typeExpression.type;
  return type && ts.isImportTypeNode(type) ? declaration(checker.getSymbolAtLocation(type.qualifier)) : node;
}

function described(name, node) {
  const lines = [`### ${name}`, '', explained(name, commentOf(node)), ''];
  if (ts.isFunctionDeclaration(node)) lines.push(...fenced(signature(name, node)), ...parameters(node));
  else if (ts.isClassDeclaration(node)) lines.push(...members(name, node));
  else if (ts.isJSDocTypeLiteral(node.typeExpression)) lines.push(...fields(name, node.typeExpression.jsDocPropertyTags));
  else lines.push(...fenced(`type ${name} = ${typeText(node.typeExpression)}`));
  return lines.join('\n') + '\n';
}

/** A table of properties, or of the events of a class. */
function fields(name, tags) {
  const isEvents = name.endsWith('Events');
  const rows = tags.map((tag) => {
    const type = typeText(tag.typeExpression);
    const key = tag.name.getText();
    const comment = oneLine(textOf(tag.comment));
    // What Socket and Store have is told by its own name.
    if (!comment && !['Socket', 'Store'].includes(name)) faults.push(`${name}.${key} is not explained`);
    return row(`${key}${tag.isBracketed ? '?' : ''}`, type, comment);
  });
  return [isEvents ? '| event | is given | |' : '| name | type | |', '|---|---|---|', ...rows, ''];
}

function members(name, node) {
  const own = node.members.filter(isPublic);
  const inherited = heritage(node).flatMap((base) => base.members.filter(isPublic));
  const all = [...own, ...inherited.filter((member) => !own.some((one) => nameOf(one) === nameOf(member)))];
  const constructor = all.find(ts.isConstructorDeclaration);
  const values = all.filter((member) => ts.isPropertyDeclaration(member) || ts.isGetAccessor(member));
  const lines = constructor ? [...fenced(signature(`new ${name}`, constructor)), ...parameters(constructor)] : [];
  if (name === 'PalabreError') values.push(...assigned(constructor));
  if (values.length > 0) lines.push('| property | type | |', '|---|---|---|');
  for (const value of values) {
    const comment = value.comment ?? explained(`${name}.${nameOf(value)}`, commentOf(value));
    lines.push(row(nameOf(value), typeof value.type === 'string' ? value.type : propertyType(value), `${oneLine(comment).replace(/\.$/, '')}.`));
  }
  if (values.length > 0) lines.push('');
  for (const method of all.filter(ts.isMethodDeclaration)) {
    const called = nameOf(method);
    // What is inherited speaks of the events of whoever inherits it.
    const shown = signature(called, method).replace('type: Type', `type: keyof ${name}Events`).replace('Events[Type]', `${name}Events[type]`);
    lines.push(`#### ${name}.${called}`, '', ...fenced(shown), explained(`${name}.${called}`, commentOf(method)), '', ...parameters(method));
  }
  return lines;
}

/** What a constructor sets, by the names of its parameters. */
function assigned(constructor) {
  return constructor.parameters.flatMap(ts.getJSDocParameterTags).map((tag) => ({
    name: tag.name,
    type: typeText(tag.typeExpression) + (tag.isBracketed && tag.name.getText() !== 'message' ? ' | undefined' : ''),
    comment: capital(textOf(tag.comment)),
  }));
}

function row(key, type, comment) {
  const plain = (text) => text.replaceAll('|', '\\|');
  const [known] = names.filter((name) => new RegExp(`\\b${name}\\b`).test(type));
  const shown = `\`${plain(type)}\``;
  return `| \`${key}\` | ${known ? `[${shown}](#${known.toLowerCase()})` : shown} | ${plain(comment)} |`;
}

function heritage(node) {
  const [base] = node.heritageClauses?.flatMap(({ types }) => types) ?? [];
  const found = base && checker.getTypeAtLocation(base).symbol?.declarations?.find(ts.isClassDeclaration);
  return found && found.getSourceFile().fileName.includes('/clients/js/src/') ? [found, ...heritage(found)] : [];
}

function isPublic(member) {
  const tags = ts.getJSDocTags(member).map(({ tagName }) => tagName.text);
  const isStatic = ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static;
  if (isStatic || tags.includes('internal') || tags.includes('protected')) return false;
  if (ts.isConstructorDeclaration(member)) return member.parameters.length > 0;
  // What ends in Callback is the browser's to call.
  return !ts.isPrivateIdentifier(member.name) && !/Callback$/.test(nameOf(member));
}

function nameOf(member) {
  return member.name?.getText();
}

function signature(name, node) {
  const list = node.parameters.map((parameter, index) => {
    const tag = ts.getJSDocParameterTags(parameter)[0] ?? ts.getJSDocTags(node).filter(ts.isJSDocParameterTag)[index];
    const optional = tag?.isBracketed || parameter.initializer ? '?' : '';
    return `${tag?.name.getText() ?? parameter.name.getText()}${optional}: ${tag ? typeText(tag.typeExpression) : 'any'}`;
  });
  if (name.startsWith('new ')) return `${name}(${list.join(', ')})`;
  const returned = ts.getJSDocReturnTag(node)?.typeExpression;
  const type = returned ? typeText(returned) : checker.typeToString(checker.getReturnTypeOfSignature(checker.getSignatureFromDeclaration(node)));
  return `${name}(${list.join(', ')}): ${type}`;
}

/** What is said of each parameter, and of the answer. */
function parameters(node) {
  const tags = ts.getJSDocTags(node).filter(ts.isJSDocParameterTag).filter(({ comment }) => comment);
  const lines = tags.map((tag) => wrapped(`- \`${tag.name.getText()}\`: ${oneLine(textOf(tag.comment))}`, '  '));
  const returned = textOf(ts.getJSDocReturnTag(node)?.comment);
  if (returned) lines.push(wrapped(`- gives: ${oneLine(returned)}`, '  '));
  return lines.length > 0 ? [...lines, ''] : [];
}

function propertyType(node) {
  const written = ts.getJSDocType(node) ?? ts.getJSDocReturnType(node);
  return written ? flat(written.getText()) : checker.typeToString(checker.getWidenedType(checker.getTypeAtLocation(node)));
}

/** The words above a declaration, or behind its type. */
function commentOf(node) {
  const tag = ts.isJSDocTypedefTag(node) ? node : undefined;
  const blocks = tag ? [tag.parent] : ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const text = textOf(blocks.at(-1)?.comment) || textOf(tag?.comment);
  return text || textOf(ts.getJSDocTypeTag(node)?.comment) || textOf(ts.getJSDocReturnTag(node)?.comment);
}

function explained(name, comment) {
  if (!comment) faults.push(`${name} is not explained`);
  return capital(comment.split(/\n\s*\n/).map((paragraph) => wrapped(oneLine(paragraph))).join('\n\n'));
}

/** A comment with its links as links of the document. */
function textOf(comment) {
  if (comment === undefined || typeof comment === 'string') return comment ?? '';
  return comment.map((part) => (part.name ? linked(part.name.getText()) : part.text)).join('');
}

function linked(name) {
  return names.includes(name) ? `[\`${name}\`](#${name.toLowerCase()})` : `\`${name}\``;
}

function typeText(expression) {
  return flat((expression.type ?? expression).getText());
}

function flat(text) {
  return text.replace(/\s*\n\s*\*?\s*/g, ' ').trim();
}

function oneLine(text) {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}

/** Lines of a width that can be read, but for what cannot be broken. */
function wrapped(text, indent = '') {
  return text.split(' ').reduce((lines, word) => {
    const last = lines.at(-1);
    return last === undefined || last.length + word.length >= WIDTH ? [...lines, last === undefined ? word : indent + word] : lines.with(-1, `${last} ${word}`);
  }, []).join('\n');
}

function capital(text) {
  return text && text[0].toUpperCase() + text.slice(1);
}

function fenced(code) {
  return ['```ts', code, '```', ''];
}
