// Live updates: one EventSource per visible page, fragments morphed by id. Pages are complete without this file.
(() => {
  'use strict';
  const main = () => document.getElementById('main');
  const morph = (old, next) => Idiomorph.morph(old, next, { morphStyle: 'outerHTML', ignoreActiveValue: true });
  let source, timer, wait = 500, opened = false;

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  function open() {
    close();
    const { live, since } = main().dataset;
    if (!live || document.hidden || tidemark.paused) return;
    // Only the first stream may skip what the page already shows; after a break the full state is wanted.
    const from = opened ? '' : '&since=' + encodeURIComponent(since);
    opened = true;
    source = new EventSource(live + from);
    source.onopen = () => { wait = 500; };
    source.onmessage = (event) => {
      const parsed = document.createElement('template');
      parsed.innerHTML = event.data;
      // Each fragment comes in a template of its own, so that rows stay rows whatever stands before them.
      for (const { content } of parsed.content.children) {
        const next = content.firstElementChild;
        const old = document.getElementById(next.id);
        if (old) morph(old, next);
      }
      tidemark.changed();
    };
    source.addEventListener('tick', (event) => tidemark.tick(JSON.parse(event.data)));
    source.addEventListener('point', (event) => tidemark.point(JSON.parse(event.data)));
    // EventSource gives up on an HTTP error, and retries at a fixed pace otherwise: both are done here instead.
    source.onerror = () => {
      close();
      tidemark.lost();
      timer = setTimeout(open, wait * (0.7 + Math.random() * 0.6));
      wait = Math.min(wait * 2, 60000);
    };
  }

  // A filter form swaps the page in place: same address as without JavaScript, focus and typing kept.
  let asked = 0, typing;
  async function apply(form) {
    const fields = [...new FormData(form)].filter(([, value]) => value !== '');
    const query = new URLSearchParams(fields).toString();
    const url = form.action.split('?')[0] + (query && '?' + query);
    const mine = ++asked;
    try {
      const response = await fetch(url);
      if (mine !== asked) return;
      if (!response.ok) throw new Error(response.status);
      const next = new DOMParser().parseFromString(await response.text(), 'text/html').getElementById('main');
      history.replaceState(null, '', url);
      morph(main(), next);
      opened = false;
      open();
    } catch {
      if (mine === asked) location.assign(url);
    }
  }
  document.addEventListener('input', (event) => {
    const form = event.target.form;
    if (!form?.matches('[data-filter]')) return;
    clearTimeout(typing);
    typing = setTimeout(apply, 200, form);
  });
  document.addEventListener('submit', (event) => {
    if (!event.target.matches('form[data-filter]')) return;
    event.preventDefault();
    clearTimeout(typing);
    apply(event.target);
  });

  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()));
  document.addEventListener('tidemark:pause', open);
  addEventListener('pagehide', close);
  addEventListener('pageshow', (event) => event.persisted && open());
  open();
})();
