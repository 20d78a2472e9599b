// The pill, the charts and the keyboard. Every page works without this file.
(() => {
  'use strict';
  const $ = (selector, root = document) => root.querySelector(selector);
  document.documentElement.classList.add('js');

  // ---- the pill: its words change with the state; the age beside it is not announced
  const pill = $('#fresh'), banner = $('#banner');
  // null before anything was read
  let at = pill.dataset.at === '' ? null : Number(pill.dataset.at), every = Number(pill.dataset.every), state = 'static', offline = false, paused = false;
  let skew = 0; // the server's clock against ours
  const WORDS = { live: 'Live', stale: 'Stale', offline: 'Offline', paused: 'Paused', nodata: 'No data' };
  const age = (s) => (s < 60 ? s + ' s' : s < 3600 ? Math.floor(s / 60) + ' min' : Math.floor(s / 3600) + ' h');
  function paint() {
    if (state === 'static' && !offline && !paused) return;
    const old = Math.max(0, Date.now() + skew - at);
    const next = paused ? 'paused' : offline ? 'offline' : at === null ? 'nodata' : old > 5 * every ? 'stale' : 'live';
    if (next !== state) {
      state = pill.dataset.state = next;
      $('.word', pill).textContent = WORDS[next];
    }
    $('time', pill).textContent = at === null ? '' : age(Math.round(old / 1000)) + ' ago';
    const text = next === 'offline' ? 'The connection to the monitor is lost. ' + (at === null ? 'It' : 'You see the state of ' + new Date(at).toISOString().slice(11, 19) + ' UTC; it') + ' reconnects by itself.' : '';
    if (banner.textContent !== text) {
      banner.replaceChildren(...(text ? [Object.assign(document.createElement('span'), { textContent: text })] : []));
      banner.hidden = !text;
    }
  }
  setInterval(paint, 1000);
  const setPaused = (value) => { paused = value; document.dispatchEvent(new Event('tidemark:pause')); paint(); };

  // ---- charts: drawn from the same data as the picture that the server drew
  let plots = [], drawn;
  const colour = (name) => {
    const probe = Object.assign(document.createElement('i'), { className: 'cc-' + name });
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const short = (v) => (v >= 1e6 ? v / 1e6 + 'M' : v >= 1e4 ? v / 1e3 + 'k' : String(v));
  function plot(box, data, series, unit, mark) {
    const axis = { stroke: colour('ink'), font: '11px Inter, sans-serif', grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } };
    const tip = Object.assign(document.createElement('div'), { className: 'tip', hidden: true });
    const line = (u) => {
      if (!mark || mark > u.scales.y.max) return;
      const y = u.valToPos(mark, 'y', true), c = u.ctx;
      c.save(); c.strokeStyle = colour('bad'); c.setLineDash([6, 5]); c.beginPath();
      c.moveTo(u.bbox.left, y); c.lineTo(u.bbox.left + u.bbox.width, y); c.stroke(); c.restore();
    };
    const say = (u) => {
      const i = u.cursor.idx;
      tip.hidden = i == null;
      if (i != null) tip.textContent = new Date(u.data[0][i] * 1000).toISOString().slice(11, 19) + '  ' + series.map((s, k) => s.label + ' ' + (u.data[k + 1][i] == null ? '—' : Math.round(u.data[k + 1][i] * 10) / 10)).join(', ');
    };
    box.replaceChildren();
    const made = new uPlot({
      width: box.clientWidth, height: box.clientHeight, padding: [8, 2, 0, 0], legend: { show: false },
      cursor: { sync: { key: 'tidemark' }, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (u, lo, hi) => [0, Math.max(hi || 1, mark && mark < hi * 4 ? mark : 0) * 1.06] } },
      axes: [{ ...axis, size: 26, values: (u, v) => v.map((t) => new Date(t * 1000).toISOString().slice(11, v.length > 1 && v[1] - v[0] < 60 ? 19 : 16)) }, { ...axis, size: 46, values: (u, v) => v.map((n) => short(n) + unit) }],
      series: [{}, ...series.map((s) => ({ width: 1.5, points: { show: false }, ...s, stroke: colour(s.stroke), fill: s.fill && colour(s.fill) }))],
      hooks: { draw: [line], setCursor: [say] },
    }, data, box);
    made.over.append(tip);
    return made;
  }
  async function draw() {
    const lag = $('#lagchart'), rate = $('#ratechart');
    if (!lag || !window.uPlot) return;
    if (drawn?.url !== lag.dataset.series) {
      const response = await fetch(lag.dataset.series);
      if (!response.ok) return;
      drawn = { url: lag.dataset.series, data: await response.json() };
    }
    const { at: t, lag: n, produced_per_second: p, consumed_per_second: c } = drawn.data;
    plots.forEach((old) => old.destroy());
    plots = [
      plot(lag, [t, n], [{ label: 'unread', stroke: 'lag', fill: 'fill' }], '', Number(lag.dataset.warning)),
      plot(rate, [t, p, c], [{ label: 'produced', stroke: 'produced' }, { label: 'committed', stroke: 'consumed' }], '/s'),
    ];
  }
  function point([t, lag, produced, consumed]) {
    if (!plots.length) return;
    const d = drawn.data, columns = [d.at, d.lag, d.produced_per_second, d.consumed_per_second], values = [t, lag, produced, consumed];
    const end = d.at.length - 1, step = end > 0 ? d.at[end] - d.at[end - 1] : 0;
    if (t <= d.at[end]) { if (t === d.at[end]) columns.forEach((column, i) => { column[end] = values[i]; }); else return; }
    else columns.forEach((column, i) => { column.push(values[i]); if (column.length > 720 || d.at[0] < t - 720 * (step || 1)) column.shift(); });
    plots[0].setData([d.at, d.lag]);
    plots[1].setData([d.at, d.produced_per_second, d.consumed_per_second]);
  }
  addEventListener('resize', () => plots.forEach((p) => p.setSize({ width: p.root.parentElement.clientWidth, height: p.root.parentElement.clientHeight })));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  draw();

  // ---- the keyboard
  const help = $('#help'), rows = () => [...document.querySelectorAll('[data-row]')];
  let hotkeys = localStorage.getItem('hotkeys') !== 'off', prefix = 0;
  const move = (by) => {
    const all = rows(), now = all.findIndex((row) => row.contains(document.activeElement));
    const row = all[Math.max(0, Math.min(all.length - 1, now + by))];
    const link = row && $('a', row);
    link?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: 'nearest' });
  };
  const KEYS = {
    '/': () => { const field = $('#q') || $('#find'); field.focus(); field.select(); },
    g: () => { prefix = Date.now(); },
    j: () => move(1), k: () => move(-1),
    r: () => setPaused(!paused),
    t: () => $('#themebtn').click(),
    x: () => $('[data-export]')?.click(),
    y: () => navigator.clipboard?.writeText(location.href),
    '?': () => help.showModal(),
  };
  document.addEventListener('keydown', (event) => {
    const field = event.target.matches?.('input:not([type=hidden]):not([type=checkbox]), select, textarea');
    if (event.key === 'Escape' && field) event.target.blur();
    if (!hotkeys || event.ctrlKey || event.metaKey || event.altKey || field || help.open) return;
    if (Date.now() - prefix < 1500) {
      prefix = 0;
      const link = $('.nav a[data-key="' + CSS.escape(event.key) + '"]');
      if (link) { event.preventDefault(); link.click(); return; }
    }
    const action = KEYS[event.key];
    if (action) { event.preventDefault(); action(); }
  });
  document.addEventListener('click', (event) => {
    if (event.target.closest('#helpbtn')) { event.preventDefault(); help.showModal(); }
    const button = event.target.closest('[data-copy]');
    if (button) {
      navigator.clipboard.writeText(button.previousElementSibling.textContent).then(() => { button.textContent = 'Copied'; setTimeout(() => { button.textContent = 'Copy'; }, 2000); });
    }
  });
  // Updates bring the buttons as the server sends them: hidden, for pages without script.
  const showCopies = () => { for (const button of document.querySelectorAll('[data-copy]')) button.hidden = !navigator.clipboard; };
  showCopies();
  for (const box of document.querySelectorAll('[data-hotkeys]')) {
    box.checked = hotkeys;
    box.addEventListener('change', () => { hotkeys = box.checked; localStorage.setItem('hotkeys', hotkeys ? 'on' : 'off'); });
  }

  window.tidemark = {
    get paused() { return paused; },
    tick(data) { offline = false; ({ at, every } = data); skew = data.now - Date.now(); if (state === 'static') state = ''; paint(); },
    lost() { offline = true; paint(); },
    changed() { showCopies(); if (!$('#lagchart canvas')) draw(); },
    point,
    get plots() { return plots; },
  };
})();
