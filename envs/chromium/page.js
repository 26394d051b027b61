// Script that runs in every page before the page's own.
//
// 1. Lists of <select> are drawn in the page. The native list is a window of its own: it shows in screenshots, but clicks
//    sent through the DevTools protocol choose nothing in it. The drawn list takes the same clicks, keys and wheel.
// 2. print() does nothing: its preview is a native window, which no screenshot of the page shows.
(() => {
  'use strict';

  const MAC = navigator.platform.startsWith('Mac');
  const POINTER_EVENTS = [
    'pointerdown', 'pointerup', 'pointermove', 'pointerover', 'pointerout', 'pointerenter', 'pointerleave',
    'mousedown', 'mouseup', 'mousemove', 'mouseover', 'mouseout', 'click', 'auxclick', 'dblclick', 'contextmenu',
    ...(navigator.maxTouchPoints ? ['touchstart', 'touchmove', 'touchend', 'touchcancel'] : []),
  ];
  const PAGE_ROWS = 8;
  const LOOK = { // isolated from the page's own styles
    all: 'initial', display: 'block', position: 'fixed', inset: 'auto', margin: '0', padding: '0',
    'box-sizing': 'border-box', color: '#111', background: '#fff', border: '1px solid #767676',
    'box-shadow': '0 2px 6px rgba(0, 0, 0, .3)', overflow: 'hidden auto', 'z-index': '2147483647', cursor: 'default',
  };
  // Before the page, a test, or the script that awaits the page's own timers replaces them.
  const { setTimeout: later, setInterval, clearInterval } = window;
  const roots = new WeakMap(); // closed shadow roots by host
  let list = null; // the open list, one at a time
  let typedAt = -Infinity; // a space soon after a letter is part of the search by typing

  const attachShadow = Element.prototype.attachShadow;
  Element.prototype.attachShadow = { attachShadow(options) {
    const root = attachShadow.apply(this, arguments);
    if (root.mode === 'closed') roots.set(this, root);
    return root;
  } }.attachShadow;
  const shadowRoot = (host) => host.shadowRoot ?? roots.get(host);

  // Returns the element of an event, also in closed shadow roots, which events do not reveal.
  function innermost(event) {
    let node = event.composedPath()[0];
    for (let root; node instanceof Element && (root = shadowRoot(node)); ) {
      const inner = event instanceof MouseEvent && (event.clientX || event.clientY)
        ? root.elementFromPoint(event.clientX, event.clientY) : root.activeElement;
      if (!inner || inner === node || !root.contains(inner)) break;
      node = inner;
    }
    return node;
  }

  // Prevents the browser's default action and takes its place: `act` runs after the page's listeners, unless one of them
  // prevents it. The page sees an event that nobody else prevented.
  function deferDefault(event, act) {
    let isPrevented = false;
    let isDone = false;
    event.preventDefault();
    Object.defineProperties(event, {
      preventDefault: { value: () => { isPrevented = true; } },
      defaultPrevented: { get: () => isPrevented },
      returnValue: { get: () => !isPrevented, set: (value) => { isPrevented ||= !value; } },
    });
    const last = (other) => {
      if (isDone || (other && other !== event)) return;
      isDone = true;
      removeEventListener(event.type, last);
      if (!isPrevented) act();
    };
    addEventListener(event.type, last);
    later(last); // a listener may have stopped the event on its way
  }

  const isMenu = (node) =>
    node instanceof HTMLSelectElement && !node.multiple && node.size <= 1 && !node.matches(':disabled') &&
    getComputedStyle(node).appearance !== 'base-select';

  class List {
    constructor(select, x, y) {
      this.select = select;
      this.openedAt = [x, y];
      this.armed = false; // a release chooses only after the pointer moved or was pressed in the list
      this.typed = '';
      this.host = document.createElement('div');
      this.root = this.host.attachShadow({ mode: 'closed' });
      this.rows = [];
      this.fill();
      // Outside a modal dialog everything is inert, except the top layer.
      (select.closest('dialog') ?? document.documentElement).append(this.host);
      this.host.popover = 'manual';
      try { this.host.showPopover(); } catch { /* an old browser: the z-index serves */ }
      this.place();
      this.mark(select.selectedIndex);
      this.at = JSON.stringify(select.getBoundingClientRect());
      this.watch = setInterval(() => { if (!select.isConnected || !isMenu(select)) close(); }, 250);
      select.addEventListener('focusout', close);
    }

    hasMoved() {
      return JSON.stringify(this.select.getBoundingClientRect()) !== this.at;
    }

    fill() {
      const font = getComputedStyle(this.select);
      const box = document.createElement('div');
      for (const name of ['fontFamily', 'fontSize', 'fontStyle', 'fontWeight', 'direction']) box.style[name] = font[name];
      box.style.padding = '1px 0';
      let group = null;
      for (const node of this.select.querySelectorAll('option, optgroup, hr')) {
        if (node.hidden || getComputedStyle(node).display === 'none') continue;
        const row = document.createElement('div');
        row.style.cssText = 'padding: 2px 6px; white-space: pre; overflow: hidden; text-overflow: ellipsis; min-height: 1.2em; line-height: 1.2';
        if (node instanceof HTMLOptionElement) {
          if (node.parentElement instanceof HTMLOptGroupElement) row.style.paddingInlineStart = '1.4em';
          else group = null;
          row.textContent = node.label;
          row.option = node;
          if (node.disabled || group?.disabled) row.style.color = '#999';
          else this.rows.push(row);
        } else if (node instanceof HTMLOptGroupElement) {
          group = node;
          row.textContent = node.label;
          row.style.fontWeight = 'bold';
        } else {
          row.style.cssText = 'height: 0; border-top: 1px solid #ccc; margin: 3px 0';
        }
        box.append(row);
      }
      this.root.append(box);
    }

    place() {
      const at = this.select.getBoundingClientRect();
      const height = document.documentElement.clientHeight || innerHeight;
      const width = document.documentElement.clientWidth || innerWidth;
      const style = (extra) => {
        const rules = { ...LOOK, 'min-width': `${Math.min(at.width, width)}px`, 'max-width': `${width}px`, ...extra };
        for (const [name, value] of Object.entries(rules)) this.host.style.setProperty(name, value, 'important');
      };
      style({});
      const size = this.host.getBoundingClientRect();
      const below = height - at.bottom;
      const down = below >= Math.min(size.height, 80) || below >= at.top;
      const beside = Math.floor(down ? below : at.top);
      const room = beside < 60 && window !== window.top ? height : Math.max(40, beside); // a low frame: over the <select>
      const tall = Math.min(size.height, room);
      const top = Math.max(0, Math.min(down ? at.bottom : at.top - tall, height - tall));
      const left = Math.max(0, Math.min(at.left, width - size.width));
      style({ left: `${left}px`, top: `${top}px`, 'max-height': `${room}px` });
    }

    mark(index) {
      const wanted = this.select.options[index];
      this.markRow(this.rows.find((row) => row.option === wanted), true);
    }

    markRow(row, scroll = false) {
      if (this.marked) {
        this.marked.style.background = '';
        this.marked.style.color = '';
      }
      this.marked = row;
      if (!row) return;
      row.style.background = '#1a66d0';
      row.style.color = '#fff';
      if (!scroll) return;
      const [top, bottom] = [row.offsetTop, row.offsetTop + row.offsetHeight];
      if (top < this.host.scrollTop) this.host.scrollTop = top;
      else if (bottom > this.host.scrollTop + this.host.clientHeight) this.host.scrollTop = bottom - this.host.clientHeight;
    }

    rowAt(event) {
      const node = this.root.elementFromPoint(event.clientX, event.clientY);
      return this.rows.find((row) => row === node);
    }

    step(by) {
      const now = this.rows.indexOf(this.marked);
      const to = Math.max(0, Math.min(this.rows.length - 1, now < 0 ? (by > 0 ? 0 : this.rows.length - 1) : now + by));
      this.markRow(this.rows[to], true);
    }

    search(letter, when) {
      this.typed = when - (this.lastLetter ?? -Infinity) > 1000 ? letter : this.typed + letter;
      this.lastLetter = when;
      const wanted = this.typed.toLowerCase();
      const row = this.rows.find((one) => one.textContent.trim().toLowerCase().startsWith(wanted));
      if (row) this.markRow(row, true);
    }

    choose(row) {
      const select = this.select;
      close();
      if (!row || row.option.selected) return;
      row.option.selected = true;
      select.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
      select.dispatchEvent(new Event('change', { bubbles: true }));
    }

    key(event) {
      const { key } = event;
      if (key === 'Escape' || (event.altKey && key.startsWith('Arrow')) || key === 'F4') close();
      else if (key === 'Enter' || (key === ' ' && event.timeStamp - (this.lastLetter ?? -Infinity) > 1000)) this.choose(this.marked);
      else if (key === 'ArrowDown' || key === 'ArrowRight') this.step(1);
      else if (key === 'ArrowUp' || key === 'ArrowLeft') this.step(-1);
      else if (key === 'PageDown') this.step(PAGE_ROWS);
      else if (key === 'PageUp') this.step(-PAGE_ROWS);
      else if (key === 'Home') this.step(-this.rows.length);
      else if (key === 'End') this.step(this.rows.length);
      else if (key === 'Tab') return void this.choose(this.marked); // the focus then moves to the next element
      else if (key.length === 1 && !event.ctrlKey && !event.metaKey) this.search(key, event.timeStamp);
      else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    }

    pointer(event) {
      event.stopImmediatePropagation();
      if (event.type === 'mousedown') {
        event.preventDefault(); // the focus stays on the <select>
        this.armed = true;
      } else if (event.type === 'mousemove') {
        const [x, y] = this.openedAt;
        if (Math.hypot(event.clientX - x, event.clientY - y) >= 4) this.armed = true;
        const row = this.rowAt(event);
        if (row) this.markRow(row);
      } else if (event.type === 'mouseup' && event.button === 0 && this.armed) {
        const row = this.rowAt(event);
        if (row) this.choose(row);
      } else if (event.type === 'contextmenu') {
        event.preventDefault();
      }
    }
  }

  function show(select, x = -99, y = -99) {
    close();
    list = new List(select, x, y);
  }

  function close() {
    if (!list) return;
    const { host, select, watch } = list;
    list = null;
    clearInterval(watch);
    select.removeEventListener('focusout', close);
    host.remove();
  }

  for (const type of POINTER_EVENTS) {
    addEventListener(type, (event) => {
      if (list && event.target === list.host) return void list.pointer(event);
      if (type !== 'mousedown' || !event.isTrusted) return;
      const menu = innermost(event);
      const again = list?.select === menu;
      close();
      if (event.button !== 0 || !isMenu(menu)) return;
      deferDefault(event, () => { // keeps the native list shut
        menu.focus({ preventScroll: true });
        if (!again) show(menu, event.clientX, event.clientY);
      });
    }, true);
  }

  addEventListener('keydown', (event) => {
    if (list) return void list.key(event);
    const menu = innermost(event);
    if (!event.isTrusted || !isMenu(menu)) return;
    const { key, altKey, ctrlKey, metaKey } = event;
    const opens = (key === ' ' && event.timeStamp - typedAt > 1000) || key === 'F4' ||
      ((altKey || MAC) && (key === 'ArrowDown' || key === 'ArrowUp'));
    if (key.length === 1 && key !== ' ' && !ctrlKey && !metaKey) typedAt = event.timeStamp;
    if (opens) deferDefault(event, () => show(menu));
  }, true);

  const inList = (event) => list && event.target === list.host;
  addEventListener('wheel', (event) => { if (inList(event)) event.stopImmediatePropagation(); }, { capture: true, passive: true });
  addEventListener('scroll', (event) => {
    if (list && !inList(event) && (event.target.contains(list.select) || list.hasMoved())) close();
  }, true);
  addEventListener('resize', close);

  window.print = function print() {};

  HTMLSelectElement.prototype.showPicker = function showPicker() {
    if (isMenu(this)) show(this);
  };

  // For pickers.js, which removes it.
  Object.defineProperty(window, Symbol.for('pixelhand'), {
    value: { innermost, deferDefault, shadowRoot, LOOK, POINTER_EVENTS }, configurable: true,
  });
})();
