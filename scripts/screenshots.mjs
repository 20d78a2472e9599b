// Takes pictures of every page at 1280 and 375 px in both themes: node scripts/screenshots.mjs DIRECTORY [NAME,NAME..]
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isLive, newPage, overflow, pages, startBrowser, startServer } from '../tests/browser/support.mjs';

const [directory = 'docs/screenshots', only] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
const server = await startServer();
const { browser, stop } = await startBrowser();
const all = Object.entries(await pages(server)).filter(([name]) => !only || only.split(',').includes(name));
for (const theme of ['light', 'dark']) {
  for (const [width, height] of [[1280, 800], [375, 812]]) {
    const { page, context } = await newPage(browser, { theme, width, height, origin: server.origin });
    for (const [name, path] of all) {
      await page.goto(server.url + path);
      if (await page.evaluate(() => document.querySelector('#main').dataset.live !== '')) await isLive(page);
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: join(directory, `${name}-${width}-${theme}.png`), fullPage: true });
      const over = await overflow(page);
      if (over > 0) console.log(`wider than the window by ${over} px: ${name} at ${width} px`);
    }
    await context.close();
  }
}
await stop();
await server.stop();
