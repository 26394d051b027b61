// Script that runs in every page but practice pages: remembers what input starts and has not ended, beside requests,
// which are counted from outside. These are timers, animations, and messages to workers and servers over open connections;
// and what those start when they end. Until then an unchanged page is not finished.
(() => {
  'use strict';

  if (PRACTICE_PAGES && location.href.startsWith(PRACTICE_PAGES)) return;
  const WINDOW_MS = 100; // what begins so soon after a cause is its effect
  const SHORT_MS = 1000; // longer work is awaited only while nothing but progress was shown
  const LONGEST_MS = 9000; // of a timer whose effect is awaited
  const FRAME_LAG_MS = 100; // an animation starts at the time of its frame, which a busy machine draws late
  const LATE_MS = 2000; // of a timer in a busy page
  const MAX_DEPTH = 5; // effects of effects; more are polls
  const MAX_WORKS = 1000;
  const MAX_MESSAGES = 4; // to a window in LONGEST_MS; more are polls
  const POINTING_EVENTS = ['mousemove', 'wheel']; // they start short work only: carousels go on when the pointer leaves
  const ACTING_EVENTS = ['mousedown', 'mouseup', 'click', 'keydown', 'keyup', 'input'];
  const PROGRESS_TEXT = /(…|\.\.\.)\s*$|\b(wait|pending|busy|in progress|(load|work|process|search|sav|send|submitt|think|connect|fetch|check|upload|download|prepar|generat|comput|calculat|updat|runn)ing)\b/i;
  const PROGRESS_LOOK = '[aria-busy=true], progress, [role=progressbar], [class*=spin i], [class*=load i], [class*=progress i], [class*=pending i], [class*=skeleton i]';
  const MAX_PROGRESS_CHARS = 80;
  const { setTimeout, clearTimeout, setInterval, clearInterval, requestAnimationFrame, MutationObserver } = window;
  const works = new Map(); // by timer, socket, worker
  const causes = []; // times of the last ones
  let cause = { at: -Infinity, depth: 0, isAct: false };
  let running = null; // the work whose callback runs now, "other" for a timer that no input caused
  let target = null; // of the last input
  let isAnswered = false; // something else than progress was shown since
  let isEndless = false; // open connections, frames and intervals were awaited in vain
  let observer = null;
  let messages = [];

  const isCaused = () =>
    performance.now() - cause.at < WINDOW_MS && cause.depth < MAX_DEPTH && (!running || running.isCounted);

  function act(isAct, depth) {
    const at = performance.now();
    cause = { at, depth, isAct: isAct || (cause.isAct && at - cause.at < WINDOW_MS) };
    causes.push(at);
    if (causes.length > 50) causes.shift();
  }

  // Remembers work of so many milliseconds, Infinity for an answer that may never arrive.
  function begin(key, ms, isOpen = false) {
    const now = performance.now();
    const isCounted = isCaused() && ms > 0 && (isOpen ? cause.isAct && !isEndless : ms <= (cause.isAct ? LONGEST_MS : SHORT_MS));
    const work = { begun: now, due: now + ms + LATE_MS, ms, depth: cause.depth, isAct: cause.isAct, isCounted, isOpen };
    if (works.size < MAX_WORKS) works.set(key, work);
    return work;
  }

  function end(key) { // what follows is its effect
    const work = works.get(key);
    works.delete(key);
    if (work?.isCounted) act(work.isAct, work.depth + 1);
  }

  function run(work, callback, self, parameters) {
    const outer = running;
    running = work;
    if (work.isCounted) act(work.isAct, work.depth + 1);
    try { return callback.apply(self, parameters); } finally { running = outer; }
  }

  for (const type of [...POINTING_EVENTS, ...ACTING_EVENTS]) {
    addEventListener(type, (event) => {
      if (!event.isTrusted) return;
      const isAct = ACTING_EVENTS.includes(type);
      act(isAct, 0);
      if (!isAct) return;
      target = event.composedPath()[0];
      isAnswered = false;
      observer ??= observe();
    }, { capture: true, passive: true });
  }
  for (const type of ['transitionend', 'animationend']) {
    addEventListener(type, (event) => { if (event.isTrusted && isRecent(event.elapsedTime * 1000)) act(true, cause.depth + 1); }, true);
  }
  addEventListener('message', (event) => {
    messages = [...messages.filter((at) => event.timeStamp - at < LONGEST_MS), event.timeStamp];
    act(messages.length <= MAX_MESSAGES, 1);
  }, true);

  // Returns whether something that took so long began with a cause.
  function isRecent(ms, until = performance.now()) {
    return causes.some((at) => until - ms >= at - 20 && until - ms <= at + WINDOW_MS);
  }

  new PerformanceObserver((list) => {
    for (const { startTime, responseEnd } of list.getEntries()) {
      if (cause.depth >= MAX_DEPTH || !isRecent(0, startTime)) continue;
      act(true, cause.depth + 1);
      for (const work of works.values()) { // begun before this was reported
        if (work.begun >= responseEnd - 5 && work.ms <= LONGEST_MS && !work.isOpen) work.isCounted = true;
      }
    }
  }).observe({ type: 'resource' });

  // what was shown

  function observe() {
    const watcher = new MutationObserver((records) => { isAnswered ||= records.some(isAnswer); });
    const attributeFilter = ['class', 'style', 'hidden', 'open', 'src'];
    watcher.observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter });
    return watcher;
  }

  function isAnswer({ type, target: changed, addedNodes }) {
    if (target?.contains?.(changed)) return false;
    if (type === 'attributes') return !changed.contains(target) && isShown(changed);
    if (type === 'characterData') return isShown(changed.parentElement);
    return [...addedNodes].some((node) => isShown(node instanceof Element ? node : node.parentElement));
  }

  function isShown(element) {
    const box = element?.getBoundingClientRect();
    if (!box?.width || !box.height || element.matches(PROGRESS_LOOK)) return false;
    const text = element.textContent.trim();
    if (text.length <= MAX_PROGRESS_CHARS && PROGRESS_TEXT.test(text)) return false;
    return /[^\d\s:.,%/-]/.test(text) || Boolean(element.querySelector('img, svg, canvas, video')) || element.matches('img, svg, video');
  }

  // timers

  function timed(start, stop, isRepeated) {
    return [function (handler, timeout) {
      if (typeof handler !== 'function') return start.apply(this, arguments);
      const parameters = [...arguments];
      let work = null;
      parameters[0] = function () {
        if (!isRepeated) works.delete(id);
        return run(work, handler, this, arguments);
      };
      const id = start.apply(this, parameters);
      const ms = Number(timeout) || 0;
      work = isRepeated && ms <= SHORT_MS ? begin(id, Infinity, true) : begin(id, isRepeated ? Infinity : ms);
      return id;
    }, function (id) {
      works.delete(id);
      return stop.apply(this, arguments);
    }];
  }
  const named = (name, value) => { Object.defineProperty(value, 'name', { value: name }); window[name] = value; };
  const [setOnce, clearOnce] = timed(setTimeout, clearTimeout, false);
  const [setRepeated, clearRepeated] = timed(setInterval, clearInterval, true);
  named('setTimeout', setOnce);
  named('clearTimeout', clearOnce);
  named('setInterval', setRepeated);
  named('clearInterval', clearRepeated);
  named('requestAnimationFrame', function (callback) {
    if (typeof callback !== 'function') return requestAnimationFrame.apply(this, arguments);
    const key = {};
    const chain = running?.isFrame ? running : null; // one work for all frames of a chain
    const work = chain ?? begin(key, Infinity, true);
    if (chain?.isCounted) works.set(key, chain);
    work.isFrame = true;
    return requestAnimationFrame.call(this, function () {
      works.delete(key);
      return run(work, callback, this, arguments);
    });
  });

  // connections

  function hearing(owner, types) {
    const add = owner.addEventListener;
    for (const type of types) add.call(owner, type, () => end(owner));
  }
  function connection(name, types) {
    const Native = window[name];
    if (!Native) return;
    window[name] = new Proxy(Native, { construct(_, parameters, maker) {
      const made = Reflect.construct(Native, parameters, maker);
      hearing(made, types);
      if (isCaused()) begin(made, Infinity, true);
      return made;
    } });
  }
  function sending(name, method) {
    const { prototype } = window[name] ?? {};
    const send = prototype?.[method];
    if (send) prototype[method] = { [method]() { if (isCaused()) begin(this, Infinity, true); return send.apply(this, arguments); } }[method];
  }
  connection('WebSocket', ['message', 'close', 'error']);
  connection('EventSource', ['message', 'error']);
  connection('Worker', ['message', 'error', 'messageerror']);
  sending('WebSocket', 'send');
  sending('Worker', 'postMessage');
  const { fetch } = window;
  named('fetch', function () { // requests are counted from outside, but the answer arrives in the page later
    const result = fetch.apply(this, arguments);
    if (isCaused()) {
      begin(result, Infinity, true);
      result.then(() => end(result), () => end(result));
    }
    return result;
  });
  const sendRequest = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = { send() {
    if (isCaused()) {
      begin(this, Infinity, true);
      this.addEventListener('readystatechange', () => { if (this.readyState === 4) end(this); });
    }
    return sendRequest.apply(this, arguments);
  } }.send;
  if (window.EventSource) { // events with names are answers too
    const add = EventTarget.prototype.addEventListener;
    EventSource.prototype.addEventListener = { addEventListener(type) {
      if (!['open', 'message', 'error'].includes(type)) add.call(this, type, () => end(this));
      return add.apply(this, arguments);
    } }.addEventListener;
  }

  function animations(since) {
    const now = performance.now();
    return document.getAnimations().flatMap((animation) => {
      if (animation.playState !== 'running') return [];
      if (animation.startTime !== null && animation.startTime < since - FRAME_LAG_MS) return [];
      const { endTime, localTime } = animation.effect.getComputedTiming();
      const left = (Number(endTime) - Number(localTime ?? 0)) / Math.abs(animation.playbackRate || 1);
      return left > 0 && left <= LONGEST_MS ? [{ begun: now, ms: Number(endTime) }] : [];
    });
  }

  // Returns whether something is open that began after a time of the clock, in milliseconds.
  const isBusy = (startedAt) => {
    const now = performance.now();
    const since = startedAt - performance.timeOrigin;
    for (const [key, { due, begun, isOpen }] of works) {
      if (due < now || (begun < since && !isOpen)) works.delete(key);
    }
    const open = [...works.values()].filter(({ begun, isCounted }) => isCounted && begun >= since);
    return [...open, ...animations(since)].some(({ begun, ms, isFrame }) =>
      (ms <= SHORT_MS || (isFrame && now - begun < SHORT_MS) ? true : !isAnswered));
  };
  const giveUp = () => {
    isEndless ||= [...works.values()].some(({ isOpen, isCounted }) => isOpen && isCounted);
    for (const work of works.values()) work.isCounted = false;
  };
  Object.defineProperty(window, Symbol.for('pixelhand.activity'), { value: { isBusy, giveUp } });
})();
