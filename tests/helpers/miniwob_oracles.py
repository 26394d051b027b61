"""Solutions of twenty MiniWoB++ pages: clicks in CSS pixels and texts, computed in the page after its reset.

Each is a JavaScript expression; `at(element)` is its center, `named(selector, text)` the element with that text.
"""

from __future__ import annotations

BEGIN = r"""
const asked = (found => typeof found === 'string' ? found : found.utterance)(core.getUtterance());
const all = selector => [...document.querySelectorAll(selector)];
const at = element => { const box = element.getBoundingClientRect();
    return [Math.round(box.left + box.width / 2), Math.round(box.top + box.height / 2)]; };
const one = selector => at(document.querySelector(selector));
const named = (selector, text) => at(all(selector).find(element => element.textContent.trim() === text));
const quoted = () => [...asked.matchAll(/"([^"]*)"/g)].map(found => found[1]);
const chosen = selector => { const names = asked.match(/^Select (.*) and click Submit\.$/)[1].split(', ');
    return all(selector).filter(label => names.includes(label.textContent.trim()))
        .map(label => at(label.querySelector('input'))); };
const sum = words => { const [a, sign, b] = words.split(' ');
    return String(sign === '+' ? +a + +b : sign === '-' ? a - b : a * b); };
const solved = words => { const [left, sign, right, , result] = words.split(' ');
    if (left === 'x') return String(sign === '+' ? result - right : +result + +right);
    return String(sign === '+' ? result - left : left - result); };
"""

ORACLES = {
    "click-test": "[one('#subbtn')]",
    "click-test-2": "[named('button', 'ONE')]",
    "click-button": "[named('#area button', quoted()[0])]",
    "click-dialog": "[one('.ui-dialog-titlebar button')]",
    "click-dialog-2": "[quoted()[0] === 'x' ? one('.ui-dialog-titlebar button') : "
    "named('.ui-dialog-buttonset button', quoted()[0])]",
    "click-checkboxes": "[...chosen('#boxes label'), one('#subbtn')]",
    "click-option": "[...chosen('#boxes label'), one('#subbtn')]",
    "click-tab": "[named('#area ul a', asked.match(/Tab #\\d/)[0])]",
    "click-color": '[one(`#area [data-color="${asked.match(/the (\\w+) colored/)[1]}"]`)]',
    "click-widget": '[one(`#area [data-type="${quoted()[0]}"]`)]',
    "focus-text": "[one('#area input')]",
    "focus-text-2": "[one('#tt' + asked.match(/the (\\d)/)[1])]",
    "enter-text": "[one('#tt'), quoted()[0], one('#subbtn')]",
    "enter-text-2": "[one('#tt'), /lower/.test(asked) ? quoted()[0].toLowerCase() : quoted()[0].toUpperCase(), "
    "one('#subbtn')]",
    "enter-password": "[one('#password'), quoted()[0], one('#verify'), quoted()[0], one('#subbtn')]",
    "login-user": "[one('#username'), quoted()[0], one('#password'), quoted()[1], one('#subbtn')]",
    "click-button-sequence": "[one('#subbtn'), one('#subbtn2')]",
    "read-table": "[one('#tt'), all('#tab td').find(cell => cell.textContent === asked.match(/value of (.*) into/)[1])"
    ".nextElementSibling.textContent, one('#subbtn')]",
    "simple-arithmetic": "[one('#math-answer'), sum(document.querySelector('#math-problem').textContent.trim()), "
    "one('#subbtn')]",
    "simple-algebra": "[one('#math-answer'), solved(document.querySelector('#math-problem').textContent.trim()), "
    "one('#subbtn')]",
}


def script(task: str) -> str:
    """Return the body of a JavaScript function that returns the actions in order, each [x, y] or a text."""
    return f"{BEGIN} return {ORACLES[task]};"
