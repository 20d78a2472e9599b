// Live updates: they come, they disturb nobody, and they survive what happens to servers and tabs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, isLive, newPage, startBrowser, startServer } from './support.mjs';

let server, browser, stop;
before(async () => { server = await startServer(); ({ browser, stop } = await startBrowser()); });
after(async () => { await stop?.(); await server?.stop(); });

const state = (page) => page.evaluate(() => document.querySelector('#fresh').dataset.state);

async function opened(path, options = {}) {
  const made = await newPage(browser, { origin: server.origin, ...options });
  await made.page.goto(server.url + path);
  await isLive(made.page);
  return made;
}

/** Counts changes below `selector` from now on, in window.changes. */
const watch = (page, selector) => page.evaluate((s) => {
  window.changes = 0;
  new MutationObserver((list) => { window.changes += list.length; }).observe(document.querySelector(s), { subtree: true, childList: true, characterData: true, attributes: true });
}, selector);
const changed = (page, n = 20) => eventually('updates arrive', () => page.evaluate((least) => window.changes > least, n));

test('focus, selection and scroll survive updates of a table', async () => {
  const { page, context, problems } = await opened('/groups', { height: 500 });
  await page.evaluate(() => {
    const link = document.querySelectorAll('#rows .rowlink')[7];
    link.focus({ preventScroll: true });
    scrollTo(0, 300);
    getSelection().selectAllChildren(link);
    window.kept = link;
  });
  const before = await page.evaluate(() => [scrollY, getSelection().toString()]);
  await watch(page, '#rows');
  await changed(page);
  const after = await page.evaluate(() => [scrollY, getSelection().toString(), document.activeElement === window.kept && window.kept.isConnected]);
  assert.deepEqual(after, [...before, true]);
  assert.deepEqual(problems, []);
  await context.close();
});

test('every part that a stream sends arrives in its place, rows of tables too', async () => {
  const { page, context, problems } = await newPage(browser, { origin: server.origin });
  await page.addInitScript(() => {
    window.messages = [];
    window.EventSource = class extends EventSource {
      // The first message is to be the full state, whatever the page shows.
      constructor(url) { super(url.replace(/&since=[^&]*/, '')); window.stream = this; this.addEventListener('message', (event) => window.messages.push(event.data)); }
    };
  });
  const paths = ['/', '/groups', '/groups/local/payment-service', '/groups/local/payment-service?tab=partitions', '/topics', '/topics/local/orders', '/duplicates', '/flow', '/alerts', '/status'];
  for (const path of paths) {
    await page.goto(server.url + path);
    await eventually('the full state', () => page.evaluate(() => window.messages.length > 0));
    const [sent, missed] = await page.evaluate(() => {
      const marked = window.messages[0].replaceAll(/<template><(\w+)/g, '<template><$1 data-arrived="yes"');
      window.stream.onmessage({ data: marked });
      const ids = [...marked.matchAll(/data-arrived="yes"[^>]*? id="([^"]+)"/g)].map((match) => match[1]);
      return [ids, ids.filter((id) => document.getElementById(id)?.dataset.arrived !== 'yes')];
    });
    assert.ok(sent.length > 1, `${path} sends ${sent}`);
    assert.deepEqual(missed, [], `on ${path}`);
  }
  assert.deepEqual(problems, []);
  await context.close();
});

test('what is typed survives updates', async () => {
  const { page, context } = await opened('/');
  await watch(page, '#main');
  await page.click('#find');
  for (const letter of 'evt-123456789abc') await page.keyboard.type(letter, { delay: 60 });
  await changed(page);
  assert.equal(await page.inputValue('#find'), 'evt-123456789abc');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'find');
  await context.close();
});

test('the filter narrows the list in place, keeps the focus, and lives in the address', async () => {
  const { page, context, problems } = await opened('/groups');
  await page.click('#q');
  await page.keyboard.type('payment-s', { delay: 20 });
  await eventually('one row is left', () => page.locator('#rows tr').count().then((n) => n === 1));
  assert.equal(new URL(page.url()).search, '?q=payment-s');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'q');
  await isLive(page);
  await eventually('one stream for one page', async () => (await server.streams()) === 1);
  await watch(page, '#rows');
  await changed(page, 3);
  const html = await page.locator('#rows .rowlink').allInnerTexts();
  await page.goto(page.url());
  assert.deepEqual(await page.locator('#rows .rowlink').allInnerTexts(), html);
  assert.deepEqual(problems, []);
  await context.close();
});

