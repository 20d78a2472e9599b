// The dashboard on what `tidemark demo` really does: an embedded Kafka, three services, faults on purpose.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT, axe, eventually, isLive, newPage, overflow, startBrowser } from './support.mjs';

const BINARY = process.env.TIDEMARK_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug/tidemark');
let demo, url, browser, stop;

before(async () => {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: cargo build --bin tidemark`);
  demo = spawn(BINARY, ['demo', '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  demo.stdout.on('data', (chunk) => { said += chunk; });
  await eventually('the demo says where to look', () => /open (http:\S+)/.test(said), 60_000);
  url = said.match(/open (http:\S+?)\/?\s/)[1];
  ({ browser, stop } = await startBrowser());
});
after(async () => {
  await stop?.();
  if (demo?.exitCode === null) { const ended = once(demo, 'exit'); demo.kill('SIGTERM'); await ended; }
});

const json = async (path) => (await fetch(url + path)).json();

test('orders flow, repeats come, and the open page shows both without a reload', async () => {
  const { page, context, problems } = await newPage(browser, { origin: url });
  await page.goto(url);
  await isLive(page);
  await page.locator('.step .value').first().waitFor({ timeout: 60_000 });
  const ordered = () => page.locator('.step .value').first().innerText().then((text) => Number(text.replaceAll(',', '')));
  const before = await ordered();
  await eventually('more orders', async () => (await ordered()) > before, 30_000);
  await eventually('a repeat is suppressed', async () => (await json('/duplicates.json')).latest?.some((entry) => entry.outcome === 'suppressed'), 120_000);
  await eventually('the tile shows it', async () => !/^0 suppressed/.test(await page.locator('.tile .note').nth(2).innerText()), 30_000);
  assert.ok((await page.locator('#happened li').count()) > 1, 'the demo names what it does');
  assert.deepEqual(problems, []);
  await context.close();
});

test('an event of the demo has a passport with its order', async () => {
  await eventually('a duplicate is held', async () => (await json('/duplicates.json')).latest?.length > 0, 120_000);
  const [entry] = (await json('/duplicates.json')).latest;
  const { page, context, problems } = await newPage(browser, { origin: url });
  await page.goto(`${url}/events/${encodeURIComponent(entry.event_id)}`);
  assert.ok((await page.getByRole('link', { name: entry.event_id }).count()) + (await page.locator('.crumb', { hasText: entry.event_id }).count()) > 0);
  await page.locator('td .pill, tbody .pill').first().waitFor();
  assert.deepEqual(problems, []);
  await context.close();
});

test('its pages are accessible and fit on a phone', async () => {
  const { groups } = await json('/groups.json');
  assert.ok(groups.length >= 3);
  const found = [];
  for (const [theme, width] of [['light', 375], ['dark', 1280]]) {
    const { page, context, problems } = await newPage(browser, { theme, width, origin: url });
    for (const path of ['/', '/groups', groups[0].url, '/topics', '/duplicates', '/flow', '/alerts', '/status']) {
      await page.goto(url + path);
      await isLive(page);
      for (const line of await axe(page)) found.push(`${path}: ${line}`);
      if ((await overflow(page)) > 0) found.push(`${path}: wider than the window at ${width} px`);
    }
    found.push(...problems);
    await context.close();
  }
  assert.deepEqual(found, []);
});
