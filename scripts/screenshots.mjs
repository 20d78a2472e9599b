// Takes pictures of the dashboard with made-up data, in both themes, at 1280 and 375 px.
//   node scripts/screenshots.mjs                      those of docs/screenshots.md: the first screen of the main pages
//   node scripts/screenshots.mjs DIRECTORY [NAME,..]  every page (or the named ones) in full length, to look at
// Another server can be looked at with TIDEMARK_URL, such as that of `tidemark demo`.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, isLive, newPage, overflow, pages, startBrowser, startServer } from '../tests/browser/support.mjs';

const DOCUMENTED = ['overview', 'groups', 'group', 'stalled', 'duplicates', 'flow', 'event', 'alerts', 'status'];
const [directory, only] = process.argv.slice(2);
const target = directory ?? join(ROOT, 'docs/screenshots');
mkdirSync(target, { recursive: true });

const given = process.env.TIDEMARK_URL;
const server = given ? { url: given.replace(/\/$/, ''), origin: new URL(given).origin, stop: () => {} } : await startServer();
const { browser, stop } = await startBrowser();
const wanted = only ? only.split(',') : directory ? null : DOCUMENTED;
const all = Object.entries(await pages(server)).filter(([name]) => !wanted || wanted.includes(name));
for (const theme of ['light', 'dark']) {
  for (const [width, height] of [[1280, 800], [375, 812]]) {
    const { page, context } = await newPage(browser, { theme, width, height, origin: server.origin });
    for (const [name, path] of all) {
      await page.goto(server.url + path);
      if (await page.evaluate(() => document.querySelector('#main').dataset.live !== '')) await isLive(page);
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: join(target, `${name}-${width}-${theme}.png`), fullPage: directory !== undefined });
      const over = await overflow(page);
      if (over > 0) console.log(`wider than the window by ${over} px: ${name} at ${width} px`);
    }
    await context.close();
  }
}
await stop();
await server.stop();
