// How the elements look. Colours are variables with a light and a dark value: a page that sets none gets the
// reader's preference, a page that sets some gets its own.

const TOKENS = `
:host {
  --_ground: var(--palabre-ground, light-dark(#f6f6f3, #16191a));
  --_surface: var(--palabre-surface, light-dark(#ffffff, #1f2425));
  --_line: var(--palabre-line, light-dark(#d5d7d2, #3a4244));
  --_ink: var(--palabre-ink, light-dark(#1b2021, #e9ecea));
  --_soft: var(--palabre-soft, light-dark(#565e60, #a6b0b1));
  --_accent: var(--palabre-accent, light-dark(#1d6b57, #6fd0b4));
  --_on-accent: var(--palabre-on-accent, light-dark(#ffffff, #10211c));
  --_mine: var(--palabre-mine, light-dark(#e3f1ec, #213a34));
  --_good: var(--palabre-good, light-dark(#1d6b57, #6fd0b4));
  --_busy: var(--palabre-busy, light-dark(#7a5200, #eec168));
  --_bad: var(--palabre-bad, light-dark(#a5241c, #ff9d94));
  --_radius: var(--palabre-radius, 10px);
  color: var(--_ink);
  font: var(--palabre-font, 1rem/1.45 system-ui, sans-serif);
}
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
:focus-visible { outline: 3px solid var(--_accent); outline-offset: 2px; }
`;

