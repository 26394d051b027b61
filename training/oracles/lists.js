// Oracle of the page whose field offers a list of suggestions.
(() => {
  'use strict';
  const { oracles, tools } = window.__oracle;
  const { all, random, below, pick, times, click, enter, key, type, own, focused, selected, whole } = tools;

  // The open list of suggestions: those that are visible, and whether there are more below the edge.
  tools.suggestions = () => {
    const menu = all('.ui-autocomplete').find((one) => one.checkVisibility());
    const rows = menu ? all('.ui-menu-item', menu) : [];
    return { menu, rows, read: rows.filter(whole), more: rows.some((row) => !whole(row)) };
  };

  // A word that is wider than its field is clipped.
  tools.cut = (field) => field.scrollWidth > field.clientWidth;

  oracles['use-autocomplete'] = () => {
    const field = document.querySelector('#tags');
    const { menu, rows, read, more } = tools.suggestions();
    const goal = ([start, end]) =>
      `Enter an item that starts with "${start}"${end ? ` and ends with "${end}"` : ''}.`;
    const step = ([start, end], mine) => {
      const fits = (text) => text.startsWith(start) && text.endsWith(end);
      const row = read.find((one) => fits(one.textContent));
      if (row) return click(row);
      if (tools.cut(field) && !mine) return null;
      if (fits(field.value)) return menu ? key('enter') : click(document.querySelector('#subbtn'));
      if (!focused(field) || field.value === '' || selected(field)) return enter(field, start);
      if (!menu) return field.value === start ? key('down') : key('ctrl', 'a');
      // the list continues below the edge; the up key selects its last item
      const here = more && read.every((one) => one.textContent.startsWith(start)) && field.value.startsWith(start);
      if (here && rows.some((one) => fits(one.textContent))) return key('up');
      return here && !mine ? null : key('ctrl', 'a');
    };
    const wish = (item, start = 2 + below(3)) => {
      const end = 2 + below(3);
      return [item.slice(0, start), random() < 0.75 ? item.slice(-end) : ''];
    };
    const typed = () => (random() < 0.7 && field.value.length >= 2 && field.value.length <= 4 ? field.value.length : undefined);
    const offered = rows.map((row) => row.textContent);
    const full = ui_utils.COUNTRIES.includes(field.value) ? [field.value] : [];
    const form = /^Enter an item that starts with "(.*?)"(?: and ends with "(.*)")?\.$/;
    const [start, end] = own(form);
    const wishes = [
      ...full.map((item) => wish(item)),
      ...(offered.length ? times(6, () => wish(pick(offered), typed())) : []),
      ...times(4, () => wish(pick(ui_utils.COUNTRIES))),
    ];
    return [[goal([start, end ?? '']), step([start, end ?? ''], true)], ...wishes.map((one) => [goal(one), step(one, false)])];
  };
})();
