// Draw lines of text in a grid, each in a strip with a style of its own.
// drawLines(strips, columns, width, height) fills the body and returns the characters of each strip as
// [[c, x, y, width], ...], x and y of their centers, in CSS px of that strip. A strip is {text, family, size, weight, ink,
// paper, left, lift}.
function drawLines(strips, columns, width, height) {
    document.body.replaceChildren();
    document.body.style.margin = 0;
    const made = strips.map((one, n) => {
        const strip = document.createElement('div'), line = document.createElement('span');
        Object.assign(strip.style, {position: 'absolute', overflow: 'hidden', background: one.paper, width: width + 'px',
            height: height + 'px', left: (n % columns) * width + 'px', top: Math.floor(n / columns) * height + 'px'});
        Object.assign(line.style, {position: 'absolute', left: one.left + 'px', top: one.lift + 'px', whiteSpace: 'nowrap',
            lineHeight: height + 'px', font: `${one.weight} ${one.size}px/${height}px '${one.family}'`, color: one.ink});
        line.textContent = one.text;
        strip.append(line);
        return [strip, line];
    });
    document.body.append(...made.map(([strip]) => strip));
    const range = document.createRange(), round = value => Math.round(value * 100) / 100;
    return made.map(([strip, line]) => {
        const frame = strip.getBoundingClientRect(), text = line.firstChild, characters = [];
        for (let k = 0; k < text.data.length; k++) {
            if (text.data[k] === ' ') continue;
            range.setStart(text, k);
            range.setEnd(text, k + 1);
            const r = range.getBoundingClientRect();
            if (r.right > frame.right - 2) break; // drop the rest of a text that does not fit
            characters.push([text.data[k], round(r.left + r.width / 2 - frame.left), round(r.top + r.height / 2 - frame.top), round(r.width)]);
        }
        return characters;
    });
}
