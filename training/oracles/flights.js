// Oracle of the page that books a flight: two cities from lists of suggestions, a day, and the best of three or four
// flights. One flight is visible at a time, so a screenshot does not show which is the best: the oracle takes the first that
// is good given the number of flights that follow, which is right in about two of three cases.
(() => {
  'use strict';
  const { oracles, tools } = window.__oracle;
  const { all, random, below, pick, times, click, enter, key, focused, selected, own, whole, visible, scroll } = tools;

  // Highest price in dollars and longest duration in ms to accept, by the number of flights left. Prices are uniform in 50 to
  // 1200; a flight departs at a random time of one day and arrives at a random time before the next noon.
  const HOUR = 3600000;
  const CHEAP = [Infinity, 545, 418, 326], SHORT = [Infinity, 9.4 * HOUR, 7 * HOUR, 5.2 * HOUR];

  const parts = (item) => item.replace(/(\s\()|(\))/g, '_').split('_').slice(0, 2); // like the page: city, code

  const menuStep = (wish, mine) => {
    const { menu, rows, read, more } = tools.suggestions();
    const at = document.activeElement;
    const fill = (field, text) => {
      const fits = (item) => item.includes(text) && DOMESTIC_FLIGHTS.includes(item);
      const open = menu && focused(field);
      // a list that just fits gets a scroll bar, and other line breaks, once the pointer is over it
      const brittle = open && menu.scrollHeight <= menu.clientHeight && menu.clientHeight > 77;
      const row = open && read.find((one) => fits(one.textContent));
      if (row && (!brittle || row === rows[0])) return click(row);
      if (tools.cut(field) && !mine) {
        // a code is at the end, which is clipped; a city is at the start
        const differs = text.length > 3 && field.value.slice(0, 8) !== text.slice(0, 8);
        if (!differs) return null;
      }
      if (fits(field.value)) return open ? key('enter') : 'done';
      if (!focused(field) || field.value === '' || selected(field)) return enter(field, text) ?? (menu && key('escape'));
      if (!menu) return field.value === text ? key('down') : key('ctrl', 'a');
      const here = (more || brittle) && rows.some((one) => fits(one.textContent));
      const listed = rows.every((one) => one.textContent.toLowerCase().includes(text.toLowerCase()));
      if (here && listed) return key('down');
      return here && !mine ? null : key('ctrl', 'a');
    };
    const day = document.querySelector('#datepicker');
    const picker = document.querySelector('.ui-datepicker');
    if (picker?.checkVisibility()) {
      const month = new Date(`${picker.querySelector('.ui-datepicker-title').textContent.replace(/\s/g, ' 1 ')}`);
      const wanted = new Date(wish.day);
      const ahead = wanted.getMonth() - month.getMonth();
      if (ahead) return click(picker.querySelector(ahead > 0 ? '.ui-datepicker-next' : '.ui-datepicker-prev'));
      return click(all('td a', picker).find((one) => +one.textContent === wanted.getDate()));
    }
    for (const [field, text] of [[document.querySelector('#flight-from'), wish.from], [document.querySelector('#flight-to'), wish.to]]) {
      const step = fill(field, text);
      if (step !== 'done') return step;
    }
    if (day.value !== wish.day) return at === day ? key('ctrl', 'home') : click(day);
    return click(document.querySelector('#search'));
  };

  const resultsStep = (wish, mine) => {
    const header = document.querySelector('.flight-summary');
    const [from, to] = ['#flight-from', '#flight-to'].map((css) => document.querySelector(css).value);
    const right = from.includes(wish.from) && to.includes(wish.to) && document.querySelector('#datepicker').value === wish.day;
    if (!right && whole(header)) return click(document.querySelector('#menu-back'));
    if (!right) return mine ? scroll(document.querySelector('#results'), 300) : null;
    const flights = all('.flight');
    const number = flights.findIndex((flight) => flight.contains(document.activeElement));
    if (number < 0) return key('tab');
    const price = flights[number].querySelector('.flight-price'), time = flights[number].querySelector('.time-duration');
    const cheap = wish.best === 'cheapest';
    if (!whole(price) || !(cheap || whole(time))) return visible(price).height ? null : key('tab');
    const left = flights.length - 1 - number;
    const good = cheap ? +price.dataset.price <= CHEAP[left] : +time.dataset.duration <= SHORT[left];
    return good ? click(price) : key('tab');
  };

  oracles['book-flight'] = () => {
    const goal = ({ best, from, to, day }) => `Book the ${best} one-way flight from: ${from} to: ${to} on ${day}.`;
    const results = !document.querySelector('#results').classList.contains('hide');
    const step = (wish, mine) => (results ? resultsStep(wish, mine) : menuStep(wish, mine));
    const [best, from, to, day] = own(/^Book the (.*) one-way flight from: (.*) to: (.*) on (.*)\.$/);
    const now = (css) => document.querySelector(css).value;
    const offered = tools.suggestions().rows.map((row) => row.textContent);
    const city = (css) => {
      const there = DOMESTIC_FLIGHTS.includes(now(css)) ? now(css) : null;
      if (focused(document.querySelector(css)) && offered.length && random() < 0.6) return pick(parts(pick(offered)));
      return pick(parts(there && random() < 0.75 ? there : pick(DOMESTIC_FLIGHTS)));
    };
    const date = () => {
      if (now('#datepicker') && random() < 0.6) return now('#datepicker');
      const one = new Date(2016, 9, 1 + below(91));
      return `${one.getMonth() + 1}/${String(one.getDate()).padStart(2, '0')}/2016`;
    };
    const other = best === 'cheapest' ? 'shortest' : 'cheapest';
    const wishes = [
      { best: other, from, to, day },
      ...times(9, () => ({ best: pick(['cheapest', 'shortest']), from: city('#flight-from'), to: city('#flight-to'), day: date() })),
    ];
    const mine = { best, from, to, day };
    return [[goal(mine), step(mine, true)], ...wishes.map((wish) => [goal(wish), step(wish, false)])];
  };
})();
