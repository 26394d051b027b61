"use strict";
// Every text of the run is untrusted: it is inserted by textContent only.

const ARM_MS = 500; // a button of a new question does nothing before that: a click was meant for what was there
const CLICK_MS = 280; // in which a second click makes a double click
const TYPE_MS = 400; // in which keys are joined to one text
const DRAG_PX = 6;
const HOLD_MS = 600;
const REACH_PX = 22; // around a point that can be moved
const MAX_IMAGES = 30;
const SVG = "http://www.w3.org/2000/svg";
const KEYS = {
  Enter: "enter", Tab: "tab", Backspace: "backspace", Escape: "escape", Delete: "delete", ArrowUp: "up",
  ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", Home: "home", End: "end", PageUp: "pageup",
  PageDown: "pagedown",
};

const element = (id) => document.getElementById(id);
const token = location.hash.slice(1) || sessionStorage.getItem("token") || "";
sessionStorage.setItem("token", token);
history.replaceState(null, "", location.pathname); // not left in the address bar

let state = null;
let entries = [];
let selected = -1; // index of the entry that is shown; -1 for the present
let shownDigest = "";
let shownSize = [0, 0];
let questionNumber = 0;
let armedAt = 0;
const images = new Map();

document.documentElement.dataset.violations = "0";
document.addEventListener("securitypolicyviolation", () => {
  const data = document.documentElement.dataset;
  data.violations = String(Number(data.violations) + 1);
});

// requests