test('the chart is drawn on a canvas that stays, and gets live points', async () => {
  const { page, context, problems } = await opened('/groups/local/payment-service');
  await eventually('two canvases', () => page.locator('.uplot-box canvas').count().then((n) => n === 2));
  await page.evaluate(() => { window.canvas = document.querySelector('#lagchart canvas'); window.seen = tidemark.plots[0].data[0].at(-1); });
  await eventually('a newer point', () => page.evaluate(() => tidemark.plots[0].data[0].at(-1) > window.seen && window.canvas.isConnected));
  assert.deepEqual(problems, []);
  await context.close();
});

test('a hidden tab closes its stream and a shown one opens it again', async () => {
  const { page, context } = await opened('/');
  await eventually('one stream', async () => (await server.streams()) === 1);
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => value });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await eventually('no stream', async () => (await server.streams()) === 0);
  await hide(false);
  await eventually('one stream again', async () => (await server.streams()) === 1);
  await context.close();
  await eventually('a closed page leaves no stream', async () => (await server.streams()) === 0);
});

test('seven pages of one browser all stay usable', async () => {
  const context = await browser.newContext();
  const opened = [];
  for (let i = 0; i < 5; i += 1) { const page = await context.newPage(); await page.goto(server.url); opened.push(page); }
  for (const page of opened) await page.evaluate(() => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => true }); document.dispatchEvent(new Event('visibilitychange')); });
  for (let i = 0; i < 2; i += 1) { const page = await context.newPage(); await page.goto(server.url, { timeout: 5_000 }); await isLive(page); }
  await context.close();
});

test('r pauses and resumes', async () => {
  const { page, context } = await opened('/');
  await page.keyboard.press('r');
  await eventually('paused', async () => (await state(page)) === 'paused');
  await eventually('no stream', async () => (await server.streams()) === 0);
  await page.keyboard.press('r');
  await isLive(page);
  await context.close();
});

test('data that no longer arrive are called stale, and stay', async () => {
  const { page, context } = await opened('/');
  await server.pause();
  await eventually('stale', async () => (await state(page)) === 'stale', 20_000);
  assert.ok((await page.locator('#attention li').count()) > 0);
  await server.pause();
  await isLive(page);
  await context.close();
});

test('Kafka going down is said on the open page without a reload', async () => {
  const { page, context } = await opened('/');
  await server.scenario('down');
  await page.getByText('Kafka of local cannot be read').waitFor();
  await eventually('the pill says stale', async () => (await state(page)) === 'stale');
  await server.scenario('normal');
  await eventually('it goes away again', () => page.getByText('Kafka of local cannot be read').count().then((n) => n === 0));
  await context.close();
});

test('a first connection that is refused is tried again', async () => {
  const { page, context } = await newPage(browser, { origin: server.origin });
  let refuse = true;
  await page.route('**/stream?*', (route) => (refuse ? route.fulfill({ status: 503, body: 'full' }) : route.continue()));
  await page.goto(server.url);
  await eventually('offline', async () => (await state(page)) === 'offline');
  refuse = false;
  await isLive(page);
  await context.close();
});

test('a server that stops and comes back is found again, and what was seen stays on screen', async () => {
  const own = await startServer();
  const { page, context } = await newPage(browser, { origin: own.origin });
  await page.goto(own.url);
  await isLive(page);
  const began = Date.now();
  await own.stop();
  assert.ok(Date.now() - began < 10_000, 'an open stream does not keep the server from stopping');
  await eventually('offline', async () => (await state(page)) === 'offline');
  await page.locator('#banner span').waitFor();
  assert.match(await page.locator('#banner').innerText(), /reconnects by itself/);
  assert.ok((await page.locator('#attention li').count()) > 0);
  const again = await startServer(new URL(own.url).host);
  await eventually('live again', async () => (await state(page)) === 'live', 60_000);
  assert.equal(await page.locator('#banner').isVisible(), false);
  await context.close();
  await again.stop();
});
