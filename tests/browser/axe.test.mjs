// Every page in both themes at both widths: axe finds nothing, nothing is wider than the window, nothing is refused or fails.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axe, isLive, newPage, overflow, pages, startBrowser, startServer } from './support.mjs';

let server, browser, stop;
before(async () => { server = await startServer(); ({ browser, stop } = await startBrowser()); });
after(async () => { await stop?.(); await server?.stop(); });

// A page that says "not found" is answered with 404, which the browser notes on its console.
const expected = (problem) => /status of 404/.test(problem);

for (const theme of ['light', 'dark']) {
  for (const width of [1280, 375]) {
    test(`every page is accessible and fits, ${theme}, ${width} px`, async () => {
      const { page, context, problems } = await newPage(browser, { theme, width, origin: server.origin });
      const found = [];
      for (const [name, path] of Object.entries(await pages(server))) {
        await page.goto(server.url + path);
        if (await page.evaluate(() => document.querySelector('#main').dataset.live !== '')) await isLive(page);
        for (const line of await axe(page)) found.push(`${name}: ${line}`);
        const over = await overflow(page);
        if (over > 0) found.push(`${name}: ${over} px wider than the window`);
      }
      await page.goto(server.url);
      await page.keyboard.press('?');
      for (const line of await axe(page)) found.push(`help dialog: ${line}`);
      await context.close();
      assert.deepEqual(found, []);
      assert.deepEqual(problems.filter((problem) => !expected(problem)), []);
    });
  }
}

for (const scenario of ['starting', 'empty', 'down', 'troubled', 'two', 'calm']) {
  test(`pages are accessible and fit when the state is "${scenario}"`, async () => {
    await server.scenario(scenario);
    const found = [];
    for (const [theme, width] of [['light', 375], ['dark', 1280]]) {
      const { page, context, problems } = await newPage(browser, { theme, width, origin: server.origin });
      for (const path of ['/', '/groups', '/topics', '/duplicates', '/flow', '/alerts', '/status']) {
        await page.goto(server.url + path);
        for (const line of await axe(page)) found.push(`${path}: ${line}`);
        if ((await overflow(page)) > 0) found.push(`${path}: wider than the window`);
      }
      found.push(...problems);
      await context.close();
    }
    await server.scenario('normal');
    assert.deepEqual(found, []);
  });
}
