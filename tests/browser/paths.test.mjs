// The main paths: without JavaScript, with the keyboard alone, by deep links, with odd names, below a prefix.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, isLive, newPage, startBrowser, startServer } from './support.mjs';

let server, browser, stop;
before(async () => { server = await startServer(); ({ browser, stop } = await startBrowser()); });
after(async () => { await stop?.(); await server?.stop(); });

test('the main paths work without JavaScript', async () => {
  const { page, context, problems } = await newPage(browser, { js: false, origin: server.origin });
  await page.goto(server.url);
  assert.match(await page.locator('#fresh').innerText(), /As of/);
  await page.click('.nav >> text=Groups');
  await page.fill('#q', 'payment-s');
  await page.click('form.filter noscript button');
  assert.equal(new URL(page.url()).searchParams.get('q'), 'payment-s');
  assert.equal(new URL(page.url()).searchParams.get('status'), null, 'empty fields do not litter the address');
  assert.deepEqual(await page.locator('#rows .rowlink').allInnerTexts(), ['payment-service']);
  await page.click('#rows .rowlink');
  assert.equal(await page.locator('#lagchart svg').count(), 1, 'the chart is a picture from the server');
  await page.click('.tabs >> text=Members');
  assert.ok((await page.locator('#members tbody tr').count()) > 1);
  await page.fill('#find', 'delivery-service');
  await page.press('#find', 'Enter');
  assert.match(page.url(), /groups\/local\/delivery-service$/);
  await page.click('.nav >> text=Groups');
  await page.click('thead >> text=Unread');
  assert.match(page.url(), /sort=lag&dir=desc/);
  await page.click('#themebtn');
  assert.equal(await page.getAttribute('html', 'data-theme'), 'dark');
  assert.match(page.url(), /sort=lag&dir=desc/, 'the theme switch comes back to the same list');
  await page.click('#helpbtn');
  assert.match(await page.locator('h1').innerText(), /Keyboard shortcuts/);
  assert.deepEqual(problems, []);
  await context.close();
});