const request = (path, options = {}) =>
  fetch(path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${token}` } });

const send = async (command) => {
  try {
    const response = await request("/commands", { method: "POST", body: JSON.stringify(command) });
    const answer = await response.json();
    showNotice(response.ok ? "" : answer.error);
    return response.ok;
  } catch {
    showNotice("the run does not answer");
    return false;
  }
};

const showNotice = (text) => {
  element("notice").textContent = text || (state ? state.note : "");
  element("notice").hidden = !element("notice").textContent;
};

const readEvents = async () => {
  let pause = 300;
  for (;;) {
    try {
      const response = await request("/events");
      if (response.status === 401 || response.status === 403 || response.status === 429) {
        setPhase("lost");
        showNotice((await response.json()).error);
        if (response.status !== 429) return;
      } else {
        entries = [];
        element("entries").replaceChildren();
        await readStream(response.body.getReader());
        pause = 300;
      }
    } catch { /* the connection was lost */ }
    if (state && state.is_closed) return;
    setPhase("lost");
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 5000);
  }
};

const readStream = async (reader) => {
  const decoder = new TextDecoder();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += decoder.decode(value, { stream: true });
    const parts = buffer.split("\n\n");
    buffer = parts.pop();
    for (const part of parts) {
      const match = /^event: (\w+)\ndata: (.*)$/.exec(part);
      if (!match) continue;
      const data = JSON.parse(match[2]);
      if (match[1] === "entry") addEntry(data);
      else showState(data);
    }
  }
};

// the state

const setPhase = (phase) => {
  element("phase").textContent = phase === "lost" ? "connection lost" : phase;
  element("phase").dataset.phase = phase;
};

const showState = (next) => {
  const before = state;
  state = next;
  setPhase(state.question ? "waits for you" : state.phase);
  element("goal").textContent = state.goal || "";
  const count = state.step ? `step ${Math.min(state.step, state.max_steps || state.step)} of ${state.max_steps}` : "";
  const isRecording = state.model === "person"; // as agent record: without a model
  element("about").textContent = isRecording ? `recorded on ${state.where}`
    : [state.model && `${state.model} on ${state.where}`, count].filter(Boolean).join(" · ");
  element("model").hidden = isRecording;
  document.title = state.question ? "Question · Pixelhand" : "Pixelhand viewer";
  if (!before || before.note !== state.note) showNotice("");
  showControls();
  showQuestion();
  showModel();
  if (selected < 0) showNow();
};

const showControls = () => {
  const mode = state.mode;
  const isOver = state.end !== undefined;
  element("controls").hidden = !state.can_control || isOver;
  element("pause").hidden = mode !== "running";
  element("continue").hidden = mode !== "paused";
  element("step").hidden = mode !== "paused" || !state.can_answer;
  element("take-over").hidden = mode === "taken over" || !state.can_answer;
  element("hand-back").hidden = mode !== "taken over";
  element("steer-form").hidden = !state.can_control || !state.can_answer || isOver || state.model === "person";
  const acts = mode === "taken over" && state.phase === "taken over" && !isOver;
  element("keyboard").hidden = !acts;
  element("frame").classList.toggle("taken", acts);
  if (acts) element("frame").tabIndex = 0;
  else element("frame").removeAttribute("tabindex");
};

const TITLES = {
  approval: "May this be done?", writes: "May this be sent?", ask: "The model asks", paused: "The run waits",
};

const showQuestion = () => {
  const question = state.question;
  element("question").hidden = !question;
  if (!question || question.number === questionNumber) return;
  questionNumber = question.number;
  selected = -1;
  armedAt = performance.now() + ARM_MS;
  element("question-title").textContent = TITLES[question.kind];
  element("question-text").textContent = question.text;
  const lines = [question.problem, question.reason && `why: ${question.reason}`, question.rule];
  element("question-details").replaceChildren(...lines.filter(Boolean).map((line) => {
    const item = document.createElement("dd");
    item.textContent = line;
    return item;
  }));
  const words = {
    approval: ["Approve", "Approve all of its kind"], writes: ["Send", "Send, and others like it"],
    paused: ["Go on", ""], ask: ["", ""],
  }[question.kind];
  for (const button of element("question-buttons").children) {
    const answer = button.dataset.answer;
    button.hidden = !question.answers.includes(answer);
    if (answer === "yes") button.textContent = words[0];
    if (answer === "always") button.textContent = words[1];
  }
  element("edit-form").hidden = !question.answers.includes("edit");
  element("refuse-form").hidden = !question.answers.includes("no");
  element("text-form").hidden = !question.answers.includes("text");
  element("edit").value = question.edit;
  element("reason").value = element("text").value = "";
};

const showModel = () => {
  element("next").textContent = state.action ? `next: ${state.action}` : "";
  const { probabilities, uncertainty } = state.confidence;
  const parts = probabilities.map((value) => `point ${(100 * value).toFixed(0)} % sure`);
  if (uncertainty) parts.push(`unsure: ${uncertainty}`);
  element("confidence").textContent = parts.join("; ");
  element("confidence").classList.toggle("unsure", Boolean(uncertainty));
  const reply = element("reply");
  const isAtEnd = reply.scrollTop + reply.clientHeight >= reply.scrollHeight - 8;
  reply.textContent = state.reply;
  if (isAtEnd) reply.scrollTop = reply.scrollHeight;
  const end = [state.end, state.reward, ...(state.proof || [])].filter(Boolean).join("\n");
  element("timings").textContent = end || (state.timings ? `last step: ${state.timings}` : "");
  element("messages").textContent = state.messages.join("\n");
};

const showNow = () => {
  showScreen(state.screen, state.mark);
  if (move && move.question !== (state.question || {}).number) endMove(); // somebody else has answered
  if (move) return;
  const what = state.phase === "taken over" ? "You have the screen: click, drag, scroll or type."
    : canMove() && state.mark ? "Wrong place? Drag the ring to the right one." : "";
  element("caption").textContent = what || state.action || "";
  element("live").hidden = true;
};

// the screen

const loadImage = async (digest) => {
  if (!images.has(digest)) {
    const response = await request(`/screens/${encodeURIComponent(digest)}`);
    if (!response.ok) throw new Error("no screenshot");
    images.set(digest, URL.createObjectURL(await response.blob()));
    if (images.size > MAX_IMAGES) {
      const oldest = [...images.keys()].find((key) => key !== shownDigest && key !== digest);
      URL.revokeObjectURL(images.get(oldest));
      images.delete(oldest);
    }
  }
  return images.get(digest);
};

let wantedDigest = "";
const showScreen = async (screen, mark) => {
  if (!screen || !screen.width) {
    element("marks").replaceChildren();
    return;
  }
  wantedDigest = screen.digest;
  if (screen.digest !== shownDigest) {
    try {
      const address = await loadImage(screen.digest);
      if (wantedDigest !== screen.digest) return; // a later one is shown
      element("screen").src = address;
      shownDigest = screen.digest;
    } catch {
      return;
    }
  }
  shownSize = [screen.width, screen.height];
  drawMark(screen, mark);
};

const shape = (name, style, attributes) => {
  const part = document.createElementNS(SVG, name);
  part.setAttribute("class", style);
  for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
  return part;
};
const circle = (style, [x, y], r) => shape("circle", style, { cx: x + 0.5, cy: y + 0.5, r });

const drawMark = (screen, mark) => {
  const svg = element("marks");
  if (move) return; // the person holds it
  svg.setAttribute("viewBox", `0 0 ${screen.width} ${screen.height}`);
  const parts = [];
  if (mark) {
    const radius = Math.max(screen.width, screen.height) / 60;
    const last = mark.points.length - 1;
    const ends = last ? [0, last] : [0];
    for (const style of ["edge", "line"]) {
      if (last) parts.push(shape("polyline", style, { points: mark.points.map((point) => point.join(",")).join(" ") }));
      for (const index of ends) parts.push(circle(style, mark.points[index], radius));
    }
    if (canMove()) {
      const reach = Math.max(radius, (REACH_PX * screen.width) / element("screen").clientWidth);
      for (const index of ends) {
        const handle = circle("handle", mark.points[index], reach);
        handle.addEventListener("pointerdown", (event) => beginMove(event, index, mark.points[index], radius));
        parts.push(handle);
      }
    }
  }
  svg.replaceChildren(...parts);
};

// a point of the proposed action, which the person moves to where it belongs

let move = null; // {question, index, point, radius, x, y} from pointerdown to pointerup

const canMove = () =>
  selected < 0 && state && state.question && state.question.kind === "approval" && state.question.answers.includes("edit");

const beginMove = (event, index, point, radius) => {
  if (event.button || performance.now() < armedAt) return;
  event.preventDefault();
  move = { question: questionNumber, index, point, start: point, radius, x: event.clientX, y: event.clientY };
  element("frame").setPointerCapture(event.pointerId);
  element("frame").classList.add("moving");
};
const drawMove = () => {
  const [x, y] = move.point;
  const near = move.radius * 1.3;
  const far = move.radius * 4;
  const lines = [[-1, 0], [1, 0], [0, -1], [0, 1]].map(([across, down]) => ({ // a cross that leaves the target free
    x1: x + 0.5 + across * near, x2: x + 0.5 + across * far, y1: y + 0.5 + down * near, y2: y + 0.5 + down * far,
  }));
  const parts = [circle("edge", move.start, move.radius), circle("line from", move.start, move.radius)];
  for (const style of ["edge thin", "line thin"]) parts.push(...lines.map((line) => shape("line", style, line)));
  for (const style of ["edge", "line"]) parts.push(circle(style, move.point, move.radius));
  element("marks").replaceChildren(...parts);
  element("caption").textContent = `${x}, ${y}: let go where the action belongs; Escape leaves it`;
};
const endMove = () => {
  move = null;
  element("frame").classList.remove("moving");
  if (selected < 0) showNow();
};

element("frame").addEventListener("pointermove", (event) => {
  if (!move) return;
  move.point = toPixel(event);
  drawMove();
});
element("frame").addEventListener("pointerup", (event) => {
  if (!move) return;
  const { question, index, x, y } = move;
  const point = toPixel(event);
  const isMoved = Math.hypot(event.clientX - x, event.clientY - y) > DRAG_PX;
  endMove();
  if (isMoved) send({ name: "move_point", question, index, x: point[0], y: point[1] });
});
element("frame").addEventListener("pointercancel", () => { if (move) endMove(); });
document.addEventListener("keydown", (event) => { if (move && event.key === "Escape") endMove(); });

// the list of steps

const addEntry = (entry) => {
  const index = entries.push(entry) - 1;
  const item = document.createElement("li");
  item.className = entry.kind;
  const button = document.createElement("button");
  button.type = "button";
  const add = (name, text) => {
    if (!text) return;
    const line = document.createElement("span");
    if (name) line.className = name;
    line.textContent = text;
    button.append(line);
  };
  const number = entry.step ? `${entry.step}${entry.part ? ` (${entry.part})` : ""}. ` : "";
  const outcome = entry.outcome && entry.outcome !== "did" ? `${entry.outcome}: ` : "";
  add("", `${number}${outcome}${entry.text}`);
  add("dim", entry.thought);
  add("bad", entry.error);
  add("dim", entry.notice);
  add("bad", entry.confidence && entry.confidence.uncertainty);
  add("dim", entry.seconds && `${entry.seconds}: ${entry.timings}`);
  button.addEventListener("click", () => select(index));
  item.append(button);
  const list = element("entries");
  const isAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
  list.append(item);
  if (isAtEnd) list.scrollTop = list.scrollHeight;
};

const select = (index) => {
  selected = index;
  [...element("entries").children].forEach((item, position) => {
    item.firstChild.setAttribute("aria-current", String(position === index));
  });
  element("live").hidden = index < 0;
  if (index < 0) {
    showNow();
    return;
  }
  const entry = entries[index];
  showScreen(entry.screen, entry.mark);
  element("caption").textContent = entry.text;
};

element("live").addEventListener("click", () => select(-1));

// commands

for (const [id, name] of [["pause", "pause"], ["continue", "continue"], ["step", "step"], ["take-over", "take_over"],
  ["hand-back", "hand_back"], ["stop", "stop"]]) {
  element(id).addEventListener("click", () => {
    if (id === "take-over" && state.question && state.question.answers.includes("take over")) answer("take over", "");
    else if (id === "hand-back") { flushText(); send({ name }); } else send({ name });
  });
}

const answer = (name, text) => {
  if (!state.question || performance.now() < armedAt) return;
  send({ name: "answer", question: questionNumber, answer: name, text });
};

for (const button of element("question-buttons").children) {
  button.addEventListener("click", () => answer(button.dataset.answer, ""));
}
for (const [form, input, name] of [["edit-form", "edit", "edit"], ["refuse-form", "reason", "no"],
  ["text-form", "text", "text"]]) {
  element(form).addEventListener("submit", (event) => {
    event.preventDefault();
    answer(name, element(input).value);
  });
}
element("steer-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await send({ name: "steer", text: element("steer").value })) element("steer").value = "";
});

// the person's mouse and keys

const act = (action) => send({ name: "act", action });
const isTaken = () => element("frame").classList.contains("taken") && selected < 0;
const toPixel = (event) => {
  const box = element("screen").getBoundingClientRect();
  const place = (value, start, length, size) =>
    Math.max(0, Math.min(size - 1, Math.floor(((value - start) / length) * size)));
  return [place(event.clientX, box.left, box.width, shownSize[0]), place(event.clientY, box.top, box.height, shownSize[1])];
};
const modifiersOf = (event) =>
  [["ctrlKey", "ctrl"], ["shiftKey", "shift"], ["altKey", "alt"], ["metaKey", "meta"]]
    .filter(([name]) => event[name]).map(([, name]) => name);

let press = null;
let clicks = null; // a click that may become a double click

element("frame").addEventListener("pointerdown", (event) => {
  if (!isTaken()) return;
  event.preventDefault();
  element("frame").focus();
  press = { point: toPixel(event), x: event.clientX, y: event.clientY, at: performance.now() };
  element("frame").setPointerCapture(event.pointerId);
});
element("frame").addEventListener("pointerup", (event) => {
  if (!press || !isTaken()) return;
  const { point, x, y, at } = press;
  press = null;
  flushText();
  const [endX, endY] = toPixel(event);
  if (Math.hypot(event.clientX - x, event.clientY - y) > DRAG_PX) {
    act({ verb: "drag", path: [point, [endX, endY]] });
  } else if (event.pointerType === "touch" && performance.now() - at > HOLD_MS) {
    act({ verb: "long_press", x: point[0], y: point[1] });
  } else {
    addClick(point, ["left", "middle", "right"][event.button] || "left", modifiersOf(event));
  }
});
element("frame").addEventListener("contextmenu", (event) => { if (isTaken()) event.preventDefault(); });

const addClick = (point, button, modifiers) => {
  const key = `${button} ${modifiers.join()}`;
  if (clicks && clicks.key === key && clicks.count < 3) {
    clicks.count += 1;
    clearTimeout(clicks.timer);
  } else {
    sendClick();
    clicks = { key, count: 1, point, button, modifiers, timer: 0 };
  }
  clicks.timer = setTimeout(sendClick, CLICK_MS);
};
const sendClick = () => {
  if (!clicks) return;
  const { count, point, button, modifiers, timer } = clicks;
  clearTimeout(timer);
  clicks = null;
  act({ verb: "click", x: point[0], y: point[1], button, count, modifiers });
};

let turned = 0;
let wheelTimer = 0;
element("frame").addEventListener("wheel", (event) => {
  if (!isTaken()) return;
  event.preventDefault();
  turned += event.deltaY;
  const [x, y] = toPixel(event);
  clearTimeout(wheelTimer);
  wheelTimer = setTimeout(() => {
    const down = Math.max(-20, Math.min(20, Math.round(turned / 100) || Math.sign(turned)));
    turned = 0;
    if (down) act({ verb: "scroll", x, y, down });
  }, 150);
}, { passive: false });

let typedKeys = "";
let typeTimer = 0;
const flushText = () => {
  clearTimeout(typeTimer);
  sendClick();
  if (typedKeys) act({ verb: "type", text: typedKeys });
  typedKeys = "";
};
element("frame").addEventListener("keydown", (event) => {
  if (!isTaken() || event.isComposing) return;
  const isChord = event.ctrlKey || event.altKey || event.metaKey;
  if (event.key.length === 1 && !isChord) {
    typedKeys += event.key;
    clearTimeout(typeTimer);
    typeTimer = setTimeout(flushText, TYPE_MS);
  } else {
    const key = KEYS[event.key] || (event.key.length === 1 ? event.key.toLowerCase() : "");
    if (!key) return;
    flushText();
    act({ verb: "press", keys: [...modifiersOf(event), key] });
  }
  event.preventDefault();
});
element("keyboard").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("typed").value;
  if (text) act({ verb: "type", text });
  element("typed").value = "";
});
for (const button of element("keyboard").querySelectorAll(".keys button")) {
  button.addEventListener("click", () => {
    flushText();
    const { key, verb, scroll } = button.dataset;
    if (key) act({ verb: "press", keys: [key] });
    else if (verb) act({ verb });
    else act({ verb: "scroll", x: Math.floor(shownSize[0] / 2), y: Math.floor(shownSize[1] / 2), down: Number(scroll) });
  });
}

readEvents();
