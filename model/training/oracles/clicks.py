"""Oracles of practice tasks that one click solves. Knows their DOM; knows no pixels and no model.

Each is a JavaScript expression that gives every question which the page on view could have asked, in the page's own
words, with the element that answers it: one rendering teaches as many answers as it has targets.
"""

from __future__ import annotations

_LABELLED = "all(%r).map(one => [%r.replace('@', one.textContent.trim()), one])"

# task -> expression for [[goal, element], ...]; `all(css)` lists elements, @ in a goal is the element's text
ORACLES: dict[str, str] = {
    "click-test": "all('#subbtn').map(one => ['Click the button.', one])",
    "click-test-2": _LABELLED % ("#area button", "Click button @."),
    "click-button": _LABELLED % ("#area button", 'Click on the "@" button.'),
    "click-link": _LABELLED % ("#area .alink", 'Click on the link "@".'),
    "click-dialog": "all('.ui-dialog-titlebar-close').map(one => ['Close the dialog box by clicking the \"x\".', one])",
    "click-dialog-2": """[...all('.ui-dialog-buttonset button').map(one => [one.textContent.trim(), one]),
        ...all('.ui-dialog-titlebar-close').map(one => ['x', one])]
        .map(([label, one]) => [`Click the button in the dialog box labeled "${label}".`, one])""",
    "click-tab": _LABELLED % ("#area ul a", "Click on @."),
    "click-widget": """all('#area [data-type]')
        .map(one => [`Click on a "${one.getAttribute('data-type')}" widget.`, one])""",
    "click-color": """all('#area .color')
        .map(one => [`Click on the ${one.getAttribute('data-color')} colored box.`, one])""",
    "focus-text": "all('#tt').map(one => ['Focus into the textbox.', one])",
    "focus-text-2": """all('#area input')
        .map((one, n) => [`Focus into the ${['1st', '2nd', '3rd'][n]} input textbox.`, one])""",
}

# The first element that answers a question is its target (two links may bear one word). Where the middle of an element
# is covered, a visible spot of it is the target; an element with none asks nothing.
_QUESTIONS = """(() => {
    const all = css => [...document.querySelectorAll(css)];
    const hits = (one, x, y) => {
        if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) return false;
        const top = document.elementFromPoint(x, y);
        return top !== null && (one === top || one.contains(top));
    };
    const spot = (one, r) => {
        for (const v of [.5, .3, .7, .15, .85]) for (const u of [.5, .3, .7, .15, .85]) {
            const x = r.left + u * r.width, y = r.top + v * r.height;
            if (hits(one, x, y)) return [x, y];
        }
        return null;
    };
    const asked = new Map();
    for (const [goal, one] of %s) {
        const r = one.getBoundingClientRect(), at = spot(one, r);
        if (at && !asked.has(goal)) asked.set(goal, {goal, at, box: [r.left, r.top, r.width, r.height]});
    }
    return [...asked.values()];
})()"""


def questions_js(task: str) -> str:
    """An expression for [{goal, at: [x, y], box: [x, y, w, h]}, ...] in CSS px: every question of the page on view."""
    return _QUESTIONS % ORACLES[task]


# Every visible character: [character, x, y] of its middle in CSS px.
CHARACTERS_JS = """(() => {
    const found = [], range = document.createRange();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!node.data.trim() || !parent || !parent.checkVisibility({visibilityProperty: true})) continue;
        for (let n = 0; n < node.data.length; n++) {
            if (!node.data[n].trim()) continue;
            range.setStart(node, n);
            range.setEnd(node, n + 1);
            const r = range.getBoundingClientRect();
            const x = r.left + r.width / 2, y = r.top + r.height / 2;
            if (!r.width || x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) continue;
            const top = document.elementFromPoint(x, y);
            if (top && (top.contains(parent) || parent.contains(top))) found.push([node.data[n], x, y]);
        }
    }
    return found;
})()"""