test('a receiver is tested, an alert silenced, a runbook read and another source asked without JavaScript', async () => {
  const { page, context, problems } = await newPage(browser, { js: false, origin: server.origin });
  await page.goto(`${server.url}/alerts`);
  await page.click('#receivers button');
  assert.match(page.url(), /\/alerts#receivers$/);
  assert.match(await page.locator('#receivers .pill').innerText(), /The last test failed: no answer/);
  await page.selectOption('#silrule', 'KafkaConsumerGroupDown');
  await page.click('#silences form.filter button');
  assert.match(page.url(), /\/alerts#silences$/);
  assert.match(await page.locator('#active').innerText(), /Silenced until/);
  await page.click('#silences .when button');
  assert.doesNotMatch(await page.locator('#active').innerText(), /Silenced until/);
  await page.click('#rules li:first-child >> text=Runbook');
  assert.match(page.url(), /\/runbooks\/Kafka/);
  assert.equal(await page.locator('h2', { hasText: 'What to do' }).count(), 1);
  await page.goto(`${server.url}/events/none`);
  await page.fill('#source', '/billing');
  await page.click('form[action$="/events"] button');
  assert.equal(new URL(page.url()).searchParams.get('source'), '/billing');
  assert.match(await page.locator('.verdict').innerText(), /under the source \/billing/);
  assert.deepEqual(problems.filter((problem) => !problem.includes('404')), []);
  await context.close();
});

test('everything can be reached with the keyboard alone', async () => {
  const { page, context, problems } = await newPage(browser, { origin: server.origin });
  await page.goto(server.url);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  for (const [key, path] of [['g', '/groups'], ['p', '/topics'], ['d', '/duplicates'], ['f', '/flow'], ['a', '/alerts'], ['s', '/status'], ['o', '/']]) {
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await page.waitForURL(server.url + path);
  }
  await page.keyboard.press('g');
  await page.keyboard.press('g');
  await page.waitForURL(`${server.url}/groups`);
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  assert.equal(await page.evaluate(() => [...document.querySelectorAll('#rows .rowlink')].indexOf(document.activeElement)), 1);
  await page.keyboard.press('k');
  const name = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press('Enter');
  await page.waitForURL(/groups\/local\//);
  assert.equal(await page.locator('h1 .name').innerText(), name);
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'find');
  await page.keyboard.press('Escape');
  assert.notEqual(await page.evaluate(() => document.activeElement.id), 'find');
  await page.keyboard.press('t');
  await eventually('dark', () => page.getAttribute('html', 'data-theme').then((theme) => theme === 'dark'));
  assert.deepEqual(problems, []);
  await context.close();
});

test('single-key shortcuts can be switched off, and stay off', async () => {
  const { page, context } = await newPage(browser, { origin: server.origin });
  await page.goto(server.url);
  await page.keyboard.press('?');
  await page.uncheck('#help [data-hotkeys]');
  await page.keyboard.press('Escape');
  await eventually('closed', () => page.evaluate(() => !document.querySelector('#help').open));
  await page.reload();
  await page.keyboard.press('?');
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  assert.equal(await page.evaluate(() => document.querySelector('#help').open), false);
  assert.equal(new URL(page.url()).pathname, '/');
  await context.close();
});

test('a deep link reproduces the table', async () => {
  const { page, context } = await newPage(browser, { origin: server.origin });
  await page.goto(`${server.url}/groups`);
  await page.click('#chips >> text=Keeping up');
  await page.click('thead >> text=Group');
  await isLive(page);
  const names = await page.locator('#rows .rowlink').allInnerTexts();
  const other = await newPage(browser, { origin: server.origin });
  await other.page.goto(page.url());
  assert.deepEqual(await other.page.locator('#rows .rowlink').allInnerTexts(), names);
  assert.deepEqual(names, [...names].sort());
  await context.close();
  await other.context.close();
});

test('odd names render, link and run nothing', async () => {
  const { page, context, problems } = await newPage(browser, { origin: server.origin });
  page.on('dialog', (dialog) => { problems.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.goto(`${server.url}/groups?per=200`);
  await isLive(page);
  const { groups } = await (await fetch(`${server.url}/groups.json`)).json();
  const links = await page.locator('#rows .rowlink').evaluateAll((all) => all.map((a) => a.getAttribute('href')));
  assert.equal(links.length, groups.length);
  for (const { group, url } of groups) {
    assert.ok(links.includes(url), group);
    const response = await page.goto(server.origin + url);
    assert.equal(response.status(), 200, group);
    await isLive(page);
    assert.ok((await page.locator('h1 .name').innerText()).length > 0);
  }
  assert.ok(groups.some(({ group }) => group.includes('<script>')) && groups.some(({ group }) => group.length >= 200));
  assert.deepEqual(problems, []);
  await context.close();
});

test('the theme of the system is followed until one is chosen', async () => {
  const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const { page, context } = await newPage(browser, { origin: server.origin, colorScheme: 'dark' });
  await page.goto(server.url);
  const dark = await ground(page);
  await page.click('#themebtn');
  await page.click('#themebtn');
  assert.equal(await page.getAttribute('html', 'data-theme'), 'light');
  assert.notEqual(await ground(page), dark);
  await context.close();
});

test('everything works below a path prefix', async () => {
  const own = await startServer('127.0.0.1:0', '/ops/tidemark');
  const { page, context, problems } = await newPage(browser, { origin: own.origin });
  await page.goto(own.url);
  await isLive(page);
  await page.click('.nav >> text=Groups');
  await isLive(page);
  await page.click('#rows .rowlink >> nth=2');
  await eventually('the chart is drawn', () => page.locator('.uplot-box canvas').count().then((n) => n === 2));
  await page.click('#themebtn');
  await eventually('dark', () => page.getAttribute('html', 'data-theme').then((theme) => theme === 'dark'));
  assert.ok(page.url().startsWith(`${own.url}/groups/local/`));
  await page.fill('#find', 'orders');
  await page.press('#find', 'Enter');
  await page.waitForURL(`${own.url}/topics/local/orders`);
  assert.deepEqual(problems, []);
  await context.close();
  await own.stop();
});

test('a list can be exported with the key x', async () => {
  const { page, context } = await newPage(browser, { origin: server.origin, acceptDownloads: true });
  await page.goto(`${server.url}/groups?q=service`);
  const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('x')]);
  assert.equal(download.suggestedFilename(), 'groups.csv');
  await context.close();
});

test('the table of waiting orders shows its last column without being scrolled', async () => {
  const { page, context, problems } = await newPage(browser, { width: 1280, origin: server.origin });
  await page.goto(`${server.url}/flow`);
  assert.ok((await page.locator('#waiting [data-row]').count()) > 0, 'orders wait');
  const table = page.getByRole('region', { name: 'Table of waiting orders' });
  const hidden = await table.evaluate((region) => region.scrollWidth - region.clientWidth);
  assert.ok(hidden <= 0, `${hidden} px of it are out of sight`);
  assert.deepEqual(problems, []);
  await context.close();
});
