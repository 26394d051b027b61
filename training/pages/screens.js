// Draw small synthetic screens in a grid, each in a style of its own.
// drawScreens(seed, count, columns, width, height, fonts, words, sparse) fills the body and returns a record per screen:
// {elements: [{kind, text, state, box}], characters: [[c, x, y, width]]} in CSS px of that screen.
function drawScreens(seed, count, columns, width, height, fonts, words, sparse) {
    let state = seed >>> 0;
    const random = () => { // mulberry32
        state = (state + 0x6D2B79F5) >>> 0;
        let t = state;
        t = Math.imul(t ^ (t >>> 15), t | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const below = n => Math.floor(random() * n);
    const pick = list => list[below(list.length)];
    const chance = p => random() < p;
    const between = (low, high) => low + below(high - low + 1);
    const LETTERS = 'abcdefghijklmnopqrstuvwxyz', ALL = LETTERS + LETTERS.toUpperCase() + '0123456789';
    const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
        'November', 'December'];
    const capital = word => word[0].toUpperCase() + word.slice(1);
    const letters = (alphabet, low, high) => Array.from({length: between(low, high)}, () => pick(alphabet)).join('');
    const word = () => {
        const u = random();
        if (u < .30) return pick(words.lorem);
        if (u < .40) return capital(pick(words.lorem));
        if (u < .50) return pick(words.names);
        if (u < .56) return pick(words.places);
        if (u < .64) return pick(words.labels);
        if (u < .76) return letters(ALL, 2, 8);
        if (u < .84) return letters(LETTERS, 2, 9);
        if (u < .88) return capital(letters(LETTERS, 3, 8));
        if (u < .90) return letters(LETTERS.toUpperCase(), 2, 5);
        if (u < .93) return '$' + between(1, 1999);
        if (u < .95) return between(1, 12) + ':' + String(below(60)).padStart(2, '0') + pick(['', ' AM', ' PM']);
        if (u < .97) return String(between(1, 12)).padStart(2, '0') + '/' + String(between(1, 31)).padStart(2, '0') + '/20' + between(10, 29);
        return String(below(10 ** between(1, 4)));
    };
    const label = () => {
        const u = random();
        if (u < .45) return capital(pick(words.labels));
        if (u < .55) return pick(words.labels);
        if (u < .90) return word();
        return capital(word()) + ' ' + word();
    };
    const ICONS = { // paths in a 24 x 24 box
        search: '<circle cx="10" cy="10" r="6"/><path d="M15 15l6 6"/>',
        menu: '<path d="M3 6h18M3 12h18M3 18h18"/>',
        plus: '<path d="M12 4v16M4 12h16"/>',
        close: '<path d="M5 5l14 14M19 5L5 19"/>',
        check: '<path d="M4 13l5 6L20 5"/>',
        back: '<path d="M20 12H4M11 5l-7 7 7 7"/>',
        forward: '<path d="M4 12h16M13 5l7 7-7 7"/>',
        up: '<path d="M12 20V4M5 11l7-7 7 7"/>',
        down: '<path d="M12 4v16M5 13l7 7 7-7"/>',
        home: '<path d="M3 12l9-8 9 8M6 10v10h12V10"/>',
        mail: '<rect x="3" y="5" width="18" height="14"/><path d="M3 6l9 7 9-7"/>',
        user: '<circle cx="12" cy="8" r="4"/><path d="M4 21c0-9 16-9 16 0"/>',
        trash: '<path d="M4 7h16M9 7V4h6v3M6 7l1 14h10l1-14"/>',
        star: '<path d="M12 3l3 6 6 1-4 5 1 6-6-3-6 3 1-6-4-5 6-1z"/>',
        heart: '<path d="M12 20C4 14 3 10 4 7c2-4 7-3 8 1 1-4 6-5 8-1 1 3 0 7-8 13z"/>',
        clock: '<circle cx="12" cy="12" r="9"/><path d="M12 6v6l4 3"/>',
        lock: '<rect x="5" y="11" width="14" height="10"/><path d="M8 11V8c0-6 8-6 8 0v3"/>',
        edit: '<path d="M4 20l1-5L16 4l4 4L9 19z"/>',
        phone: '<rect x="7" y="2" width="10" height="20" rx="2"/><path d="M11 19h2"/>',
        play: '<path d="M6 4l14 8-14 8z"/>',
        pause: '<path d="M8 4v16M16 4v16"/>',
        share: '<circle cx="6" cy="12" r="3"/><circle cx="18" cy="5" r="3"/><circle cx="18" cy="19" r="3"/><path d="M9 11l6-4M9 13l6 4"/>',
        filter: '<path d="M3 4h18l-7 9v7l-4-2v-5z"/>',
        cart: '<path d="M2 4h3l3 11h10l3-8H7"/><circle cx="9" cy="20" r="1"/><circle cx="17" cy="20" r="1"/>',
    };
    const COLORS = {red: '#f00', green: '#008000', blue: '#00f', yellow: '#ff0', orange: '#ffa500', purple: '#800080',
        pink: '#ffc0cb', black: '#000', white: '#fff', gray: '#808080', cyan: '#0ff', magenta: '#f0f', lime: '#0f0',
        olive: '#808000', aqua: '#0ff', navy: '#000080', brown: '#a52a2a'};

    document.body.replaceChildren();
    const style = document.createElement('style');
    style.textContent = `
        body { margin: 0; background: #fff; }
        .screen { position: absolute; width: ${width}px; height: ${height}px; overflow: hidden; box-sizing: border-box; }
        .screen * { box-sizing: border-box; }
        .screen svg { stroke-linecap: round; stroke-linejoin: round; }
        .focused { outline: 2px solid #101010; outline-offset: 0; }
    `;
    document.body.append(style);

    const screens = [];
    for (let n = 0; n < count; n++) {
        const screen = document.createElement('div');
        screen.className = 'screen';
        screen.style.left = (n % columns) * width + 'px';
        screen.style.top = Math.floor(n / columns) * height + 'px';
        document.body.append(screen);
        const dark = chance(.12), plain = chance(.45);
        const paper = plain ? '#fff' : dark ? pick(['#111', '#202124', '#1b2838', '#2b2b2b']) : pick(['#fff', '#fafafa', '#f0f0f0', '#eef3f8', '#fffbe6', '#e8f5e9', '#ececec']);
        const ink = dark && !plain ? pick(['#fff', '#ddd', '#eee']) : pick(['#000', '#000', '#222', '#333', '#1a237e', '#444']);
        const accent = pick(['#1a73e8', '#0066cc', '#c62828', '#2e7d32', '#6a1b9a', '#e65100', '#00838f', '#37474f']);
        const family = chance(.45) ? 'Arial' : pick(fonts);
        const size = chance(.35) ? 10 : between(9, 16);
        Object.assign(screen.style, {background: paper, color: ink, fontFamily: `'${family}'`, fontSize: size + 'px', padding: between(0, 5) + 'px'});
        const known = []; // [kind, text, state, element]
        const make = (tag, text, css = {}) => {
            const one = document.createElement(tag);
            if (text !== undefined) one.textContent = text;
            Object.assign(one.style, css);
            return one;
        };
        const icon = (name, px) => {
            const holder = document.createElement('span');
            holder.innerHTML = `<svg width="${px}" height="${px}" viewBox="0 0 24 24" fill="${chance(.15) ? 'currentColor' : 'none'}" stroke="currentColor" stroke-width="${pick([1.5, 2, 2.5])}">${ICONS[name]}</svg>`;
            return holder.firstChild;
        };
        const button = (text = label()) => {
            const one = make('button', text);
            if (!plain || chance(.4)) Object.assign(one.style, {fontFamily: 'inherit', fontSize: 'inherit'});
            if (chance(.4)) Object.assign(one.style, {background: chance(.5) ? accent : pick(['#eee', '#ddd', '#fff', 'linear-gradient(#fff, #ccc)']), border: pick(['none', '1px solid #888', '1px solid #ccc']), borderRadius: pick([0, 3, 6, 12]) + 'px', padding: `${between(1, 5)}px ${between(3, 9)}px`});
            if (one.style.background && one.style.backgroundColor === make('i', '', {backgroundColor: accent}).style.backgroundColor) one.style.color = '#fff';
            else if (one.style.background) one.style.color = '#111';
            if (chance(.08)) one.disabled = true;
            known.push(['button', text, one.disabled ? 'disabled' : '', one]);
            return one;
        };
        const link = (text = word()) => {
            const one = make('span', text, {color: chance(.6) ? '#00f' : accent, textDecoration: chance(.7) ? 'underline' : 'none'});
            known.push(['link', text, '', one]);
            return one;
        };
        const field = (name = '') => {
            const one = document.createElement(chance(.12) ? 'textarea' : 'input');
            one.style.width = between(40, 125) + 'px';
            if (chance(.3)) Object.assign(one.style, {border: '1px solid ' + pick(['#888', '#ccc', accent]), borderRadius: pick([0, 3, 8]) + 'px', padding: between(1, 4) + 'px'});
            if (chance(.5)) Object.assign(one.style, {fontFamily: 'inherit', fontSize: 'inherit'});
            const u = random(), text = u < .35 ? (chance(.7) ? word() : word() + ' ' + word()) : u < .5 ? label() : '';
            const focused = chance(.2), filled = u < .35, secret = one.tagName === 'INPUT' && u < .08;
            if (focused) one.classList.add('focused');
            known.push(['field', name, (focused ? 'focused ' : '') + (filled ? 'filled' : 'empty'), one]);
            // a page cannot query the character positions of a field's value, so the text is drawn over the field
            const holder = make('span', undefined, {position: 'relative', display: 'inline-block', verticalAlign: 'middle'});
            const inside = make('span', secret ? '\u2022'.repeat(text.length) : text, {position: 'absolute', left: '4px', top: one.tagName === 'INPUT' ? '50%' : '9px', transform: 'translateY(-50%)', maxWidth: '100%', overflow: 'hidden', whiteSpace: 'nowrap', color: filled ? '#000' : '#757575', fontSize: one.style.fontSize ? 'inherit' : '13.33px', fontFamily: one.style.fontFamily ? 'inherit' : 'Arial'});
            holder.append(one, inside);
            if (focused && filled && chance(.4)) inside.style.background = '#3390ff', inside.style.color = '#fff';
            return holder;
        };
        const box = kind => {
            const text = chance(.6) ? letters(ALL, 2, 8) : label(), line = make('label'), one = document.createElement('input');
            one.type = kind;
            one.checked = chance(.4);
            line.append(one, text);
            known.push([kind, text, one.checked ? 'on' : 'off', one]);
            return line;
        };
        const row = (...children) => {
            const one = make('div', undefined, {margin: `${between(0, 4)}px 0`, whiteSpace: chance(.8) ? 'nowrap' : 'normal', textAlign: pick(['left', 'left', 'left', 'center', 'right'])});
            one.append(...children);
            return one;
        };
        const times = (low, high, maker) => Array.from({length: between(low, high)}, maker);
        const BLOCKS = {
            paragraph: () => {
                const one = make('div', undefined, {margin: between(0, 4) + 'px 0', lineHeight: pick(['normal', '1.3', '1.5'])});
                for (let k = between(4, 24); k > 0; k--) one.append(chance(.12) ? link() : make('span', word(), chance(.08) ? {fontWeight: 'bold'} : {}), ' ');
                return one;
            },
            heading: () => {
                const text = label(), one = make('div', text, {fontSize: size + between(1, 6) + 'px', fontWeight: chance(.8) ? 'bold' : 'normal', margin: '2px 0'});
                known.push(['heading', text, '', one]);
                return one;
            },
            buttons: () => row(...times(1, 3, () => [button(), ' ']).flat()),
            fields: () => {
                const one = make('div');
                for (let k = between(1, 3); k > 0; k--) {
                    const text = label(), name = make('label', text + (chance(.5) ? ':' : ''), chance(.4) ? {fontWeight: 'bold'} : {});
                    const line = row(name, chance(.5) ? ' ' : make('br'), field(text));
                    if (chance(.3)) line.append(' ', button());
                    one.append(line);
                }
                return one;
            },
            boxes: () => {
                const kind = pick(['checkbox', 'radio']), one = make('div');
                for (const line of times(2, 6, () => box(kind))) one.append(line, make('br'));
                return one;
            },
            list: () => {
                const one = make('div'), arrow = chance(.3), border = chance(.6);
                for (let k = between(2, 6); k > 0; k--) {
                    const text = chance(.6) ? label() : word() + ' ' + word();
                    const line = make('div', undefined, {padding: between(1, 5) + 'px', borderBottom: border ? '1px solid #bbb' : 'none', whiteSpace: 'nowrap'});
                    if (chance(.3)) { const name = pick(Object.keys(ICONS)), drawn = icon(name, size + 2); known.push(['icon', name, '', drawn]); line.append(drawn, ' '); }
                    const words_ = make('span', text);
                    line.append(words_);
                    if (arrow) line.append(' \u203a');
                    known.push(['item', text, '', words_]);
                    one.append(line);
                }
                return one;
            },
            tabs: () => {
                const one = make('div', undefined, {borderBottom: '1px solid #999', whiteSpace: 'nowrap'}), on = below(3);
                times(2, 4, () => label()).forEach((text, k) => {
                    const tab = make('span', text, {display: 'inline-block', padding: '2px 4px', border: '1px solid #aaa', background: k === on ? '#fff' : '#ddd', color: '#222', marginRight: '1px'});
                    known.push(['tab', text, k === on ? 'on' : 'off', tab]);
                    one.append(tab);
                });
                return one;
            },
            table: () => {
                const one = make('table', undefined, {borderCollapse: 'collapse', fontSize: 'inherit', color: 'inherit', fontFamily: 'inherit'}), wide = between(2, 4), border = chance(.6);
                for (let r = between(2, 5); r > 0; r--) {
                    const line = one.insertRow();
                    for (let c = 0; c < wide; c++) {
                        const text = word(), cell = line.insertCell(), words_ = make('span', text);
                        cell.append(words_);
                        cell.style.padding = between(1, 3) + 'px';
                        if (border) cell.style.border = '1px solid #999';
                        known.push(['cell', text, '', words_]);
                    }
                }
                return one;
            },
            dialog: () => {
                const one = make('div', undefined, {border: '1px solid #777', background: '#f6f6f6', color: '#222', margin: `${between(2, 20)}px ${between(0, 14)}px`, boxShadow: chance(.5) ? '2px 2px 5px #888' : 'none'});
                const bar = make('div', undefined, {background: chance(.5) ? accent : '#ddd', color: '#fff', padding: '3px', display: 'flex', justifyContent: 'space-between'});
                if (bar.style.background === 'rgb(221, 221, 221)') bar.style.color = '#111';
                const cross = icon('close', between(9, 14));
                known.push(['icon', 'close', '', cross]);
                bar.append(make('b', label()), cross);
                const body = make('div', times(3, 8, word).join(' '), {padding: '4px'});
                one.append(bar, body, row(...times(1, 2, () => [button(), ' ']).flat()));
                return one;
            },
            calendar: () => {
                const one = make('table', undefined, {fontSize: between(8, 10) + 'px', color: 'inherit', fontFamily: 'inherit', borderSpacing: '1px'}), first = below(7), days = between(28, 31);
                const head = one.insertRow(), cell = head.insertCell(), month = pick(MONTHS) + ' 20' + between(10, 29);
                cell.colSpan = 7; cell.style.textAlign = 'center'; cell.style.fontWeight = 'bold';
                const previous = icon('back', 9), next = icon('forward', 9);
                known.push(['icon', 'back', '', previous], ['icon', 'forward', '', next]);
                cell.append(previous, ' ' + month + ' ', next);
                let line = one.insertRow();
                for (let k = 0; k < first; k++) line.insertCell();
                for (let day = 1; day <= days; day++) {
                    if (line.cells.length === 7) line = one.insertRow();
                    const one_ = line.insertCell(), text = make('span', String(day));
                    one_.append(text);
                    Object.assign(one_.style, {textAlign: 'right', padding: '1px 3px', border: '1px solid #bbb'});
                    known.push(['day', String(day), '', one_]);
                }
                return one;
            },
            icons: () => {
                const px = between(12, 24), one = make('div', undefined, {margin: '3px 0', wordSpacing: between(0, 8) + 'px'});
                const names = Object.keys(ICONS);
                for (let k = between(2, 6); k > 0; k--) {
                    const name = names.splice(below(names.length), 1)[0], drawn = icon(name, px);
                    if (chance(.4)) drawn.style.color = accent;
                    known.push(['icon', name, '', drawn]);
                    one.append(drawn, ' ');
                }
                return one;
            },
            colors: () => {
                const one = make('div', undefined, {margin: '3px 0'}), px = between(12, 30), round = chance(.3), names = Object.keys(COLORS).filter(name => name !== 'aqua');
                for (let k = between(2, 5); k > 0; k--) {
                    const name = names.splice(below(names.length), 1)[0];
                    const drawn = make('span', undefined, {display: 'inline-block', width: px + 'px', height: px + 'px', background: COLORS[name], border: '1px solid #333', margin: '1px', borderRadius: round ? '50%' : '0'});
                    known.push(['color', name, '', drawn]);
                    one.append(drawn);
                }
                return one;
            },
        };
        const weights = {paragraph: 5, heading: 2, buttons: 5, fields: 4, boxes: 3, list: 3, tabs: 2, table: 3, dialog: 2, calendar: 1, icons: 2, colors: 1};
        const kinds = Object.entries(weights).flatMap(([kind, share]) => Array(share).fill(kind));
        if (chance(.25)) { // a yellow bar with text, like the query of practice pages
            screen.append(make('div', times(3, 14, word).join(' '), {background: '#ff0', color: '#000', height: '50px', padding: '3px', margin: '-' + screen.style.padding, marginBottom: '2px', fontSize: '10px', fontFamily: 'Arial', overflow: 'hidden'}));
        }
        const bare = () => { // a button without text
            const one = button('');
            Object.assign(one.style, {width: between(16, 80) + 'px', height: between(12, 44) + 'px', verticalAlign: 'middle'});
            return one;
        };
        if (sparse) { // a few elements, each in a band of its own
            if (chance(.5)) screen.append(make('span', times(2, 5, word).join(' ')));
            const alone = chance(.5), bands = alone ? 1 : between(2, 4), high = (height - 24) / bands;
            for (let k = 0; k < bands; k++) {
                const holder = make('div', undefined, {position: 'absolute', whiteSpace: 'nowrap'});
                const maker = pick([button, button, link, () => box('checkbox'), () => box('radio'), () => BLOCKS.icons()]);
                holder.append(alone && chance(.7) ? (chance(.6) ? bare() : button()) : chance(.15) ? field() : maker());
                screen.append(holder);
                Object.assign(holder.style, {left: below(Math.max(1, width - holder.offsetWidth)) + 'px', top: 22 + k * high + below(Math.max(1, high - holder.offsetHeight)) + 'px'});
            }
        }
        const content = make('div', undefined, {marginLeft: between(0, 10) + 'px'});
        screen.append(content);
        for (let k = 0; !sparse && k < 8 && content.offsetHeight < height - 30; k++) content.append(BLOCKS[pick(kinds)]());
        screens.push([screen, known]);
    }

    const round = value => Math.round(value * 100) / 100;
    return screens.map(([screen, known]) => {
        const frame = screen.getBoundingClientRect();
        const elements = [];
        for (const [kind, text, state, one] of known) {
            const r = one.getBoundingClientRect();
            const left = r.left - frame.left, top = r.top - frame.top;
            if (left < 0 || top < 0 || left + r.width > width || top + r.height > height || r.width < 3 || r.height < 3) continue;
            if (one.getClientRects().length > 1) continue; // wrapped to two lines
            elements.push({kind, text, state, box: [round(left), round(top), round(r.width), round(r.height)]});
        }
        const characters = [], range = document.createRange();
        const walker = document.createTreeWalker(screen, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const edge = node.parentElement.getBoundingClientRect().right; // a field clips its text
            for (let k = 0; k < node.data.length; k++) {
                if (!node.data[k].trim()) continue;
                range.setStart(node, k);
                range.setEnd(node, k + 1);
                const r = range.getBoundingClientRect();
                const x = r.left + r.width / 2 - frame.left, y = r.top + r.height / 2 - frame.top;
                if (r.width && r.right <= edge + 1 && x >= 0 && y >= 0 && x < width && y < height) characters.push([node.data[k], round(x), round(y), round(r.width)]);
            }
        }
        return {elements, characters, size: parseFloat(screen.style.fontSize), family: screen.style.fontFamily};
    });
}
