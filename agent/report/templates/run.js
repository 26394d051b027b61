(() => {
  "use strict";
  const THEME_KEY = "pixelhand-report-theme";
  const root = document.documentElement;
  const runs = [...document.querySelectorAll(".run")];
  const help = document.querySelector(".help");
  const isNarrow = matchMedia("(max-width: 800px)");
  const texts = new Map(); // article id: its text in lower case
  let currentRun = null;
  let currentId = "";

  const itemsOf = (run) => [...run.querySelectorAll(".item")];
  const idOf = (item) => item.getAttribute("href").slice(1);
  const visibleItems = () => itemsOf(currentRun).filter((item) => !item.parentElement.hidden);

  function loadImages(article) {
    for (const image of article.querySelectorAll("img[data-image]")) {
      const data = document.getElementById("image-" + image.dataset.image);
      image.decoding = "async";
      if (data) image.src = "data:image/webp;base64," + data.textContent;
    }
  }

  function unloadImages(article) {
    for (const image of article.querySelectorAll("img[data-image]")) image.removeAttribute("src");
  }

  function show(id, isFirst) {
    const article = document.getElementById(id);
    const run = article && article.closest(".run");
    if (!run || article.tagName !== "ARTICLE") return false;
    for (const element of document.querySelectorAll(".current")) {
      element.classList.remove("current");
      if (element.tagName === "ARTICLE") unloadImages(element);
    }
    currentRun = run;
    currentId = id;
    run.classList.add("current");
    article.classList.add("current");
    loadImages(article);
    for (const link of run.querySelectorAll(`a[href="#${CSS.escape(id)}"]`)) {
      link.classList.add("current");
      if (link.classList.contains("item")) link.scrollIntoView({ block: "nearest" });
    }
    article.parentElement.scrollTop = 0;
    const row = document.querySelector(`tr[data-run="${run.dataset.number}"]`);
    if (row) row.classList.add("current");
    // a browser scrolls to the fragment that an address has when the page is loaded
    if (!isFirst && location.hash !== "#" + id) history.replaceState(null, "", "#" + id);
    return true;
  }

  function move(distance) {
    const items = visibleItems();
    const index = items.findIndex((item) => idOf(item) === currentId);
    if (!items.length) return;
    const next = index < 0 ? 0 : Math.min(items.length - 1, Math.max(0, index + distance));
    show(idOf(items[next]));
  }

  function moveToFailure() {
    const items = itemsOf(currentRun);
    const index = items.findIndex((item) => idOf(item) === currentId);
    const order = [...items.slice(index + 1), ...items.slice(0, index + 1)];
    const failure = order.find((item) => !["done", "end"].includes(item.dataset.outcome));
    if (failure) show(idOf(failure));
  }

  const matches = {
    all: () => true,
    failed: (outcome) => outcome === "failed" || outcome === "interrupted",
    refused: (outcome) => outcome === "refused",
  };

  function textOf(item) {
    const id = idOf(item);
    if (!texts.has(id)) texts.set(id, document.getElementById(id).textContent.toLowerCase());
    return texts.get(id);
  }

  function applyFilter() {
    const query = currentRun.querySelector("input[type=search]").value.trim().toLowerCase();
    const name = currentRun.querySelector("[data-filter][aria-pressed=true]").dataset.filter;
    for (const item of itemsOf(currentRun)) {
      item.parentElement.hidden = !(matches[name](item.dataset.outcome) && (!query || textOf(item).includes(query)));
    }
    const items = visibleItems();
    currentRun.querySelector(".none").hidden = items.length > 0;
    if (items.length && !items.some((item) => idOf(item) === currentId)) show(idOf(items[0]));
  }

  function setFilter(name) {
    for (const button of currentRun.querySelectorAll("[data-filter]")) {
      button.setAttribute("aria-pressed", String(button.dataset.filter === name));
    }
    applyFilter();
  }

  function storedTheme() {
    try {
      return localStorage.getItem(THEME_KEY);
    } catch {
      return null; // pages without an origin have no storage
    }
  }

  function switchTheme() {
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try {
      localStorage.setItem(THEME_KEY, root.dataset.theme);
    } catch {
      return;
    }
  }

  const commands = {
    previous: () => move(-1),
    next: () => move(1),
    theme: switchTheme,
    help: () => help.showModal(),
  };

  const keys = {
    j: () => move(1), ArrowRight: () => move(1), ArrowDown: () => move(1),
    k: () => move(-1), ArrowLeft: () => move(-1), ArrowUp: () => move(-1),
    n: moveToFailure,
    Home: () => move(-Infinity), End: () => move(Infinity),
    a: () => setFilter("all"), f: () => setFilter("failed"), r: () => setFilter("refused"),
    t: switchTheme, "?": () => help.showModal(),
    "/": () => {
      currentRun.querySelector(".steps").open = true;
      currentRun.querySelector("input[type=search]").focus();
    },
  };

  function openLink(event) {
    const link = event.target.closest("a[href]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.getAttribute("href").slice(1));
    if (!isNarrow.matches) return;
    currentRun.querySelector(".steps").open = false;
    document.getElementById(currentId).scrollIntoView();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do], button[data-filter]");
    const shot = event.target.closest(".shot");
    if (button && button.dataset.do) commands[button.dataset.do]();
    else if (button) setFilter(button.dataset.filter);
    else if (shot) shot.parentElement.classList.toggle("large");
    else openLink(event);
  });

  document.addEventListener("input", (event) => {
    if (event.target.type === "search") applyFilter();
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || help.open) return;
    if (event.target.tagName === "INPUT") {
      if (event.key === "Escape" || event.key === "Enter") event.target.blur();
      return;
    }
    if (!Object.hasOwn(keys, event.key) || !currentRun.querySelector(".item")) return;
    event.preventDefault();
    keys[event.key]();
  });

  // the data of the images follow the script
  document.addEventListener("DOMContentLoaded", () => loadImages(document.getElementById(currentId)));
  addEventListener("hashchange", () => show(decodeURIComponent(location.hash.slice(1))));

  document.body.classList.add("js");
  const theme = storedTheme();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  if (isNarrow.matches) for (const details of document.querySelectorAll(".steps")) details.open = false;
  const first = document.querySelector(".run[data-first]") || runs[0];
  let requested = "";
  try {
    requested = decodeURIComponent(location.hash.slice(1));
  } catch {
    requested = ""; // a malformed address opens the first failure
  }
  if (!show(requested, true) && !show(first.dataset.start, true)) show(first.querySelector("article").id, true);
})();