export const CHAT_STYLE = `${TOKENS}
:host {
  display: flex;
  flex-direction: column;
  min-block-size: 12rem;
  position: relative;
  background: var(--_ground);
}
.unseen { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
.notice { padding: .4rem .8rem; border-inline-start: 4px solid var(--_bad); background: var(--_surface); }
/* As high as it is given; an element without a height would else be as long as all that was ever said. */
.view { flex: 1 1 30rem; min-block-size: 0; display: grid; grid-template: minmax(0, 1fr) / minmax(0, 1fr); position: relative; }
.log {
  position: relative;
  overflow: hidden auto;
  overflow-anchor: none;
  overscroll-behavior: contain;
  padding-inline: .8rem;
  outline-offset: -3px;
}
.message { position: relative; padding-block-start: .5rem; inline-size: fit-content; min-inline-size: min(100%, 24rem); max-inline-size: min(100%, 46rem); overflow-wrap: anywhere; outline-offset: -2px; }
.message.goes { padding-block-start: .15rem; }
.message.goes .head { display: none; }
.head { font-size: .85rem; color: var(--_soft); padding-inline: .2rem; }
.author { color: var(--_ink); unicode-bidi: isolate; }
.you { border: 1px solid; border-radius: 999px; padding-inline: .4em; font-size: .9em; color: var(--_accent); }
.mine .author { color: var(--_accent); }
.text {
  inline-size: fit-content;
  max-inline-size: 100%;
  padding: .35rem .7rem;
  border-radius: var(--_radius);
  background: var(--_surface);
  white-space: pre-wrap;
}
.mine .text { background: var(--_mine); }
.deleted .text { color: var(--_soft); font-style: italic; }
.text a { color: var(--_accent); direction: ltr; unicode-bidi: isolate; }
.text.folded { max-block-size: 24rem; overflow: hidden; mask-image: linear-gradient(#000 80%, transparent); }
.edited { font-size: .75rem; color: var(--_soft); padding-inline: .2rem; }
.text.emoji { padding-inline: .2rem; background: none; font-size: 2rem; line-height: 1.3; }
button {
  font: inherit;
  color: inherit;
  border: 1px solid var(--_line);
  border-radius: 8px;
  background: var(--_surface);
  padding: .3rem .6rem;
  min-block-size: 32px;
  cursor: pointer;
}
.quote {
  display: block;
  max-inline-size: 100%;
  border: 0;
  border-inline-start: 3px solid var(--_accent);
  border-radius: 0;
  background: none;
  color: var(--_soft);
  font-size: .85rem;
  text-align: start;
  text-overflow: ellipsis;
  white-space: nowrap;
  overflow: hidden;
}
.reactions { display: flex; flex-wrap: wrap; gap: .25rem; }
.reactions:not(:empty) { padding-block: .25rem; }
.reaction { border-radius: 999px; font-size: .85rem; padding: 0 .5rem; min-block-size: 28px; }
.reaction[aria-pressed='true'] { border-color: var(--_accent); background: var(--_mine); font-weight: 600; }
.state { font-size: .75rem; color: var(--_soft); padding-inline: .2rem; user-select: none; }
[data-state='settled'] .state { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
[data-state='queued'] .text, [data-state='sending'] .text { opacity: .75; }
[data-state='failed'] .state { color: var(--_bad); font-weight: 600; }
.again { display: flex; gap: .4rem; padding-block: .2rem; }
.line { padding: .8rem 0 .2rem; text-align: center; font-size: .8rem; color: var(--_soft); }
.new { color: var(--_bad); border-block-end: 1px solid; font-weight: 600; }
/* Takes no place of its own, and stays on the screen beside a message that is longer than that. */
.beside { position: sticky; inset-block-start: 1rem; block-size: 0; z-index: 1; display: flex; justify-content: flex-end; align-items: flex-start; }
.tools {
  transform: translateY(-60%);
  display: flex;
  flex-wrap: wrap;
  justify-content: flex-end;
  gap: .2rem;
  padding: .2rem;
  border: 1px solid var(--_line);
  border-radius: 8px;
  background: var(--_surface);
  font-size: .85rem;
}
.kinds { display: flex; gap: .2rem; }
/* Over the messages: one that took room would move what it appears beside. */
.latest { position: absolute; inset-block-end: .4rem; justify-self: center; z-index: 1; box-shadow: 0 1px 6px rgb(0 0 0 / .3); }
.tool { display: inline-grid; place-items: center; }
.tool svg { inline-size: 1.15rem; block-size: 1.15rem; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.typing { min-block-size: 1.3rem; padding-inline: 1rem; font-size: .8rem; color: var(--_soft); }
.composer {
  display: grid;
  grid-template-columns: minmax(0, 1fr) auto;
  align-items: end;
  gap: .5rem;
  padding: .5rem .8rem calc(.5rem + env(safe-area-inset-bottom));
  background: var(--_surface);
  border-block-start: 1px solid var(--_line);
}
.about { grid-column: 1 / -1; font-size: .85rem; color: var(--_soft); overflow-wrap: anywhere; }
.field {
  font: inherit;
  color: inherit;
  min-inline-size: 0;
  inline-size: 100%;
  min-block-size: 44px;
  max-block-size: 8rem;
  padding: .55rem .7rem;
  border: 1px solid var(--_soft);
  border-radius: 8px;
  background: var(--_ground);
  resize: none;
  field-sizing: content;
}
.field::placeholder { color: var(--_soft); opacity: 1; }
.excess { grid-column: 1 / -1; font-size: .85rem; color: var(--_bad); }
.send { min-block-size: 44px; border-color: var(--_accent); background: var(--_accent); color: var(--_on-accent); }
.found .text { animation: found 2s; }
@keyframes found { from, 60% { background: var(--_accent); color: var(--_on-accent); } }
@media (pointer: coarse) {
  button, .reaction { min-block-size: 44px; min-inline-size: 44px; }
  .tools { transform: translateY(-90%); }
}
@media (forced-colors: active) {
  .reaction[aria-pressed='true'] { border: 3px solid Highlight; }
}
`;

export const STATUS_STYLE = `${TOKENS}
:host { display: block; }
.badges { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem; }
.badge { border: 1px solid currentColor; border-radius: 999px; padding: .05rem .6rem; font-size: .85rem; color: var(--_soft); }
.badge::before { content: '● '; }
.badge[data-mood='good'] { color: var(--_good); }
.badge[data-mood='busy'] { color: var(--_busy); }
.badge[data-mood='busy']::before { content: '◐ '; }
.badge[data-mood='bad'] { color: var(--_bad); }
.badge[data-mood='bad']::before { content: '○ '; }
.count { font-size: .85rem; color: var(--_soft); }
.banner { margin-block-start: .4rem; padding: .4rem .8rem; border-inline-start: 4px solid var(--_busy); background: var(--_surface); }
`;

/** @type {Map<string, CSSStyleSheet>} */
const sheets = new Map();

/**
 * One sheet for all elements that look alike.
 * @param {string} text
 */
export function style(text) {
  let sheet = sheets.get(text);
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    sheets.set(text, sheet);
  }
  return sheet;
}
