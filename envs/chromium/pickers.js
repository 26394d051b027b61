// Script that runs in every page, after page.js and before the page's own.
//
// Pickers of <input> (date, month, week, datetime-local, time, color) and lists of suggestions (<datalist>) are drawn in
// the page. The native ones are windows of their own: they show in screenshots, but clicks sent through the DevTools
// protocol reach the page underneath. The field keeps its focus, so that its keys and typing work as without a picker.
(() => {
  'use strict';

  const { innermost, deferDefault, shadowRoot, LOOK, POINTER_EVENTS } = window[Symbol.for('pixelhand')];
  delete window[Symbol.for('pixelhand')];
  const HINTS = {
    date: 'YYYY-MM-DD', month: 'YYYY-MM', week: 'YYYY-Www', time: 'HH:MM (24 h)', color: '#rrggbb',
    'datetime-local': 'YYYY-MM-DDTHH:MM',
  };
  const TYPED = {
    date: /^\d{4,6}-\d\d-\d\d$/, month: /^\d{4,6}-\d\d$/, week: /^\d{4,6}-W\d\d$/, time: /^\d\d:\d\d(:\d\d(\.\d{1,3})?)?$/,
    'datetime-local': /^\d{4,6}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,3})?)?$/, color: /^#[\da-f]{6}$/i,
  };
  const MONTHS = [
    'January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November',
    'December',
  ];
  const TEXT_TYPES = ['text', 'search', 'url', 'tel', 'email', 'number'];
  const SMALLEST = 0.6; // of a picker that is larger than its window; then it scrolls
  const HUES = [0, 30, 60, 120, 180, 210, 240, 270, 300, 330];
  const DAY_MS = 864e5;
  // Frameworks that follow a field's value redefine `value` on the element, and overlook a value set through their own setter.
  const VALUE = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value');
  const LIST = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'list');
  const nativeShowPicker = HTMLInputElement.prototype.showPicker;
  const { setTimeout: later, setInterval, clearInterval } = window;
  const lists = new WeakMap(); // the `list` attribute of a field that has the focus, removed so that no native list opens
  let picker = null; // the open one, one at a time
  let closedAtPress = null; // the field whose picker the current press closed: the click must not open it again

  const listOf = (input) => {
    const id = lists.get(input);
    return id === undefined ? LIST.get.call(input) : input.getRootNode().getElementById?.(id) ?? null;
  };
  const kindOf = (node) => {
    if (!(node instanceof HTMLInputElement) || node.matches(':disabled') || node.readOnly) return null;
    if (node.type in HINTS) return node.type;
    return TEXT_TYPES.includes(node.type) && listOf(node) instanceof HTMLDataListElement ? 'list' : null;
  };
  const pad = (number, width = 2) => String(number).padStart(width, '0');
  const day = (ms) => new Date(ms).toISOString().slice(0, 10);
  const today = () => { const now = new Date(); return `${pad(now.getFullYear(), 4)}-${pad(now.getMonth() + 1)}-${pad(now.getDate())}`; };
  const weekOf = (ms) => { // ISO 8601: the week belongs to the year of its Thursday
    const thursday = new Date(ms + (4 - (new Date(ms).getUTCDay() || 7)) * DAY_MS);
    const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
    return `${pad(thursday.getUTCFullYear(), 4)}-W${pad(Math.floor((thursday - first) / (7 * DAY_MS)) + 1)}`;
  };
  const hex = (hue, light) => { // saturation 1
    const part = (n) => {
      const k = (n + hue / 30) % 12;
      const value = light - Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
      return pad(Math.round(255 * value).toString(16));
    };
    return `#${part(0)}${part(8)}${part(4)}`;
  };

  function write(input, value) {
    if (input.value === value) return;
    VALUE.set.call(input, value);
    input.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }

  class Picker {
    constructor(input) {
      this.input = input;
      this.kind = kindOf(input);
      this.host = document.createElement('div');
      this.root = this.host.attachShadow({ mode: 'closed' });
      this.view = this.start();
      this.render();
      let dialog = input; // outside a modal dialog everything is inert
      while (dialog && !(dialog instanceof HTMLDialogElement)) dialog = dialog.parentNode ?? dialog.host;
      (dialog ?? document.documentElement).append(this.host);
      this.host.popover = 'manual';
      try { this.host.showPopover(); } catch { /* an old browser: the z-index serves */ }
      this.place();
      this.at = JSON.stringify(input.getBoundingClientRect());
      this.watch = setInterval(() => this.check(), 100);
      input.addEventListener('focusout', close);
      this.host.addEventListener('wheel', (event) => {
        if (this.host.scrollHeight <= this.host.clientHeight) event.preventDefault(); // or the page scrolls
      }, { passive: false });
    }

    end() {
      clearInterval(this.watch);
      this.observer?.disconnect();
      this.input.removeEventListener('focusout', close);
      this.host.remove();
    }

    check() {
      const moved = JSON.stringify(this.input.getBoundingClientRect()) !== this.at;
      if (moved || !this.input.isConnected || kindOf(this.input) !== this.kind) close();
    }

    start() { // the first day of the month that is shown
      const text = this.kind === 'week' ? this.input.value && day(this.input.valueAsNumber) : this.input.value;
      const shown = /^\d{4}-\d\d/.test(text) ? text : this.nearest(today());
      return new Date(Date.UTC(+shown.slice(0, 4), +shown.slice(5, 7) - 1, 1));
    }

    nearest(date) {
      const { min, max } = this.input;
      if (/^\d{4}-\d\d/.test(min) && min.slice(0, 7) > date) return min;
      return /^\d{4}-\d\d/.test(max) && max.slice(0, 7) < date.slice(0, 7) ? max : date;
    }

    allows(value) {
      const probe = document.createElement('input');
      for (const name of ['type', 'min', 'max', 'step', 'value']) {
        if (this.input.hasAttribute(name)) probe.setAttribute(name, this.input.getAttribute(name));
      }
      VALUE.set.call(probe, value);
      const { rangeUnderflow, rangeOverflow, stepMismatch } = probe.validity;
      return !(rangeUnderflow || rangeOverflow || stepMismatch);
    }

    // contents

    render() {
      this.rows = [];
      const box = document.createElement('div');
      box.style.cssText = 'font: 13px Arial, sans-serif; padding: 6px; user-select: none; display: flex; gap: 10px; width: max-content';
      const column = () => box.appendChild(document.createElement('div'));
      if (this.kind === 'list') {
        box.style.cssText += '; display: block; padding: 1px 0; width: auto';
        this.options(box);
      } else if (this.kind === 'color') this.palette(column());
      else if (this.kind === 'month') this.months(column());
      else {
        if (this.kind !== 'time') this.days(column());
        if (this.kind === 'time' || this.kind === 'datetime-local') this.times(column());
      }
      if (this.kind !== 'list') this.footer(box.firstChild);
      this.root.replaceChildren(box);
    }

    grid(parent, columns, width) {
      const grid = document.createElement('div');
      grid.style.cssText = `display: grid; grid-template-columns: repeat(${columns}, ${width}px); gap: 1px; margin-bottom: 4px`;
      return parent.appendChild(grid);
    }

    cell(parent, text, act = null, { chosen = false, faint = false, style = '' } = {}) {
      const cell = document.createElement('div');
      cell.style.cssText = `height: 22px; line-height: 22px; text-align: center; white-space: nowrap; border-radius: 3px; ${style}`;
      if (chosen) cell.style.cssText += '; background: #1a66d0; color: #fff';
      else if (!act || faint) cell.style.color = '#999';
      cell.textContent = text;
      cell.act = act;
      return parent.appendChild(cell);
    }

    header(parent, title, back, forward) {
      const row = document.createElement('div');
      row.style.cssText = 'display: flex; margin-bottom: 4px';
      const button = (text, months) => this.cell(row, text, () => {
        this.view = new Date(Date.UTC(this.view.getUTCFullYear(), this.view.getUTCMonth() + months, 1));
        this.render();
      }, { style: 'width: 30px; background: #eee; margin: 0 1px' });
      button('«', -12);
      if (back) button('‹', back);
      this.cell(row, title, null, { style: 'flex: 1; font-weight: bold' }).style.color = '#111';
      if (forward) button('›', forward);
      button('»', 12);
      parent.append(row);
    }

    days(parent) {
      const [year, month] = [this.view.getUTCFullYear(), this.view.getUTCMonth()];
      const weeks = this.kind === 'week';
      this.header(parent, `${MONTHS[month]} ${year}`, -1, 1);
      const grid = this.grid(parent, weeks ? 8 : 7, 30);
      const first = weeks ? 1 : 0; // ISO weeks begin on Monday
      if (weeks) this.cell(grid, 'Wk');
      for (let n = 0; n < 7; n++) this.cell(grid, ['Su', 'Mo', 'Tu', 'We', 'Th', 'Fr', 'Sa'][(n + first) % 7]);
      const start = +this.view - ((this.view.getUTCDay() - first + 7) % 7) * DAY_MS;
      const chosen = this.kind === 'datetime-local' ? this.input.value.slice(0, 10) : this.input.value;
      for (let n = 0; n < 42; n++) {
        const ms = start + n * DAY_MS;
        const value = weeks ? weekOf(ms) : day(ms);
        const isFree = this.kind === 'datetime-local' ? this.allowsDay(value) : this.allows(value);
        const act = isFree ? () => this.chooseDay(value) : null;
        const options = { chosen: chosen === value, faint: new Date(ms).getUTCMonth() !== month };
        if (weeks && n % 7 === 0) this.cell(grid, value.slice(-2), act, { ...options, faint: true });
        this.cell(grid, new Date(ms).getUTCDate(), act, options);
      }
    }

    allowsDay(value) {
      const { min, max } = this.input;
      return !(min && value < min.slice(0, 10)) && !(max && value > max.slice(0, 10));
    }

    chooseDay(value) {
      if (this.kind === 'datetime-local') this.set(`${value}T${this.input.value.slice(11, 16) || '12:00'}`);
      else this.finish(value);
    }

    months(parent) {
      const year = pad(this.view.getUTCFullYear(), 4);
      this.header(parent, year);
      const grid = this.grid(parent, 3, 76);
      MONTHS.forEach((name, index) => {
        const value = `${year}-${pad(index + 1)}`;
        this.cell(grid, name, this.allows(value) ? () => this.finish(value) : null, { chosen: this.input.value === value });
      });
    }

    times(parent) {
      const stamp = this.kind === 'datetime-local';
      const clock = stamp ? this.input.value.slice(11, 16) : this.input.value.slice(0, 5);
      const date = stamp ? `${this.input.value.slice(0, 10) || today()}T` : '';
      const [hour, minute] = [clock.slice(0, 2), clock.slice(3, 5)];
      const add = (grid, text, value, chosen, choose) => {
        this.cell(grid, text, this.allows(date + value) ? () => choose(date + value) : null, { chosen });
      };
      this.cell(parent, 'Hour', null, { style: 'font-weight: bold' });
      const hours = this.grid(parent, 6, 46);
      for (let n = 0; n < 24; n++) {
        const other = [minute || '00', this.input.min.slice(-2), '00'].find((m) => this.allows(`${date}${pad(n)}:${m}`)) ?? '00';
        add(hours, `${n % 12 || 12} ${n < 12 ? 'AM' : 'PM'}`, `${pad(n)}:${other}`, hour === pad(n), (value) => this.set(value));
      }
      this.cell(parent, 'Minute', null, { style: 'font-weight: bold' });
      const minutes = this.grid(parent, 10, 27);
      for (let n = 0; n < 60; n++) {
        add(minutes, pad(n), `${hour || '12'}:${pad(n)}`, minute === pad(n), (value) => this.finish(value));
      }
    }

    palette(parent) {
      const grid = this.grid(parent, 10, 24);
      const swatch = (color) => this.cell(grid, '', () => this.finish(color), {
        style: `background: ${color}; border: 2px solid ${this.input.value === color ? '#111' : '#ddd'}; box-sizing: border-box`,
      });
      for (let n = 0; n < 10; n++) swatch(`#${pad(Math.round((255 * n) / 9).toString(16)).repeat(3)}`);
      for (const light of [0.15, 0.25, 0.35, 0.5, 0.65, 0.8, 0.9]) for (const hue of HUES) swatch(hex(hue, light));
    }

    footer(parent) {
      const row = document.createElement('div');
      row.style.cssText = 'display: flex; gap: 6px; align-items: center';
      const button = (text, act) => this.cell(row, text, act, { style: 'padding: 0 8px; background: #eee' });
      this.cell(row, `or type ${HINTS[this.kind]}`, null, { style: 'flex: 1; text-align: start' });
      if (this.kind !== 'color' && !this.input.required) button('Clear', () => this.finish(''));
      button('Close', close);
      parent.append(row);
    }

    options(parent) {
      const typed = (this.input.multiple ? this.input.value.split(',').pop().trim() : this.input.value).toLowerCase();
      for (const option of listOf(this.input)?.querySelectorAll('option') ?? []) {
        const { value, label } = option;
        const matches = [value, label].some((text) => text.toLowerCase().includes(typed));
        if (!value || option.disabled || !matches) continue;
        const row = this.cell(parent, value, () => this.pick(value), { style: 'padding: 0 6px; text-align: start; border-radius: 0' });
        row.style.overflow = 'hidden';
        if (label !== value) row.textContent += `  ${label}`;
        row.style.whiteSpace = 'pre';
        this.rows.push(row);
      }
    }

    pick(value) {
      const before = this.input.multiple ? this.input.value.split(',').slice(0, -1) : [];
      this.finish([...before, value].join(','));
    }

    set(value) {
      const { input } = this;
      write(input, value);
      if (picker === this) this.render();
    }

    finish(value) {
      const { input } = this;
      close();
      write(input, value);
    }

    // where it is, and events

    place() {
      const at = this.input.getBoundingClientRect();
      const width = document.documentElement.clientWidth || innerWidth;
      const seen = this.seen ?? { left: 0, top: 0, right: width, bottom: innerHeight };
      const style = (extra) => {
        const list = this.kind === 'list' ? { 'min-width': `${Math.min(at.width, width)}px`, 'max-width': `${width}px` } : {};
        const rules = { ...LOOK, overflow: 'auto', 'overscroll-behavior': 'contain', ...list, ...extra };
        for (const [name, value] of Object.entries(rules)) this.host.style.setProperty(name, value, 'important');
      };
      const box = this.root.firstChild;
      box.style.zoom = 1;
      style({});
      let size = this.host.getBoundingClientRect();
      if (this.kind !== 'list') {
        const fits = Math.min((seen.right - seen.left) / size.width, (seen.bottom - seen.top) / size.height);
        box.style.zoom = Math.max(SMALLEST, Math.min(1, Math.floor(fits * 50) / 50));
        size = this.host.getBoundingClientRect();
      }
      const [below, above] = [seen.bottom - at.bottom, at.top - seen.top];
      const beside = this.kind !== 'list' && Math.max(below, above) < size.height; // then it may cover the field
      const down = below >= size.height || below >= above;
      const room = Math.floor(beside || this.kind !== 'list' ? seen.bottom - seen.top : Math.max(40, down ? below : above));
      const tall = Math.min(size.height, room);
      const top = Math.max(seen.top, Math.min(down ? at.bottom : at.top - tall, seen.bottom - tall));
      const left = Math.max(seen.left, Math.min(at.left, seen.right - size.width));
      style({ left: `${left}px`, top: `${top}px`, 'max-height': `${room}px`, 'max-width': `${seen.right - seen.left}px` });
      if (window !== window.top && !this.observer) this.watchFrame();
    }

    watchFrame() { // what the page around this frame cuts off
      const all = document.createElement('div');
      all.style.cssText = 'position: fixed; inset: 0; pointer-events: none; visibility: hidden';
      this.root.append(all);
      this.observer = new IntersectionObserver(([{ intersectionRect: seen }]) => {
        this.observer.disconnect();
        all.remove();
        if (seen.width && seen.height) {
          this.seen = seen;
          this.place();
        }
      });
      this.observer.observe(all);
    }

    mark(by) {
      const now = this.rows.indexOf(this.marked);
      if (this.marked) this.marked.style.cssText += '; background: none; color: inherit';
      this.marked = this.rows[now < 0 ? (by > 0 ? 0 : this.rows.length - 1) : (now + by + this.rows.length) % this.rows.length];
      this.marked.style.cssText += '; background: #1a66d0; color: #fff';
      this.marked.scrollIntoView({ block: 'nearest' });
    }

    pointer(event) {
      event.stopImmediatePropagation();
      if (event.type === 'mousedown') event.preventDefault(); // the focus stays in the field
      if (event.type === 'contextmenu') event.preventDefault();
      if (event.type !== 'click') return;
      event.preventDefault();
      this.root.elementFromPoint(event.clientX, event.clientY)?.act?.();
    }

    key(event) {
      const { key } = event;
      if (key === 'Escape' || key === 'F4' || (event.altKey && key.startsWith('Arrow'))) close();
      else if (this.kind === 'list' && (key === 'ArrowDown' || key === 'ArrowUp')) this.mark(key === 'ArrowDown' ? 1 : -1);
      else if (key === 'Enter' && this.marked) this.marked.act();
      else if ((key === 'Enter' || key === ' ') && this.kind !== 'list') close();
      else return;
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  }

  function show(input) {
    close();
    picker = new Picker(input);
    if (picker.kind === 'list' && !picker.rows.length) close();
  }

  function close() {
    const open = picker;
    picker = null;
    open?.end();
  }

  function update() { // the field's value was changed by its own keys
    if (!picker) return;
    picker.marked = null;
    picker.view = picker.start();
    picker.render();
    if (picker.kind === 'list' && !picker.rows.length) close();
    else picker.place();
  }

  // Returns whether the part of a field that opens its picker matches :hover or :focus-within. Scripts have no access to that part, but
  // they can measure a field that it makes wide; nothing is painted in between.
  function isIndicator(input, state) {
    const probe = new CSSStyleSheet();
    probe.replaceSync(`input::-webkit-calendar-picker-indicator${state} {
      display: block !important; position: static !important; min-width: 54321px !important; transition: none !important }`);
    const { adoptedStyleSheets } = input.getRootNode();
    adoptedStyleSheets.push(probe);
    const isWide = input.scrollWidth > 50000;
    adoptedStyleSheets.splice(adoptedStyleSheets.indexOf(probe), 1);
    return isWide;
  }

  for (const type of POINTER_EVENTS) {
    addEventListener(type, (event) => {
      if (picker && event.target === picker.host) return void picker.pointer(event);
      if (type === 'mousedown' && event.isTrusted) {
        const input = innermost(event);
        closedAtPress = picker?.input === input && picker.kind !== 'list' ? input : null;
        if (picker && (picker.input !== input || picker.kind !== 'list')) close();
      }
      if (type !== 'click' || event.button !== 0) return;
      const input = innermost(event);
      const kind = kindOf(input);
      if (!kind || (kind !== 'color' && !event.isTrusted) || (!event.isTrusted && !navigator.userActivation.isActive)) return;
      const opens = kind === 'color' || kind === 'list' || event.pointerType === 'touch' || isIndicator(input, ':hover');
      const open = () => { if (opens && closedAtPress !== input && kindOf(input)) show(input); };
      if (kind === 'list') later(() => { if (!event.defaultPrevented) open(); });
      else deferDefault(event, open);
    }, true);
  }

  addEventListener('keydown', (event) => {
    if (!event.isTrusted) return;
    const input = innermost(event);
    if (picker?.input === input) return void picker.key(event);
    const kind = kindOf(input);
    if (!kind) return;
    const { key, altKey } = event;
    const arrow = key === 'ArrowDown' || key === 'ArrowUp';
    if (kind === 'list') {
      if (arrow) deferDefault(event, () => show(input));
    } else if (kind !== 'color' && (key === 'F4' || key === ' ' || (altKey && arrow) || (key === 'Enter' && isIndicator(input, ':focus-within')))) {
      deferDefault(event, () => show(input));
    }
  }, true);

  addEventListener('input', (event) => {
    const input = innermost(event);
    if (picker?.input === input) update();
    else if (event.isTrusted && kindOf(input) === 'list' && event.inputType !== 'insertReplacementText') show(input);
  }, true);

  addEventListener('focusin', (event) => {
    const input = innermost(event);
    if (kindOf(input) !== 'list' || lists.has(input)) return;
    lists.set(input, input.getAttribute('list'));
    input.removeAttribute('list');
    input.addEventListener('focusout', () => {
      const id = lists.get(input);
      lists.delete(input);
      if (!input.hasAttribute('list')) input.setAttribute('list', id);
    }, { once: true });
  }, true);
  Object.defineProperty(HTMLInputElement.prototype, 'list', { ...LIST, get() { return listOf(this); } });

  addEventListener('scroll', (event) => { if (picker && event.target !== picker.host) picker.check(); }, true);
  addEventListener('resize', close);

  HTMLInputElement.prototype.showPicker = function showPicker() {
    if (!kindOf(this) || !navigator.userActivation.isActive) return nativeShowPicker.call(this); // or throws
    show(this);
  };

  // Sets the focused field's value to text in the form that HTML gives such values; returns whether it is such a field.
  const typeValue = (text) => {
    let input = document.activeElement;
    for (let inner = input; inner; inner = shadowRoot(inner)?.activeElement) input = inner;
    const kind = kindOf(input);
    if (!kind || !TYPED[kind]?.test(text)) return false;
    const value = kind === 'color' ? text.toLowerCase() : text.replace(' ', 'T');
    const probe = document.createElement('input');
    probe.type = kind;
    VALUE.set.call(probe, value);
    if (!probe.value) return false; // no such day
    write(input, probe.value);
    return true;
  };
  Object.defineProperty(window, Symbol.for('pixelhand.typeValue'), { value: typeValue });
})();
