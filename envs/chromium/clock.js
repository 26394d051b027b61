// Script that runs in practice pages before all others: their time is virtual.
//
// Dates, timers, animation frames and CSS animations follow a clock that stands still, and that settle() and wait()
// advance from one due time to the next. Nothing is waited for, so the same seed and the same actions give the same
// screens. The surface stops CSS animations through the DevTools protocol, and the clock sets their current time.
(() => {
  'use strict';

  if (!PRACTICE_PAGES || !location.href.startsWith(PRACTICE_PAGES)) return;
  const START_MS = Date.UTC(2026, 0, 1, 12); // of every page
  const EPISODE_MS = 2000; // when an episode starts, whatever happened since the page was loaded
  const FRAME_MS = 16;
  const INPUT_MS = CLOCK_INPUT_MS; // of one event of input: keys and pointer moves follow each other at this pace
  const ACTION_MS = 100; // of an action whose effect shows at once
  const WINDOW_MS = 400; // what is due within it belongs to the action: jQuery UI opens lists after 300 ms
  const CAP_MS = 1000; // of an action
  const MOVING_CAP_MS = 300; // of an action on a page that did not stand still before it
  const FAST_INTERVAL_MS = 50; // a shorter interval draws an animation (jQuery: 13 ms), a longer one is a page's clock
  const FRAMES = 2; // the first one lays the page out, the second one updates what lies under the pointer
  const INPUT_EVENTS = ['pointermove', 'pointerdown', 'pointerup', 'pointercancel', 'keydown', 'keyup', 'wheel'];
  const MODIFIERS = ['Alt', 'AltGraph', 'CapsLock', 'Control', 'Meta', 'Shift'];
  const POLL_MS = 5;
  const NOTCH = 120; // of the wheel; the browser joins notches that come fast

  const native = {
    requestFrame: window.requestAnimationFrame.bind(window),
    setTimeout: window.setTimeout.bind(window),
    getAnimations: Document.prototype.getAnimations,
    eval: window.eval,
    Date: window.Date,
  };
  const channel = new MessageChannel();
  const timers = new Map(); // {callback, due, order, interval} by id
  const frames = new Map(); // callbacks by id
  const starts = new WeakMap(); // of CSS animations
  let now = 0;
  let last = 0; // id
  let isMoving = false; // at the end of the last action
  let isLate = false; // input other than a move of the pointer came since the last action ended
  let pointer = ''; // its position
  const received = {}; // number of events of input by type, and of notches of the wheel; a modifier key counts as none

  const toTask = (handler, args) => typeof handler === 'function'
    ? () => handler.apply(window, args) : () => (0, native.eval)(String(handler));
  const toDelay = (timeout) => Math.max(1, Number(timeout) | 0); // as in browsers: at least 1 ms, 32 bits

  function addTimer(callback, delay, interval) {
    timers.set(++last, { callback, due: now + delay, order: last, interval });
    return last;
  }

  function call(callback, ...args) {
    try { callback(...args); } catch (error) { reportError(error); }
  }

  // Returns the end of an animation on this clock, Infinity if it has none, and sets its present time.
  function pose(animation) {
    if (animation.playState !== 'running') return Infinity;
    if (!starts.has(animation)) starts.set(animation, now - (animation.currentTime ?? 0));
    animation.currentTime = now - starts.get(animation);
    return starts.get(animation) + animation.effect.getComputedTiming().endTime;
  }

  const poseAll = () => native.getAnimations.call(document).map(pose);
  const nextFrame = () => (frames.size ? (Math.floor(now / FRAME_MS) + 1) * FRAME_MS : Infinity);
  const dueTimers = (time) => [...timers.values()].filter((timer) => timer.due <= time);
  const first = (times) => times.reduce((least, time) => Math.min(least, time), Infinity);

  // Moves to `time`, at which something is due, and returns what has to be called then.
  function reach(time) {
    const due = dueTimers(time).sort((a, b) => a.due - b.due || a.order - b.order);
    const isFrame = nextFrame() <= time;
    now = Math.max(now, time);
    const calls = due.map((timer) => () => {
      if (timers.get(timer.order) !== timer) return; // cleared meanwhile
      if (timer.interval) timer.due += timer.interval; else timers.delete(timer.order);
      call(timer.callback);
    });
    if (isFrame) {
      for (const id of [...frames.keys()]) calls.push(() => {
        const callback = frames.get(id);
        frames.delete(id);
        if (callback) call(callback, now);
      });
    }
    return calls;
  }

  // Whether the pointer is where it was: the browser sends such moves itself, at real times, when what lies under the
  // pointer moves.
  function isRepeatedMove(event) {
    const before = pointer;
    if (event instanceof PointerEvent) pointer = `${event.screenX} ${event.screenY}`;
    return event.type === 'pointermove' && pointer === before;
  }

  const size = (event) => (event.type === 'wheel'
    ? Math.round((Math.abs(event.wheelDeltaX) + Math.abs(event.wheelDeltaY)) / NOTCH) : 1);

  const nextTime = () => Math.min(first([...timers.values()].map((timer) => timer.due)), nextFrame());

  // Advances within one event, before the page's listeners.
  function advanceNow(ms) {
    const end = now + ms;
    for (let time; (time = nextTime()) <= end; ) for (const run of reach(time)) run();
    now = end;
  }

  const nextTask = () => new Promise((done) => { channel.port1.onmessage = done; channel.port2.postMessage(null); });

  async function draw() {
    for (let n = 0; n < FRAMES; n++) await new Promise(native.requestFrame);
  }

  async function advance(end) {
    for (;;) {
      const ending = first(poseAll().filter((time) => time > now));
      const time = Math.min(nextTime(), ending);
      if (time > end) break;
      for (const run of reach(time)) {
        run();
        await nextTask(); // promises
      }
      if (ending === time) {
        poseAll();
        await draw(); // the page gets the event of the end in a frame
      }
    }
    now = end;
    poseAll();
  }

  // Returns the time up to which an action lasts at least: the next due time within the window, else now.
  function nextAwaited() {
    const awaited = [...timers.values()].filter((timer) => !timer.interval || timer.interval < FAST_INTERVAL_MS);
    const isRunning = poseAll().some((end) => end > now && end < Infinity); // however long it takes
    const time = Math.min(first(awaited.map((timer) => timer.due)), nextFrame());
    if (time <= now + WINDOW_MS) return time;
    return isRunning ? now + FRAME_MS : now;
  }

  async function loadImages() {
    const open = [...document.images].filter((image) => !image.complete);
    await Promise.all(open.map((image) => new Promise((done) => {
      for (const type of ['load', 'error']) image.addEventListener(type, done, { once: true });
    })));
  }

  const clock = {
    // Advances to the start of an episode.
    async begin() {
      if (now < EPISODE_MS) await advance(EPISODE_MS);
      isMoving = false;
    },
    // Advances to the end of what an action started, and draws it.
    async settle() {
      isLate = false;
      const end = now + (isMoving ? MOVING_CAP_MS : CAP_MS);
      await advance(now + ACTION_MS);
      for (;;) {
        await draw();
        await loadImages();
        isMoving = nextAwaited() > now;
        if (!isMoving || now >= end) break;
        for (let time; now < end && (time = nextAwaited()) > now; ) await advance(Math.min(time, end));
      }
    },
    // Advances by exactly `ms`, and draws what is shown then.
    async wait(ms) {
      await advance(now + ms);
      await draw();
      await loadImages();
    },
    draw,
    // Returns the number of events of input of each type.
    received: () => ({ ...received }),
    // Returns when `count` events of a type were received, or after `cap` ms of real time.
    async receive(type, count, cap) {
      for (let waited = 0; (received[type] ?? 0) < count && waited < cap; waited += POLL_MS) {
        await new Promise((done) => native.setTimeout(done, POLL_MS));
      }
      await nextTask(); // the page's own listeners
    },
    // Settles if input came after the last action had ended; returns whether it did.
    async settleLate() {
      const wasLate = isLate;
      if (wasLate) await clock.settle();
      return wasLate;
    },
  };
  Object.defineProperty(window, Symbol.for('pixelhand.clock'), { value: clock });

  for (const type of INPUT_EVENTS) {
    addEventListener(type, (event) => {
      if (!event.isTrusted || isRepeatedMove(event)) return;
      isLate ||= type !== 'pointermove';
      const name = type === 'pointercancel' ? 'pointerup' : type; // a native drag takes the pointer
      if (!MODIFIERS.includes(event.key)) received[name] = (received[name] ?? 0) + size(event);
      if (name === type && INPUT_MS) advanceNow(INPUT_MS);
    }, { capture: true, passive: true });
  }

  const epochNow = () => START_MS + Math.floor(now);
  native.Date.now = { now() { return epochNow(); } }.now;
  window.Date = new Proxy(native.Date, {
    construct: (target, args, created) => Reflect.construct(target, args.length ? args : [epochNow()], created),
    apply: () => new native.Date(epochNow()).toString(),
  });
  native.Date.prototype.constructor = window.Date;
  Performance.prototype.now = { now() { return now; } }.now;
  Object.defineProperty(Event.prototype, 'timeStamp', { configurable: true, enumerable: true, get: () => now });

  Object.assign(window, {
    setTimeout(handler, timeout, ...args) { return addTimer(toTask(handler, args), toDelay(timeout), 0); },
    setInterval(handler, timeout, ...args) {
      return addTimer(toTask(handler, args), toDelay(timeout), toDelay(timeout));
    },
    clearTimeout(id) { timers.delete(id); },
    clearInterval(id) { timers.delete(id); },
    requestAnimationFrame(callback) { frames.set(++last, callback); return last; },
    cancelAnimationFrame(id) { frames.delete(id); },
    requestIdleCallback(callback) {
      return addTimer(() => callback({ didTimeout: false, timeRemaining: () => FRAME_MS }), 1, 0);
    },
    cancelIdleCallback(id) { timers.delete(id); },
  });

  // What a page draws at random before its episode is seeded.
  let state = 1;
  Math.random = { random() {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  } }.random;
})();
