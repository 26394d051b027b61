// Script that runs in every page but practice pages: remembers the short timers that input starts, until they are due.
// Suggestions, menus and debounced requests begin with one; until then the page only looks finished.
(() => {
  'use strict';

  if (PRACTICE_PAGES && location.href.startsWith(PRACTICE_PAGES)) return;
  const WINDOW_MS = 100; // after an event of input
  const LONGEST_MS = 1000; // of a timer whose effect is awaited
  const DRAWN_MS = 30; // from a timer's effect to the screen
  const INPUT_EVENTS = ['mousemove', 'mousedown', 'mouseup', 'click', 'keydown', 'keyup', 'input', 'wheel'];
  const { setTimeout: start, clearTimeout: stop } = window;
  const due = new Map(); // times by timer
  let inputAt = -Infinity;

  for (const type of INPUT_EVENTS) {
    addEventListener(type, (event) => { if (event.isTrusted) inputAt = performance.now(); }, { capture: true, passive: true });
  }

  window.setTimeout = { setTimeout(handler, timeout) {
    const id = start.apply(this, arguments);
    const [now, ms] = [performance.now(), Number(timeout) || 0];
    if (now - inputAt < WINDOW_MS && ms > 0 && ms <= LONGEST_MS && due.size < 1000) due.set(id, now + ms + DRAWN_MS);
    return id;
  } }.setTimeout;
  window.clearTimeout = { clearTimeout(id) {
    due.delete(id);
    return stop.apply(this, arguments);
  } }.clearTimeout;

  const hasTimers = () => {
    const now = performance.now();
    for (const [id, time] of due) if (time < now) due.delete(id);
    return due.size > 0;
  };
  Object.defineProperty(window, Symbol.for('pixelhand.hasTimers'), { value: hasTimers });
})();
