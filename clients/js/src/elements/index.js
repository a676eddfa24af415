// The elements, ready to stand in any page: `<palabre-chat>` and `<palabre-status>`. To import this defines them,
// where there are elements to define.

import { PalabreChat } from './chat.js';
import { PalabreStatus } from './status.js';

/** @type {[string, any][]} */
const elements = [
  ['palabre-chat', PalabreChat],
  ['palabre-status', PalabreStatus],
];
for (const [name, element] of elements) {
  if (globalThis.customElements && !customElements.get(name)) customElements.define(name, element);
}

export { PalabreChat, PalabreStatus };
