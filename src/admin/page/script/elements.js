// Elements of the page: makes them, and keeps a list of them equal to a list of data.

const byId = (id) => document.getElementById(id);
const on = (id, type, listener) => byId(id).addEventListener(type, listener);

/** The words of a filter. */
const wordsOf = (id) => byId(id).value.toLowerCase().split(/\s+/).filter(Boolean);

/** Makes an element. `class`, `role` and names with a dash are attributes, names with `on` are listeners. Children are nodes or text. */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child || child === 0));
  return element;
}

const div = (name, ...children) => el("div", { class: name }, ...children);
const hint = (text) => el("p", { class: "hint" }, text);
const button = (text, onclick, properties = {}) => el("button", { type: "button", onclick, ...properties }, text);

/** A row of a table. A text is a cell. */
const tableRow = (...cells) => el("tr", {}, ...cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : el("td", {}, cell))));
const numberCell = (text = "") => el("td", { class: "number" }, text);

/** A list of names and values. */
const pairs = (all) => el("dl", {}, ...all.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

/** Shows the number at a tab. */
const setCount = (tab, count) => setText(byId(`tab-${tab}`).lastElementChild, String(count));

/** Makes one child of `parent` per item, in the same order. The element of a key is kept, and with it the focus. */
function reconcile(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item, index) => {
    const name = String(key(item, index));
    const element = old.get(name) ?? make(item);
    old.delete(name);
    element.dataset.key = name;
    update?.(element, item);
    return element;
  });
  for (const element of old.values()) element.remove();
  let next = parent.firstElementChild;
  for (const element of wanted) {
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
  }
}

/** Shows good or bad news. */
function setPill(id, text, isGood) {
  setText(byId(id), text);
  byId(id).className = `pill ${isGood ? "good" : "bad"}`;
}

/** Sets text, if it differs: an equal text would be read aloud again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Seconds as a short text. */
function seconds(count) {
  const whole = Math.max(0, Math.round(count));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Parses JSON. A number that JavaScript can't represent, such as the ID of a VM, stays its text. */
const parseJson = (text) =>
  JSON.parse(text, (_, value, context) =>
    Math.abs(value) > Number.MAX_SAFE_INTEGER && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value,
  );

/** The text of a value: a string as it is, another value as JSON. */
const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// Messages to the user.

let messageTimer;

/** Shows a message at the bottom for some seconds. */
function say(text, isError = false) {
  const message = byId("message");
  message.textContent = text;
  message.classList.toggle("error", isError);
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => (message.textContent = ""), isError ? 10000 : 4000);
}

/** Runs a change, says what happened, and fetches what has changed. */
async function attempt(done, change, resource) {
  try {
    await change();
    if (done) say(done);
    resource?.refresh();
  } catch (error) {
    say(error.message, true);
  }
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${what}`);
  } catch {
    say("The browser allows no copying here. Use localhost or 127.0.0.1 in the address.", true);
  }
}
