// What every test of the browser suite needs: a server with made-up data, a browser, a page that reports what went wrong.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SERVER = process.env.TIDEMARK_FIXTURE_SERVER ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug/examples/fixture_server');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const AXE = readFileSync(join(ROOT, 'tests/browser/node_modules/axe-core/axe.min.js'), 'utf8');

/** Starts the server with made-up data; resolves to its address once it listens. */
export async function startServer(address = '127.0.0.1:0', prefix = '') {
  if (!existsSync(SERVER)) throw new Error(`${SERVER} is missing: cargo build --example fixture_server`);
  const child = spawn(SERVER, [address, prefix], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  const url = String(line).trim();
  const origin = new URL(url).origin;
  return {
    url, origin,
    stop: async () => { if (child.exitCode === null) { const ended = once(child, 'exit'); child.kill('SIGTERM'); await ended; } },
    scenario: async (name) => { const r = await fetch(`${origin}/fixture/scenario/${name}`, { method: 'POST' }); if (!r.ok) throw new Error(name); },
    pause: () => fetch(`${origin}/fixture/pause`, { method: 'POST' }),
    streams: async () => Number(await (await fetch(`${origin}/fixture/streams`)).text()),
  };
}

/** Starts Chromium with a user data directory of its own, which goes with it. */
export async function startBrowser() {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing: apt-get install chromium`);
  const home = mkdtempSync(join(tmpdir(), 'tidemark-chromium-'));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, env: { ...process.env, HOME: home } });
  return { browser, stop: async () => { await browser.close(); rmSync(home, { recursive: true, force: true }); } };
}

/** A page that keeps every console error, uncaught error and policy violation in `problems`. */
export async function newPage(browser, { theme = 'auto', width = 1280, height = 800, js = true, origin, ...rest } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, javaScriptEnabled: js, timezoneId: 'UTC', ...rest });
  if (theme !== 'auto') await context.addCookies([{ name: 'tidemark_theme', value: theme, url: origin }]);
  const problems = [];
  if (js) {
    await context.exposeFunction('reportProblem', (text) => problems.push(text));
    await context.addInitScript(() => document.addEventListener('securitypolicyviolation', (e) => window.reportProblem(`policy: ${e.violatedDirective} ${e.blockedURI}`)));
  }
  const page = await context.newPage();
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) problems.push(`console: ${m.text()}`); });
  page.on('pageerror', (e) => problems.push(`error: ${e.message}`));
  return { page, context, problems };
}

/** Waits until `check` is true; fails with `what` after `deadline` milliseconds. */
export async function eventually(what, check, deadline = 15_000) {
  const end = Date.now() + deadline;
  for (;;) {
    if (await check()) return;
    if (Date.now() > end) throw new Error(`not in ${deadline} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

export const isLive = (page) => eventually('the pill says Live', () => page.evaluate(() => document.querySelector('#fresh').dataset.state === 'live'));

/** What axe finds, one line each. */
export async function axe(page) {
  await page.evaluate(AXE);
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: 'tag', values } }), tags);
  return violations.flatMap((v) => v.nodes.slice(0, 3).map((n) => `${v.id}: ${n.target} ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ''}`));
}

export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** Every page, with what it needs to be interesting. */
export const PAGES = {
  overview: '/', groups: '/groups', 'groups-filtered': '/groups?q=nothing-is-called-so', group: '/groups/local/payment-service', stalled: '/groups/local/delivery-service',
  unknown: '/groups/local/canary-consumer', 'group-partitions': '/groups/local/payment-service?tab=partitions', 'group-members': '/groups/local/payment-service?tab=members',
  'group-timeline': '/groups/local/payment-service?tab=timeline', 'group-duplicates': '/groups/local/payment-service?tab=duplicates',
  'group-replay': '/groups/local/payment-service?tab=replay', 'group-settings': '/groups/local/payment-service?tab=settings', 'group-missing': '/groups/local/nobody', 'group-odd': '/groups/local?group=..',
  topics: '/topics', topic: '/topics/local/orders', duplicates: '/duplicates', 'duplicates-executed': '/duplicates?outcome=executed', flow: '/flow',
  event: null, order: '/events/0192f3c1-7d00-7abc-8def-000012345678', 'event-slow': '/events/slow', 'event-missing': '/events/none', alerts: '/alerts', runbook: '/runbooks/DuplicateProcessing', status: '/status', help: '/help', search: '/search?q=nobody+knows+this',
};

/** The same with an event that the ledger holds now. */
export async function pages(server) {
  const { latest } = await (await fetch(`${server.url}/duplicates.json`)).json();
  const executed = latest.find((entry) => entry.outcome === 'executed') ?? latest[0];
  return { ...PAGES, event: `/events/${encodeURIComponent(executed.event_id)}` };
}
