// Shared parts of the oracles: answers in screenshot pixels, visibility, seeded random numbers. Oracles read the page and
// change nothing in it, including its random number generator.
//
// An oracle is a function in `oracles` that returns [goal, answer] pairs for the present state of the page. Pairs with a null
// goal or answer are skipped. Answers depend only on what a screenshot of the page shows.
window.__oracle = (() => {
  'use strict';

  let scale = 1; // screenshot pixels per CSS px
  let state = 0; // of the random number generator
  const oracles = {};
  const all = (css, root = document) => [...root.querySelectorAll(css)];

  // random numbers: mulberry32

  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(random() * n);
  const pick = (list) => list[below(list.length)];
  const times = (n, make) => Array.from({ length: n }, (_, i) => make(i));
  const LETTERS = 'qwertyuiopasdfghjklzxcvbnmQWERTYUIOPASDFGHJKLZXCVBNM1234567890';
  const word = (least, most) => times(least + below(most - least + 1), () => pick(LETTERS)).join('');

  // visibility

  const meet = (a, b) => {
    const left = Math.max(a.left, b.left), top = Math.max(a.top, b.top);
    const right = Math.min(a.right, b.right), bottom = Math.min(a.bottom, b.bottom);
    return { left, top, right, bottom, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  };
  const clip = (element, box) => { // to the window and to every scrolling box
    let seen = meet(box, { left: 0, top: 0, right: innerWidth, bottom: innerHeight });
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement) {
      if (getComputedStyle(up).overflowY !== 'visible') seen = meet(seen, up.getBoundingClientRect());
    }
    return seen;
  };
  const boxOf = (element) => { // the largest of its line boxes
    const lines = [...element.getClientRects()];
    if (!lines.length) return element.getBoundingClientRect();
    return lines.reduce((a, b) => (b.width * b.height > a.width * a.height ? b : a));
  };
  const visible = (element) => clip(element, boxOf(element));
  const whole = (element) => { // its full height is visible
    const box = element.getBoundingClientRect();
    return box.height > 0 && visible(element).height >= box.height - 1;
  };

  // answers

  // The pixel of a point, and the CSS px of a click on this pixel.
  const pixel = (x, y) => [Math.floor(x * scale), Math.floor(y * scale)];
  const hit = ([x, y]) => document.elementFromPoint(Math.floor((x + 0.5) / scale), Math.floor((y + 0.5) / scale));
  const COARSE = [0.5, 0.3, 0.7, 0.15, 0.85], FINE = Array.from({ length: 24 }, (_, i) => (i + 0.5) / 24);
  const spot = (element, box) => { // the finer grid finds the visible part of a covered element
    for (const grid of [COARSE, FINE]) for (const v of grid) for (const u of grid) {
      const at = pixel(box.left + u * box.width, box.top + v * box.height);
      const top = hit(at);
      if (top && (top === element || element.contains(top))) return at;
    }
    return null;
  };
  const round = (value) => Math.round(value * scale * 10) / 10;
  // A click on an element: at the center of its box, or where it is not covered; null if it cannot be clicked.
  const click = (element, box = visible(element)) => {
    if (!box.width || !box.height) return null;
    const at = spot(element, box);
    return at && {
      answer: { action: 'left_click', coordinate: at },
      box: [round(box.left), round(box.top), round(box.width), round(box.height)],
    };
  };
  const type = (text) => ({ answer: { action: 'type', text }, box: null });
  const key = (...keys) => ({ answer: { action: 'key', keys }, box: null });
  const scroll = (element, pixels) => {
    const to = click(element);
    return to && { answer: { action: 'scroll', coordinate: to.answer.coordinate, pixels }, box: to.box };
  };

  // text fields

  const focused = (field) => document.activeElement === field;
  const selected = (field) => field.value !== '' && field.selectionStart === 0 && field.selectionEnd === field.value.length;
  // The next step towards a text in a field with any content.
  const enter = (field, text) => {
    if (!focused(field)) return click(field);
    return field.value === '' || selected(field) ? type(text) : key('ctrl', 'a');
  };
  const own = (form) => core.getUtterance().match(form)?.slice(1) ?? null;

  const questions = (task, pixelsPerPx, seed) => {
    scale = pixelsPerPx;
    state = seed;
    const asked = new Map();
    for (const [goal, answer] of oracles[task]()) {
      if (answer && !asked.has(goal)) asked.set(goal, { goal, ...answer });
    }
    const said = core.getUtterance();
    const own = asked.get(said.utterance ?? said); // some pages return an object
    return own ? [own, ...[...asked.values()].filter((one) => one !== own)] : [...asked.values()];
  };

  // A random click: on an element, or anywhere.
  const stray = (pixelsPerPx, seed) => {
    scale = pixelsPerPx;
    state = seed;
    const things = all('#area input, #area button, #area label, #area a, .ui-menu-item, .ui-datepicker a, #area text, #area h2');
    const aims = things.map((one) => click(one)).filter(Boolean);
    if (aims.length && random() < 0.6) return pick(aims).answer;
    const at = pixel(below(innerWidth), 50 + below(innerHeight - 50));
    // the picker of a native date field is a window that no screenshot shows
    const top = hit(at);
    if (top instanceof HTMLInputElement && top.type === 'date') return click(top)?.answer ?? null;
    return { action: 'left_click', coordinate: at };
  };

  // characters: [character, x, y, width] of each visible character, x and y of its center, in screenshot pixels, line by
  // line

  const ruler = document.createElement('canvas').getContext('2d');
  const inField = (field) => {
    const style = getComputedStyle(field);
    const text = field.value === '' ? field.placeholder : field.type === 'password' ? '\u2022'.repeat(field.value.length) : field.value;
    const box = field.getBoundingClientRect();
    const side = (name) => parseFloat(style[name]);
    ruler.font = style.font;
    const start = box.left + side('borderLeftWidth') + side('paddingLeft') - field.scrollLeft;
    const end = box.right - side('borderRightWidth') - side('paddingRight');
    return [...text].map((character, n) => {
      const left = ruler.measureText(text.slice(0, n)).width, right = ruler.measureText(text.slice(0, n + 1)).width;
      return [character, start + (left + right) / 2, box.top + box.height / 2, right - left];
    }).filter(([, x]) => x > box.left && x < end);
  };
  const characters = (pixelsPerPx) => {
    const found = [], range = document.createRange();
    const pixels = (css) => Math.round(css * pixelsPerPx * 10) / 10;
    const note = (character, x, y, width, owner) => {
      if (!character.trim() || x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) return;
      const top = document.elementFromPoint(x, y);
      if (top && (top.contains(owner) || owner.contains(top))) {
        found.push([character, pixels(x), pixels(y), pixels(width)]);
      }
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node instanceof HTMLInputElement && ['text', 'password'].includes(node.type)) {
        if (node.checkVisibility({ visibilityProperty: true })) {
          for (const [character, x, y, width] of inField(node)) note(character, x, y, width, node);
        }
        continue;
      }
      if (!(node instanceof Text)) continue;
      const parent = node.parentElement;
      if (!node.data.trim() || !parent || !parent.checkVisibility({ visibilityProperty: true })) continue;
      for (let n = 0; n < node.data.length; n++) {
        if (!node.data[n].trim()) continue;
        range.setStart(node, n);
        range.setEnd(node, n + 1);
        const box = range.getBoundingClientRect();
        if (box.width) note(node.data[n], box.left + box.width / 2, box.top + box.height / 2, box.width, parent);
      }
    }
    return found;
  };

  const tools = {
    all, random, below, pick, times, word, visible, whole, boxOf, pixel, click, type, key, scroll, focused, selected, enter, own,
  };
  return { oracles, tools, questions, stray, characters };
})();
