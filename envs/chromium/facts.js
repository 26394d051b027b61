// Script of the isolated world "pixelhand": what pages show at a capture, and what an action would touch.
//
// Pages cannot reach an isolated world, nor change the functions that it calls.
(() => {
  'use strict';

  const SHADOW_HOSTS =
    'article, aside, blockquote, div, footer, h1, h2, h3, h4, h5, h6, header, main, nav, p, section, span';
  const GRID_PX = 64; // between the points whose topmost element is remembered; each costs some 25 µs
  const MAX_LABEL = 120;
  const MAX_CONTROL_LABEL = 80; // longer labels count as text of the page
  const MAX_BOXES = 1500; // elements whose place is remembered
  const MAX_REPEATS = 1000; // of hiding an element that the page shows again
  const MAX_CONTROLS = 500; // of a document that are listed
  const MAX_TARGETS = 1000; // of a document that are listed with their places
  const SECRET_FIELDS = new Set(['password', 'otp', 'card']);
  const MAX_TEXT = 200_000; // characters of a document
  const MAX_SHIFT_PX = 3; // of an element that still counts as being at its place
  const FIELDS = {
    password: 'password', email: 'email', number: 'number', search: 'search', tel: 'tel', url: 'url', text: 'text',
    date: 'date', time: 'date', month: 'date', week: 'date', 'datetime-local': 'date', file: 'file',
  };
  const TEXT_FIELDS = new Set(['text', 'email', 'number', 'search', 'tel', 'url']);
  const INTERACTIVE =
    'a[href], area[href], button, input, select, textarea, option, summary, label, iframe, [role], [onclick], ' +
    '[tabindex], [contenteditable]';
  const ATOMIC = // a text within is a part of the element, not a target of its own
    'a[href], area[href], button, select, textarea, option, summary, label, [onclick], [role=button], [role=link], ' +
    '[role=tab], [role=menuitem], [role=option], [role=checkbox], [role=radio], [role=switch]';
  const ROLES = {
    A: 'link', AREA: 'link', BUTTON: 'button', SELECT: 'combobox', TEXTAREA: 'textbox', OPTION: 'option', SUMMARY: 'button',
    IFRAME: 'document', IMG: 'img', LABEL: 'label',
  };
  const INPUT_ROLES = {
    button: 'button', submit: 'button', reset: 'button', image: 'button', checkbox: 'checkbox', radio: 'radio',
    range: 'slider', file: 'button', color: 'button',
  };
  const token = Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join('');
  const ids = new WeakMap();
  const hidden = new WeakMap(); // elements whose text `hide` draws as dots: whether the page did so before
  const closedRoots = new WeakMap(); // their hosts do not tell them; see `addRoot`
  let count = 0;
  let seen = null; // of the last capture

  const identity = (element) => {
    if (!ids.has(element)) ids.set(element, ++count);
    return `${token}.${ids.get(element)}`;
  };
  const squeeze = (text) => (text ?? '').slice(0, 4 * MAX_LABEL).replace(/\s+/g, ' ').trim().slice(0, MAX_LABEL);
  // The flat tree's parent: out of slots and shadow roots.
  const parent = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode?.().host ?? null;

  function control(element) {
    for (let node = element; node; node = parent(node)) if (node.matches(INTERACTIVE)) return node;
    return element;
  }

  const drawsDots = (element) => hidden.get(element) ?? getComputedStyle(element).webkitTextSecurity !== 'none';
  const shadow = (element) => element?.shadowRoot ?? closedRoots.get(element);

  function field(element) {
    const kind = fieldKind(element);
    return TEXT_FIELDS.has(kind) && drawsDots(element) ? 'password' : kind;
  }

  function fieldKind(element) {
    if (element.isContentEditable) return 'text';
    if (element instanceof HTMLTextAreaElement) return 'text';
    if (!(element instanceof HTMLInputElement)) return '';
    const kind = FIELDS[element.type] ?? '';
    const purpose = element.autocomplete.toLowerCase();
    if (kind && /one-time-code/.test(purpose)) return 'otp';
    if (kind && /(current|new)-password/.test(purpose)) return 'password';
    if (kind && /\bcc-(number|csc|exp)/.test(purpose)) return 'card';
    return kind;
  }

  // A person reads the text, not the accessible name: a button that shows "Pay" may be called "Next".
  function withVisibleText(element, name) {
    const isButton = element instanceof HTMLInputElement && ['button', 'submit', 'reset'].includes(element.type);
    const room = MAX_CONTROL_LABEL - name.length - 3;
    const text = field(element) ? '' : squeeze(isButton ? element.value : element.textContent);
    if (!text || room < 1 || name.toLowerCase().includes(text.toLowerCase())) return name;
    return `${name} (${text.slice(0, room)})`;
  }

  function label(element) {
    const named = element.getAttribute('aria-labelledby')?.split(/\s+/)
      .map((id) => element.getRootNode().getElementById?.(id)?.textContent ?? '').join(' ');
    const name = squeeze(named) || squeeze(element.ariaLabel);
    if (name) return withVisibleText(element, name);
    if (element instanceof HTMLInputElement) {
      if (['button', 'submit', 'reset'].includes(element.type)) {
        return squeeze(element.value || { submit: 'Submit', reset: 'Reset' }[element.type] || '');
      }
      if (element.type === 'image') return squeeze(element.alt || element.value || 'Submit');
    }
    if (element.labels?.length) return squeeze(Array.from(element.labels, (item) => item.textContent).join(' '));
    if (field(element)) return squeeze(element.placeholder || element.title || element.name);
    if (element instanceof HTMLSelectElement) return squeeze(element.name);
    const text = squeeze(element.textContent);
    if (text) return text;
    const image = element.matches('img, [aria-label], [title]') ? element : element.querySelector?.('img, [aria-label], [title]');
    return squeeze(image?.ariaLabel || image?.alt || image?.title || element.title);
  }

  function form(element) {
    const owner = element.form ?? element.closest?.('form') ?? null;
    const isMultiline = element instanceof HTMLTextAreaElement || element.isContentEditable; // Enter submits nothing
    if (!owner || isMultiline) return { target: '', method: '' };
    // A form's own fields may be called "action" and "method".
    const read = (name, node) => Object.getOwnPropertyDescriptor(HTMLFormElement.prototype, name).get.call(node);
    const isSubmit = element.matches('button:not([type=button]):not([type=reset]), input[type=submit], input[type=image]');
    const target = isSubmit && element.hasAttribute('formaction') ? element.formAction : read('action', owner);
    const method = isSubmit && element.hasAttribute('formmethod') ? element.formMethod : read('method', owner);
    return { target: String(target), method: String(method).toUpperCase() };
  }

  function describe(element) {
    const node = control(element);
    const link = node.closest('a[href], area[href]');
    const { target, method } = form(node);
    return {
      role: squeeze(node.getAttribute('role')).toLowerCase().split(' ')[0] ||
        (field(node) && 'textbox') || (node instanceof HTMLInputElement && INPUT_ROLES[node.type]) || ROLES[node.tagName] || '',
      label: label(node),
      target: link ? String(link.href.baseVal ?? link.href) : target,
      method: link ? 'GET' : method,
      field: field(node),
      identity: identity(node),
      origin: globalThis.origin,
    };
  }

  function focused() {
    let element = document.activeElement;
    while (shadow(element)?.activeElement) element = shadow(element).activeElement;
    return element && element !== document.body ? element : null;
  }

  function topmost(x, y) {
    let element = document.elementFromPoint(x, y);
    for (let inner; (inner = shadow(element)?.elementFromPoint(x, y)) && inner !== element; ) {
      element = inner;
    }
    return element;
  }

  // Whether the focus may be on a field of a closed shadow root that is not known yet.
  function isOpaque() {
    const element = focused();
    return element !== null && !shadow(element) && !field(element) &&
      (element.localName.includes('-') || element.matches(SHADOW_HOSTS));
  }

  const box = (element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [x, y, width, height];
  };
  const summary = (element) => {
    const { role, label: name, target, method, field: kind } = describe(element);
    return [role, name, target, method, kind].join('|');
  };

  // Remembers what is shown now. Called after each screenshot that differs from the one before.
  function remember() {
    const columns = Math.ceil(innerWidth / GRID_PX);
    const rows = Math.ceil(innerHeight / GRID_PX);
    const grid = [];
    const shown = new Map();
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const element = topmost(column * GRID_PX + GRID_PX / 2, row * GRID_PX + GRID_PX / 2);
        grid.push(element);
        if (element && !shown.has(element)) shown.set(element, null);
      }
    }
    for (const element of document.querySelectorAll(INTERACTIVE)) shown.set(element, null);
    for (const element of [...shown.keys()]) shown.set(control(element), null);
    for (const element of shown.keys()) shown.set(element, { box: box(element), summary: summary(element) });
    const present = new WeakMap();
    let left = MAX_BOXES;
    for (const element of document.getElementsByTagName('*')) present.set(element, left-- > 0 ? box(element) : null);
    const focus = focused();
    seen = { grid, columns, rows, shown, present, focus, focusSummary: focus && summary(focus) };
    return { token, opaque: isOpaque() };
  }

  const near = (a, b) => a.every((value, index) => Math.abs(value - b[index]) <= MAX_SHIFT_PX);

  // Returns how the place differs from the last capture, '' if it does not.
  function difference(element, x, y) {
    if (!seen) return '';
    const node = control(element);
    const before = seen.shown.get(node);
    if (before) {
      if (before.summary !== summary(node)) return 'the element there has another label or target';
      if (!near(before.box, box(node))) return 'the element there was somewhere else';
    }
    if (element.getRootNode() === document) {
      if (!seen.present.has(element)) return 'a new element is there';
      const place = seen.present.get(element);
      if (place && !near(place, box(element))) return 'the element there was somewhere else';
    }
    if (x === null) return '';
    const column = Math.min(Math.max(Math.floor(x / GRID_PX), 0), seen.columns - 1);
    const row = Math.min(Math.max(Math.floor(y / GRID_PX), 0), seen.rows - 1);
    const was = seen.grid[row * seen.columns + column];
    const is = topmost(column * GRID_PX + GRID_PX / 2, row * GRID_PX + GRID_PX / 2);
    if (was !== is) return 'another element is there';
    return '';
  }

  // Draws dots in place of an element's text, also after the page has changed its type or style.
  function hide(element) {
    const property = '-webkit-text-security';
    let left = MAX_REPEATS;
    const apply = () => {
      if (left-- <= 0) return; // a page that undoes it each time would never get further
      if (element.style.getPropertyValue(property) === 'disc' && element.style.getPropertyPriority(property)) return;
      element.style.setProperty(property, 'disc', 'important');
    };
    const wasHidden = drawsDots(element);
    apply();
    if (!hidden.has(element)) {
      hidden.set(element, wasHidden);
      new MutationObserver(apply).observe(element, { attributes: true });
    }
    return getComputedStyle(element).webkitTextSecurity === 'disc';
  }

  // Returns the elements of the document and of its open shadow roots, outermost first.
  function* allElements(root = document) {
    for (const element of root.querySelectorAll('*')) {
      yield element;
      if (element.shadowRoot) yield* allElements(element.shadowRoot);
    }
  }

  const isVisible = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  // Returns the text and the controls that the document shows; text of closed shadow roots is not part of it.
  function content() {
    const texts = [document.body?.innerText ?? ''];
    const controls = [];
    for (const element of allElements()) {
      if (element.shadowRoot) texts.push(...Array.from(element.shadowRoot.children, (child) => child.innerText ?? ''));
      if (controls.length < MAX_CONTROLS && element.matches(INTERACTIVE) && isVisible(element)) controls.push(describe(element));
    }
    return { text: texts.join('\n').slice(0, MAX_TEXT), controls };
  }

  const ownText = (element) => Array.from(element.childNodes).some((node) => node instanceof Text && node.data.trim());
  const largest = (boxes) => boxes.reduce((a, b) => (b.width * b.height > a.width * a.height ? b : a));

  // Returns the largest box of an element within the window, null if something else covers its middle.
  function visibleBox(element) {
    const boxes = [...element.getClientRects()];
    if (!boxes.length || !isVisible(element)) return null;
    const whole = largest(boxes);
    const left = Math.max(whole.left, 0), top = Math.max(whole.top, 0);
    const width = Math.min(whole.right, innerWidth) - left, height = Math.min(whole.bottom, innerHeight) - top;
    if (width < 1 || height < 1) return null;
    for (let node = topmost(left + width / 2, top + height / 2); node; node = parent(node)) {
      if (node === element) return [left, top, width, height];
    }
    return null;
  }

  function value(element) {
    if (element instanceof HTMLSelectElement) return squeeze(element.selectedOptions[0]?.textContent);
    const kind = field(element);
    return kind && kind !== 'file' && !SECRET_FIELDS.has(kind) ? squeeze(element.value) : '';
  }

  // Returns the elements that take input or have a text of their own, and are visible in the window.
  function targets() {
    const list = [];
    for (const element of allElements()) {
      if (list.length >= MAX_TARGETS) break;
      const around = element.getBoundingClientRect(); // most elements of a long page are outside the window
      if (around.bottom <= 0 || around.right <= 0 || around.top >= innerHeight || around.left >= innerWidth) continue;
      const isControl = element.matches(INTERACTIVE);
      if (!isControl && (!ownText(element) || element.closest(ATOMIC))) continue;
      const place = visibleBox(element);
      if (place === null) continue;
      const text = { role: '', label: label(element), field: '' };
      const { role, label: name, field: kind } = isControl ? describe(element) : text;
      list.push({ role, label: name, field: kind, value: value(element), box: place });
    }
    return list;
  }

  globalThis.pixelhandFacts = {
    remember,
    content,
    targets,
    // Returns how the place differs from the last capture, where a frame is there now.
    place(x, y) {
      const element = topmost(x, y);
      return element ? difference(element, x, y) : '';
    },
    // `element` is what the browser's own hit test returns, in closed shadow roots too; x and y are null in frames.
    at(element, x, y) {
      const node = element instanceof Element ? element : element?.parentElement;
      if (!node) return null;
      const { x: left, y: top } = node.getBoundingClientRect();
      const start = [left + node.clientLeft, top + node.clientTop];
      return {
        ...describe(node), change: difference(node, x, y), seen: seen !== null,
        frame: node instanceof HTMLIFrameElement, start,
      };
    },
    focus() {
      const element = focused();
      return {
        token,
        element: element ? describe(element) : null,
        moved: seen !== null && seen.focus !== element,
        altered: seen !== null && element !== null && seen.focus === element && seen.focusSummary !== summary(element),
        frame: element instanceof HTMLIFrameElement,
        active: document.hasFocus(),
        opaque: isOpaque(),
      };
    },
    // Returns the element with the focus, whose closed shadow root the browser tells.
    host: focused,
    addRoot(root) {
      closedRoots.set(root.host, root);
    },
    // Returns whether the text of the focused field is hidden.
    hide() {
      const element = focused();
      if (element === null || !field(element)) return false;
      const isOneOfMany = (node) => node instanceof HTMLInputElement && node.maxLength === 1; // a box for each digit
      const others = isOneOfMany(element) ? (element.form ?? element.getRootNode()).querySelectorAll('input') : [];
      return [element, ...Array.from(others).filter(isOneOfMany)].every(hide);
    },
  };
})();
