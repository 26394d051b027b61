// Oracles of the pages with fields and checkboxes to fill in before a button is pressed.
(() => {
  'use strict';
  const { oracles, tools } = window.__oracle;
  const { all, random, below, pick, times, word, click, enter, own, type, focused } = tools;

  const submit = () => click(document.querySelector('#subbtn'));
  const labels = () => all('#boxes label').map((label) => (
    { label, name: label.textContent, on: label.querySelector('input').checked }));

  oracles['click-option'] = () => labels().map(
    ({ label, name, on }) => [`Select ${name} and click Submit.`, on ? submit() : click(label)]);

  oracles['click-checkboxes'] = () => {
    const boxes = labels();
    const step = (wanted) => {
      const wrong = boxes.find((box) => box.on !== wanted.has(box.name));
      return wrong ? click(wrong.label) : submit();
    };
    const goal = (names) => `Select ${names.join(', ') || 'nothing'} and click Submit.`;
    const asked = own(/^Select (.*) and click Submit\.$/)[0];
    const mine = boxes.map(({ name }) => name).filter((name) => asked.split(', ').includes(name));
    const now = boxes.filter(({ on }) => on).map(({ name }) => name);
    const some = (share) => boxes.map(({ name }) => name).filter(() => random() < share);
    const more = () => boxes.filter(({ on }) => on || random() < 0.4).map(({ name }) => name);
    const wishes = [mine, now, ...times(4, more), ...times(6, () => some(0.5))];
    return wishes.map((names) => [goal(names), step(new Set(names))]);
  };

  oracles['enter-text'] = () => {
    const field = document.querySelector('#tt');
    const goal = (name) => `Enter "${name}" into the text field and press Submit.`;
    const names = [own(/^Enter "(.*)" into the text field and press Submit\.$/)[0]];
    if (ui_utils.FIFTY_NAMES.includes(field.value)) names.push(field.value);
    names.push(...times(5, () => pick(ui_utils.FIFTY_NAMES)));
    return names.map((name) => [goal(name), field.value === name ? submit() : enter(field, name)]);
  };

  // A screenshot shows only the length of a password: any text of the right length counts as right.
  const secretDone = (field, secret) => field.value.length === secret.length;
  const secrets = (fields) => {
    const lengths = fields.map(({ value }) => value.length).filter((length) => length >= 2 && length <= 5);
    return [...lengths.map((length) => word(length, length)), ...times(3, () => word(2, 5))];
  };

  oracles['enter-password'] = () => {
    const fields = [document.querySelector('#password'), document.querySelector('#verify')];
    const goal = (secret) => `Enter the password "${secret}" into both text fields and press submit.`;
    const step = (secret) => {
      const wrong = fields.find((field) => !secretDone(field, secret));
      return wrong ? enter(wrong, secret) : submit();
    };
    const mine = own(/^Enter the password "(.*)" into both text fields and press submit\.$/)[0];
    return [mine, ...secrets(fields)].map((secret) => [goal(secret), step(secret)]);
  };

  oracles['login-user'] = () => {
    const user = document.querySelector('#username'), lock = document.querySelector('#password');
    const goal = ([name, secret]) =>
      `Enter the username "${name}" and the password "${secret}" into the text fields and press login.`;
    const step = ([name, secret]) => {
      if (user.value !== name) return enter(user, name);
      return secretDone(lock, secret) ? submit() : enter(lock, secret);
    };
    const names = ui_utils.FIFTY_NAMES.map((name) => name.toLowerCase());
    const mine = own(/^Enter the username "(.*)" and the password "(.*)" into the text fields and press login\.$/);
    const name = () => (names.includes(user.value) && random() < 0.6 ? user.value : pick(names));
    const wishes = [mine, ...secrets([lock]).map((secret) => [name(), secret]), ...times(3, () => [name(), word(2, 5)])];
    return wishes.map((wish) => [goal(wish), step(wish)]);
  };

  // The parts of a native date field are internal to the browser; the renderer puts them into __dateParts as month, day,
  // year. A screenshot shows their texts and which of them is selected.
  oracles['enter-date'] = () => {
    const field = document.querySelector('#tt');
    const parts = window.__dateParts;
    const shown = parts.map((part) => part.textContent).join('/');
    const goal = (date) => `Enter ${date} as the date and hit submit.`;
    const step = (date) => {
      if (shown === date) return submit();
      // a date typed into the month moves on from part to part
      if (focused(field) && parts[0].matches(':focus')) return type(date);
      return click(field, parts[0].getBoundingClientRect());
    };
    const two = (number) => String(number).padStart(2, '0');
    const date = () => `${two(1 + below(12))}/${two(1 + below(28))}/${2010 + below(10)}`;
    const mine = own(/^Enter (.*) as the date and hit submit\.$/)[0];
    const dates = [mine, ...(/^\d\d\/\d\d\/\d{4}$/.test(shown) ? [shown] : []), ...times(5, date)];
    return dates.map((one) => [goal(one), step(one)]);
  };
})();
