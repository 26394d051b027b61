// Oracles of the pages that one click solves. The answer is the first element in document order with the text of the goal.
(() => {
  'use strict';
  const { oracles, tools } = window.__oracle;
  const { all, click } = tools;

  const labelled = (css, goal) => () => all(css).map((one) => [goal(one.textContent.trim()), click(one)]);

  oracles['click-test'] = labelled('#subbtn', () => 'Click the button.');
  oracles['click-test-2'] = labelled('#area button', (label) => `Click button ${label}.`);
  oracles['click-button'] = labelled('#area button', (label) => `Click on the "${label}" button.`);
  oracles['click-link'] = labelled('#area .alink', (label) => `Click on the link "${label}".`);
  oracles['click-tab'] = labelled('#area ul a', (label) => `Click on ${label}.`);
  oracles['click-tab-2-easy'] = labelled(
    '#area .alink', (label) => `Switch between the tabs to find and click on the link "${label}".`);
  oracles['click-dialog'] = labelled(
    '.ui-dialog-titlebar-close', () => 'Close the dialog box by clicking the "x".');
  oracles['click-dialog-2'] = () => [
    ...all('.ui-dialog-buttonset button').map((one) => [one.textContent.trim(), one]),
    ...all('.ui-dialog-titlebar-close').map((one) => ['x', one]),
  ].map(([label, one]) => [`Click the button in the dialog box labeled "${label}".`, click(one)]);
  oracles['click-widget'] = () => all('#area [data-type]').map(
    (one) => [`Click on a "${one.getAttribute('data-type')}" widget.`, click(one)]);
  oracles['click-color'] = () => all('#area .color').map(
    (one) => [`Click on the ${one.getAttribute('data-color')} colored box.`, click(one)]);
  oracles['focus-text'] = () => all('#tt').map((one) => ['Focus into the textbox.', click(one)]);
  oracles['focus-text-2'] = () => all('#area input').map(
    (one, n) => [`Focus into the ${['1st', '2nd', '3rd'][n]} input textbox.`, click(one)]);

  // Glyphs cover a part of their line box; the click goes to the part with visible pixels.
  const ruler = document.createElement('canvas').getContext('2d');
  const ink = (text) => {
    ruler.font = getComputedStyle(text).font;
    const size = ruler.measureText(text.textContent), cell = text.getBoundingClientRect();
    const middle = (cell.left + cell.right) / 2, line = cell.top + size.fontBoundingBoxAscent;
    const left = middle - size.width / 2 - size.actualBoundingBoxLeft;
    const right = middle - size.width / 2 + size.actualBoundingBoxRight;
    const top = line - size.actualBoundingBoxAscent, bottom = line + size.actualBoundingBoxDescent;
    return { left, top, right, bottom, width: right - left, height: bottom - top };
  };
  const SHAPES = { rect: 'rectangle', circle: 'circle', polygon: 'triangle' };

  oracles['click-shape'] = () => {
    const shapes = all('#area_svg > *').map((one) => {
      const text = one.tagName === 'text' ? one.textContent : SHAPES[one.tagName];
      const box = one.tagName === 'text' ? ink(one) : one.getBoundingClientRect();
      const large = one.tagName === 'text' ? one.getAttribute('font-size') === '20px' : box.width > 15;
      const kind = one.tagName !== 'text' ? 'shape' : /[0-9]/.test(text) ? 'digit' : 'letter';
      const cell = one.getBoundingClientRect();
      const row = Math.floor(((one.tagName === 'text' ? +one.getAttribute('y') : (cell.top + cell.bottom) / 2 - 50)) / 20);
      return { one, box, text, kind, size: large ? 'large' : 'small', color: one.getAttribute('fill'), row, x: box.left };
    }).sort((a, b) => a.row - b.row || a.x - b.x);
    return shapes.flatMap((shape) => ['', shape.size].flatMap((size) => ['', shape.color].flatMap((color) =>
      [shape.text, shape.kind, ...(size || color ? ['item'] : [])].map((name) => {
        const words = [size, color, name].filter(Boolean).join(' ');
        return [`Click on a ${words}`, click(shape.one, shape.box)];
      }))));
  };
})();
