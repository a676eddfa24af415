// Makes the picture that the README opens with: two people on a hub, as the page shows them.
//
//   node tests/browser/screenshot.mjs    writes docs/page.png; for its emoji Debian has fonts-noto-color-emoji

import { fileURLToPath } from 'node:url';
import { hub } from './hubs.mjs';
import { browser, Visitor } from './pages.mjs';

const PICTURE = fileURLToPath(new URL('../../docs/page.png', import.meta.url));

const endings = [];
const t = { after: (end) => endings.unshift(end) };
try {
  const { url } = await hub(t);
  const chrome = await browser(t);
  const ana = await Visitor.open(chrome, `${url}/#lobby`, { width: 1120, height: 640 });
  const bo = await Visitor.open(chrome, `${url}/#lobby`);
  await ana.takeName('Ana');
  await bo.takeName('Bo');
  await ana.say('Good morning! Shall we meet under the tree at noon?');
  await bo.sees('Good morning! Shall we meet under the tree at noon?');
  await bo.page.locator('article').last().hover();
  await bo.page.getByRole('button', { name: 'Reply' }).click();
  await bo.say('Gladly. The path is here: https://example.org/tree');
  await ana.page.locator('article', { hasText: 'Gladly' }).hover();
  await ana.page.getByRole('button', { name: 'React', exact: true }).click();
  await ana.page.getByRole('button', { name: 'React 🎉' }).click();
  await ana.say('I bring the tea.');
  await ana.page.locator('#group').fill('garden');
  await ana.page.locator('#group').press('Enter');
  await ana.room('garden');
  await bo.say('And I the cups.');
  await ana.page.locator('#groups a', { hasText: 'lobby 1 new' }).click();
  await ana.page.locator('.message', { hasText: 'cups' }).waitFor();
  await ana.page.locator('.reaction', { hasText: '🎉 1' }).waitFor();
  // The hub passes on one notice in 3 s, so somebody has to write for as long.
  const written = bo.page.locator('.field').pressSequentially('And maybe some bread?', { delay: 200 });
  await ana.page.locator('.typing', { hasText: 'Bo' }).waitFor();
  await ana.page.mouse.move(5, 5);
  await ana.page.screenshot({ path: PICTURE });
  await written;
} finally {
  for (const end of endings) await end();
}
