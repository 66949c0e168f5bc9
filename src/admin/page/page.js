// The page of the admin API: shows the machine and changes it, by the same API as every other client.
//
// Sections: elements, messages, API, refreshing, events, top line, tree, editor, requests, waiting, tokens, tabs, dialogs, start.
// Rules: values of the metadata are text nodes, never markup. The token is in memory and in a header, never in a URL. What is drawn is
// bounded by the constants below.

/** The most rows of the tree that are drawn. The filter finds the others. */
const MAX_TREE_ROWS = 400;
/** The most requests that are kept. */
const MAX_REQUESTS = 1000;
/** The most requests and waiting programs that are drawn. */
const MAX_ROWS = 200;
/** The shortest time between two drawings of a list, in milliseconds. */
const REDRAW = 250;
/** The shortest time between two requests for a resource that changes, in milliseconds. */
const REFRESH = 400;
/** The longest time between two attempts to connect, in milliseconds. */
const MAX_RETRY = 3000;
/** A stream without a byte for this time is dead: the server sends a comment more often. In milliseconds. */
const SILENCE = 40000;

// ---------------------------------------------------------------- elements

const byId = (id) => document.getElementById(id);

/**
 * Makes an element. Properties that begin with `on` are listeners, `class` and names with a dash are attributes; children are nodes or text.
 */
function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "role" || name.includes("-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button. */
const button = (text, onclick, properties = {}) => el("button", { type: "button", onclick, ...properties }, text);

/**
 * Makes the children of `parent` those of `items`, in their order. The element of a key is kept, so that focus and selection are; `update`
 * is called for each.
 */
function reconcile(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const name = String(key(item));
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
    typeof value === "number" && !Number.isSafeInteger(value) && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value,
  );

/** The text of a value: a string as it is, another value as JSON. */
const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// ---------------------------------------------------------------- messages

let messageTimer;

/** Shows a message at the bottom for some seconds. */
function say(text, isError = false) {
  const message = byId("message");
  message.textContent = text;
  message.classList.toggle("error", isError);
  clearTimeout(messageTimer);
  messageTimer = setTimeout(() => (message.textContent = ""), isError ? 10000 : 4000);
}

/** Runs a change and says what happened. */
async function attempt(done, change) {
  try {
    await change();
    if (done) say(done);
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

// ---------------------------------------------------------------- API

/** The admin token, once it was asked for. */
let token = null;
/** The question for the token that is open. */
let asking = null;

/** An error answer of the API. */
class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Sends a request to the API. Asks for the token if the server wants one. */
async function send(method, path, { body, headers = {}, signal } = {}) {
  const sent = token;
  const all = { ...headers };
  if (sent) all.Authorization = `Bearer ${sent}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  const init = { method, headers: all, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) };
  const answer = await fetch(`/__admin/${path}`, init);
  if (answer.status !== 401) return answer;
  await askForToken(sent);
  return send(method, path, { body, headers, signal });
}

/** The answer as JSON, with its entity tag; null without a body. Throws an `ApiError`. */
async function call(method, path, options) {
  const answer = await send(method, path, options);
  const text = await answer.text();
  if (!answer.ok) throw new ApiError(answer.status, detail(text) ?? `${answer.status} ${answer.statusText}`);
  return { value: text ? parseJson(text) : null, tag: answer.headers.get("ETag") };
}

/** The detail of a problem document. */
function detail(text) {
  try {
    return JSON.parse(text).detail;
  } catch {
    return undefined;
  }
}

const get = async (path) => (await call("GET", path)).value;

/** The path of a node in the API. */
const metadataPath = (path) => `metadata/${path.split("/").filter(Boolean).map(encodeURIComponent).join("/")}`;

/** Asks for the token. `refused` is the token that the server did not accept. */
function askForToken(refused) {
  if (token !== refused) return Promise.resolve();
  asking ??= new Promise((resolve) => {
    const [dialog, form] = [byId("token-dialog"), byId("token-form")];
    form.querySelector(".problem").textContent = refused ? "The server did not accept this token." : "";
    form.onsubmit = (event) => {
      event.preventDefault();
      token = form.elements.token.value;
      form.reset();
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}

// ---------------------------------------------------------------- refreshing

/** Resources that are fetched anew when an event says that they have changed: at most one request at a time, and one per `REFRESH`. */
class Resource {
  constructor(load) {
    this.load = load;
    this.isWanted = false;
    this.isRunning = false;
  }

  /** Fetches soon. */
  async refresh() {
    this.isWanted = true;
    if (this.isRunning) return;
    this.isRunning = true;
    while (this.isWanted) {
      this.isWanted = false;
      try {
        await this.load();
      } catch (error) {
        if (error instanceof ApiError) say(error.message, true);
      }
      await new Promise((resolve) => setTimeout(resolve, REFRESH));
    }
    this.isRunning = false;
  }
}

/** Draws soon, at most once per `REDRAW`. */
function redrawer(draw) {
  let timer = null;
  return () => (timer ??= setTimeout(() => ((timer = null), draw()), REDRAW));
}

// ---------------------------------------------------------------- events

/** Shows whether the page follows the server. */
function showConnection(isLive) {
  const pill = byId("connection");
  setText(pill, isLive ? "Live" : "Connection lost");
  pill.className = `pill ${isLive ? "good" : "bad"}`;
  byId("lost").hidden = isLive;
}

/** Follows the events of the server for as long as the page is shown, and connects again when the connection is lost. */
async function follow() {
  for (let wait = REFRESH; ; wait = Math.min(wait * 1.5, MAX_RETRY)) {
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    const stop = new AbortController();
    const hide = () => document.hidden && stop.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      const answer = await send("GET", "events", { signal: stop.signal });
      if (!answer.ok) throw new ApiError(answer.status, detail(await answer.text()) ?? "no events");
      showConnection(true);
      wait = REFRESH;
      refreshAll();
      await readEvents(answer.body, stop);
    } catch (error) {
      if (error instanceof ApiError) say(error.message, true);
    }
    document.removeEventListener("visibilitychange", hide);
    if (!document.hidden) {
      showConnection(false);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

/** Reads server-sent events until the stream ends. */
async function readEvents(body, stop) {
  let watchdog;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => stop.abort(), SILENCE);
  };
  let rest = "";
  try {
    alive();
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      alive();
      const blocks = (rest + text).split("\n\n");
      rest = blocks.pop();
      blocks.forEach(onBlock);
    }
  } finally {
    clearTimeout(watchdog);
  }
}

function onBlock(block) {
  let [type, data] = ["message", ""];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) type = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5);
  }
  if (data) EVENTS[type]?.(data);
}

/** What each type of event changes. The data of a request is parsed only when the request is drawn. */
const EVENTS = {
  request: (data) => addRequest(data),
  waiting: () => waiters.refresh(),
  woken: () => waiters.refresh(),
  metadata: () => (tree.refresh(), status.refresh()),
  token: () => (tokens.refresh(), status.refresh()),
  scenario: () => (scenarios.refresh(), faults.refresh()),
  fault: () => faults.refresh(),
  gap: () => refreshAll(),
};

function refreshAll() {
  for (const resource of [status, tree, journal, waiters, tokens, scenarios, faults]) resource.refresh();
}

// ---------------------------------------------------------------- top line

const status = new Resource(async () => {
  const now = await get("status");
  for (const name of ["project", "instance", "account"]) {
    setText(byId(name), now[name] ?? "none");
    byId(name).title = now[name] ?? "";
  }
  document.title = `${now.instance ?? "Metadata server"} · Metadata server`;
  const ready = byId("ready");
  setText(ready, now.ready ? "Ready" : `Not ready: ${now.reasons.join("; ")}`);
  ready.className = `pill ${now.ready ? "good" : "bad"}`;
  setText(byId("exports"), Object.entries(now.environment).map(([name, value]) => `export ${name}=${quoted(value)}\n`).join(""));
  hasJournal = now.journal;
});

/** A word for a shell. */
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

// ---------------------------------------------------------------- tree

/** The nodes by path, in the order of the server; a removed one comes last in its directory. */
let nodes = new Map();
/** The nodes of each directory, by its path; that of the root is empty. */
let children = new Map();
const open = new Set(["instance/", "instance/attributes/", "project/"]);
let selected = null;
/** The most rows that are drawn now. */
let treeLimit = MAX_TREE_ROWS;

const tree = new Resource(async () => {
  const answer = await get("tree");
  nodes = new Map(answer.nodes.map((node) => [node.path, node]));
  children = new Map();
  for (const node of answer.nodes) {
    const parent = parentOf(node.path);
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(node);
  }
  drawTree();
});

/** The path of the directory of a node. */
const parentOf = (path) => path.replace(/[^/]+\/?$/, "");
const nameOf = (path) => path.replace(/\/$/, "").split("/").pop();
const isDirectory = (node) => node.kind === "directory" || node.kind === "list";
const isChanged = (node) => node.changed || node.kind === "removed";

/** The rows to draw: all nodes in open directories, or those that the filter finds with the directories above them. */
function treeRows() {
  const words = byId("tree-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const onlyChanged = byId("tree-changed").checked;
  const rows = [];
  let found = null;
  if (words.length || onlyChanged) {
    found = new Set();
    for (const node of nodes.values()) {
      if (onlyChanged && !isChanged(node)) continue;
      const text = node.kind === "value" ? `${node.path} ${shown(node.value)}`.toLowerCase() : node.path.toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
      for (let path = node.path; path && !found.has(path); path = parentOf(path)) found.add(path);
    }
  }
  const walk = (path) => {
    for (const node of children.get(path) ?? []) {
      if (found && !found.has(node.path)) continue;
      rows.push(node);
      if (isDirectory(node) && (found || open.has(node.path))) walk(node.path);
    }
  };
  walk("");
  return { rows, isFiltered: found !== null };
}

function drawTree() {
  const { rows, isFiltered } = treeRows();
  const drawn = rows.slice(0, treeLimit);
  const list = byId("tree");
  const hadFocus = list.contains(document.activeElement);
  if (!drawn.some((node) => node.path === selected)) selected = null;
  reconcile(list, drawn, (node) => node.path, makeRow, (row, node) => updateRow(row, node, isFiltered));
  // One row is in the order of the Tab key; the arrow keys reach the others.
  const focusable = selected ?? drawn[0]?.path;
  for (const row of list.children) row.tabIndex = row.dataset.key === focusable ? 0 : -1;
  if (hadFocus && !list.contains(document.activeElement)) list.querySelector('[tabindex="0"]')?.focus();
  const left = rows.length - drawn.length;
  const more = left ? [`${left} more rows. `, button("Show more", () => ((treeLimit += MAX_TREE_ROWS), drawTree()))] : [];
  byId("tree-more").replaceChildren(...(rows.length ? more : [isFiltered ? "Nothing matches the filter." : "No metadata."]));
  setText(byId("changed-count"), String([...nodes.values()].filter(isChanged).length));
}

function makeRow(node) {
  const row = el("div", { class: "row", onclick: () => onRow(node.path) }, el("span", { class: "twisty", "aria-hidden": "true" }));
  row.append(el("span", { class: "name" }), el("span", { class: "value" }), el("span", { class: "badges" }));
  const level = node.path.split("/").filter(Boolean).length;
  const item = el("li", { role: "treeitem", "aria-level": String(level), tabIndex: -1 }, row);
  item.style.setProperty("--level", level - 1);
  return item;
}

function updateRow(item, node, isFiltered) {
  const isOpen = isDirectory(node) && (isFiltered || open.has(node.path));
  item.className = `${isDirectory(node) ? "directory" : ""} ${node.changed ? "changed" : ""} ${node.kind}`;
  if (isDirectory(node)) item.setAttribute("aria-expanded", String(isOpen));
  else item.removeAttribute("aria-expanded");
  item.setAttribute("aria-selected", String(node.path === selected));
  const [row] = item.children;
  const [twisty, name, value, badges] = row.children;
  const text = node.kind === "value" ? shown(node.value) : node.kind === "removed" ? shown(node.config) : "";
  setText(twisty, isDirectory(node) ? "▸" : "");
  setText(name, nameOf(node.path) + (isDirectory(node) ? "/" : ""));
  setText(value, text.length > 300 ? `${text.slice(0, 300)}…` : text);
  const marks = badgesOf(node);
  const spoken = `${nameOf(node.path)}${text ? `: ${text.slice(0, 100)}` : ""}${marks.map(([mark]) => `, ${mark}`).join("")}`;
  if (item.getAttribute("aria-label") === spoken) return;
  item.setAttribute("aria-label", spoken);
  badges.replaceChildren(...marks.map(([mark, style]) => el("span", { class: `badge ${style}` }, mark)));
}

/** What is said about a node, with its style. */
function badgesOf(node) {
  const marks = [];
  if (node.kind === "computed") marks.push(["computed", ""]);
  if (node.default) marks.push(["default", ""]);
  if (node.kind === "removed") marks.push(["removed", "bad"]);
  if (node.changed && node.config === undefined) marks.push(["added", "warning"]);
  else if (node.changed && node.kind === "value") marks.push([`changed, was ${shown(node.config).slice(0, 40)}`, "warning"]);
  else if (node.changed) marks.push(["changed", "warning"]);
  return marks;
}

/** Selects a node; closes its directory, or opens it. */
function onRow(path) {
  select(path);
  const node = nodes.get(path);
  if (isDirectory(node)) {
    if (!open.delete(path)) open.add(path);
    drawTree();
  } else {
    showEditor(path, { focus: true });
  }
}

/** Selects a node and shows its panel. */
function select(path, { focus = true } = {}) {
  if (selected !== path) {
    closeEditor();
    selected = path;
  }
  drawTree();
  const item = rowOf(path);
  if (item && !item.querySelector(".editor")) showEditor(path, { focus: false });
  if (focus) item?.focus();
}

const rowOf = (path) => [...byId("tree").children].find((item) => item.dataset.key === path);

/** Shows a node of the tree, whatever the filter is. */
function reveal(path) {
  const node = nodes.get(path) ?? nodes.get(`${path}/`);
  if (!node) return say(`There is no ${path} any more.`, true);
  byId("tree-filter").value = "";
  byId("tree-changed").checked = false;
  for (let parent = parentOf(node.path); parent; parent = parentOf(parent)) open.add(parent);
  select(node.path);
  rowOf(node.path)?.scrollIntoView({ block: "nearest" });
  if (!isDirectory(node)) showEditor(node.path, { focus: true });
}

function onTreeKey(event) {
  const item = event.target.closest("[role=treeitem]");
  if (!item) return;
  if (event.target !== item) {
    // A key in the panel of a node. Escape leads back to the row.
    if (event.key === "Escape") item.focus();
    return;
  }
  const node = nodes.get(item.dataset.key);
  const isOpen = item.getAttribute("aria-expanded") === "true";
  const move = {
    ArrowDown: () => item.nextElementSibling,
    ArrowUp: () => item.previousElementSibling,
    Home: () => byId("tree").firstElementChild,
    End: () => byId("tree").lastElementChild,
    ArrowLeft: () => (isOpen ? onRow(node.path) : rowOf(parentOf(node.path))),
    ArrowRight: () => (!isDirectory(node) ? null : isOpen ? item.nextElementSibling : onRow(node.path)),
    Enter: () => (isDirectory(node) ? onRow(node.path) : showEditor(node.path, { focus: true })),
  }[event.key];
  if (!move) return;
  event.preventDefault();
  const next = move();
  if (next) select(next.dataset.key);
}

// ---------------------------------------------------------------- editor

function closeEditor() {
  byId("tree").querySelector(".editor")?.remove();
}

/** Shows the panel of a node: its value to edit, and what can be done with the node. */
function showEditor(path, { focus }) {
  const item = rowOf(path);
  const node = nodes.get(path);
  if (!item || !node) return;
  let panel = item.querySelector(".editor");
  if (!panel) {
    closeEditor();
    panel = node.kind === "value" && !node.unaddressable ? valueEditor(node) : actionsPanel(node);
    item.append(panel);
  }
  if (focus) panel.querySelector("textarea, button")?.focus();
}

/** What can be done with every node. */
function nodeActions(node) {
  const { path } = node;
  const actions = [];
  if (isDirectory(node)) actions.push(button("Add key", () => showAddForm(path + (node.kind === "list" ? (children.get(path)?.length ?? 0) : ""))));
  if (isChanged(node) && !node.unaddressable) actions.push(button("Restore", () => restore(node)));
  if (!node.default && !["computed", "removed"].includes(node.kind) && !node.unaddressable) {
    actions.push(button("Delete", () => attempt(`Deleted ${path}`, () => call("DELETE", metadataPath(path))), { class: "danger" }));
  }
  actions.push(button("Copy path", () => copy(path, "path")), button("Copy curl", () => copy(curl(node), "curl command")));
  if (node.kind !== "computed") actions.push(button("Copy JSON", () => copyJson(node)));
  return actions;
}

/** A command that asks for the node as a program does. */
function curl(node) {
  const host = byId("exports").textContent.match(/GCE_METADATA_HOST=(\S+)/)?.[1] ?? "metadata.google.internal";
  const path = node.path.split("/").map(encodeURIComponent).join("/");
  return `curl -H 'Metadata-Flavor: Google' 'http://${host}/computeMetadata/v1/${path}${isDirectory(node) ? "?recursive=true" : ""}'`;
}

const copyJson = (node) =>
  attempt("", async () => {
    const value = node.kind === "value" ? node.value : node.kind === "removed" ? node.config : await get(metadataPath(node.path));
    await copy(JSON.stringify(value, null, 2), "JSON");
  });

/** Gives a node the value that it has in the config. */
const restore = (node) =>
  attempt(`Restored ${node.path}`, () =>
    node.config === undefined
      ? call("DELETE", metadataPath(node.path))
      : call("PUT", metadataPath(node.path), { body: node.config }),
  );

/** The panel of a node that can't be edited as one value. */
function actionsPanel(node) {
  const texts = {
    computed: "The server computes this value for each request. It is not part of the config: see the tab Tokens.",
    removed: "The config has this value; it was deleted while the server ran.",
  };
  const text = texts[node.kind] ?? (node.unaddressable ? "No URL can carry this key. Programs see it in the directory above with ?recursive=true." : null);
  return el("div", { class: "editor" }, text && el("p", { class: "hint" }, text), el("div", { class: "buttons" }, ...nodeActions(node)));
}

/** The panel of a value: an editor that saves only if the value is still the one that was shown. */
function valueEditor(node) {
  const { path } = node;
  const isText = typeof node.value === "string";
  const text = isText ? node.value : JSON.stringify(node.value, null, 2);
  const input = el("textarea", { rows: Math.min(12, text.split("\n").length), value: text, spellcheck: false, name: "value" });
  input.setAttribute("aria-label", `Value of ${path}`);
  const json = el("input", { type: "checkbox", checked: !isText, name: "json" });
  const problem = el("p", { class: "problem", role: "alert" });
  const conflict = el("div", {});
  let tag = null;
  // The tag of the value that is shown. A default has none: it is not in the config yet.
  const known = call("GET", metadataPath(path)).then(
    (answer) => {
      tag = answer.tag;
      if (JSON.stringify(answer.value) !== JSON.stringify(node.value)) tag = '"changed-before-it-was-shown"';
    },
    (error) => (error.status === 404 ? null : Promise.reject(error)),
  );
  known.catch(() => {});

  const save = async (condition) => {
    problem.textContent = "";
    try {
      await known;
      const body = json.checked ? parseJson(input.value) : input.value;
      await call("PUT", metadataPath(path), { body, headers: condition ?? (tag ? { "If-Match": tag } : { "If-None-Match": "*" }) });
      say(`Saved ${path}`);
      const item = form.closest("li");
      form.remove();
      if (item) item.focus();
    } catch (error) {
      if (error.status === 412) await showConflict();
      else problem.textContent = error instanceof SyntaxError ? `Not JSON: ${error.message}` : error.message;
    }
  };

  /** Shows both values and asks which one is to stay. */
  const showConflict = async () => {
    const current = await call("GET", metadataPath(path)).catch(() => ({ value: undefined, tag: null }));
    const now = current.value === undefined ? "(deleted)" : shown(current.value);
    const overwrite = current.tag ? { "If-Match": current.tag } : { "If-None-Match": "*" };
    const keep = button("Keep the server's", () => {
      form.remove();
      select(path);
    });
    conflict.className = "conflict";
    conflict.setAttribute("role", "alertdialog");
    conflict.setAttribute("aria-label", "The value has changed");
    conflict.replaceChildren(
      el("p", {}, "This value has changed since you began to edit it. Nothing was saved."),
      el("dl", {}, el("dt", {}, "On the server now"), el("dd", {}, now), el("dt", {}, "Yours"), el("dd", {}, input.value)),
      el("div", { class: "buttons" }, button("Overwrite with mine", () => save(overwrite), { class: "primary" }), keep),
    );
    conflict.querySelector("button").focus();
  };

  const form = el(
    "form",
    {
      class: "editor",
      onsubmit: (event) => (event.preventDefault(), save()),
      onkeydown: (event) => {
        // Enter saves; Shift and Enter begin a new line.
        if (event.key === "Enter" && event.target === input && !event.shiftKey && (event.ctrlKey || !input.value.includes("\n"))) {
          event.preventDefault();
          save();
        }
      },
    },
    input,
    problem,
    conflict,
    node.changed && el("p", { class: "was" }, node.config === undefined ? "The config file does not have this key." : `In the config file: ${shown(node.config)}`),
    el(
      "div",
      { class: "buttons" },
      el("button", { type: "submit", class: "primary" }, "Save"),
      el("label", { class: "check" }, json, "JSON"),
      ...nodeActions(node),
    ),
  );
  return form;
}

/** Shows the form that adds a key, with this path filled in. */
function showAddForm(path) {
  const form = byId("add-form");
  form.hidden = false;
  form.elements.path.value = path;
  form.elements.path.focus();
}

function hideAddForm() {
  const form = byId("add-form");
  form.reset();
  form.hidden = true;
  form.querySelector(".problem").textContent = "";
  byId("add").focus();
}

async function addKey(event) {
  event.preventDefault();
  const { path, value, json } = event.target.elements;
  const problem = event.target.querySelector(".problem");
  problem.textContent = "";
  try {
    const wanted = path.value.trim().replace(/^\/?(computeMetadata\/v1\/)?/, "");
    const body = json.checked ? parseJson(value.value) : value.value;
    await call("PUT", metadataPath(wanted), { body, headers: { "If-None-Match": "*" } });
    hideAddForm();
    say(`Added ${wanted}`);
    await tree.load();
    reveal(wanted.replace(/\/$/, ""));
  } catch (error) {
    const texts = { 412: "There is such a key already. Select it in the tree to change it." };
    problem.textContent = error instanceof SyntaxError ? `Not JSON: ${error.message}` : (texts[error.status] ?? error.message);
  }
}

// ---------------------------------------------------------------- requests

/** The requests, the newest first: text until they are drawn, then objects. */
let requests = [];
let hasJournal = true;
let isPaused = false;
let expanded = null;

const journal = new Resource(async () => {
  requests = (await get(`requests?limit=${MAX_REQUESTS}`)).requests;
  drawRequests();
});

function addRequest(data) {
  requests.unshift(data);
  if (requests.length > MAX_REQUESTS * 1.2) requests.length = MAX_REQUESTS;
  if (!isPaused) redrawRequests();
}

/** The request at this index, parsed. */
function requestAt(index) {
  if (typeof requests[index] === "string") requests[index] = JSON.parse(requests[index]);
  return requests[index];
}

function drawRequests() {
  const words = byId("request-filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const onlyUnmatched = byId("only-unmatched").checked;
  const [found, ids] = [[], new Set()];
  for (let index = 0; index < requests.length && found.length < MAX_ROWS; index++) {
    const event = requestAt(index);
    if (ids.has(event.id) || (onlyUnmatched && event.wasMatched)) continue;
    const { url, method, clientIp } = event.request;
    const text = `${url} ${method} ${event.response.status ?? ""} ${clientIp ?? ""}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    ids.add(event.id);
    found.push(event);
  }
  const rows = found.flatMap((event) => (event.id === expanded ? [event, { id: `${event.id}-details`, event }] : [event]));
  reconcile(byId("request-rows"), rows, (row) => row.id, (row) => (row.event ? detailsRow(row.event) : requestRow(row)), (element, row) => {
    if (!row.event) element.querySelector("button").setAttribute("aria-expanded", String(row.id === expanded));
  });
  setText(document.querySelector("#tab-requests .count"), requests.length >= MAX_REQUESTS ? `${MAX_REQUESTS}+` : String(requests.length));
  const texts = {
    off: "This server keeps no journal of requests (--journal-entries 0).",
    none: "No requests yet. “Connect a program” at the top shows how a program finds this server.",
    unfound: "No request matches the filter.",
    bounded: `The newest ${MAX_ROWS} are shown. The filter searches the last ${MAX_REQUESTS}.`,
  };
  const note = !hasJournal ? "off" : !requests.length ? "none" : !found.length ? "unfound" : found.length === MAX_ROWS ? "bounded" : null;
  setText(byId("request-note"), note ? texts[note] : "");
}
const redrawRequests = redrawer(drawRequests);

/** The path that a program asked for, without the prefix that all have. */
const shortPath = (url) => url.replace(/^\/computeMetadata\/v1\//, "");

function requestRow(event) {
  const { request, response, metadataServer: extra = {} } = event;
  const [path, query] = shortPath(request.url).split(/\?(.*)/s);
  const date = new Date(request.loggedDate);
  const time = `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  const status = response.status ?? "left";
  const style = status === "left" || status >= 500 ? "bad" : status >= 400 ? "warning" : "good";
  const toggle = button("", () => expand(event.id), { class: "link path", "aria-expanded": "false" });
  toggle.append(path || "/", query === undefined ? "" : el("span", { class: "query" }, `?${query}`));
  return el(
    "tr",
    {},
    el("td", { class: "number" }, time),
    el("td", {}, request.clientIp ?? "socket"),
    el("td", {}, request.method),
    el("td", { class: "path" }, toggle),
    el("td", {}, el("span", { class: `badge ${style}` }, String(status))),
    el("td", { class: "number" }, `${event.timing.totalTime} ms`),
    el("td", { class: "notes" }, notesOf(event, extra)),
  );
}

/** What is remarkable about a request. */
function notesOf(event, { waited, clientLeft }) {
  const notes = [];
  if (event.stubMapping) notes.push(`fault: ${event.stubMapping.name ?? event.stubMapping.id}`);
  if (!event.wasMatched) notes.push("not found");
  if (waited) notes.push(`waited ${seconds(waited.milliseconds / 1000)}, ended by ${waited.endedBy}`);
  if (clientLeft && !waited) notes.push("client left");
  return notes.join("; ");
}

function expand(id) {
  expanded = expanded === id ? null : id;
  if (expanded) setPaused(true);
  drawRequests();
}

/** The details of a request: what can be done with it, and its headers. */
function detailsRow(event) {
  const { request, response, metadataServer: extra = {} } = event;
  const path = extra.path ?? shortPath(request.url).split("?")[0];
  const list = (headers) => el("dl", {}, ...Object.entries(headers).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, [value].flat().join(", "))]));
  const actions = el("div", { class: "buttons" });
  if (!event.wasMatched && path) actions.append(button("Add this key", () => showAddForm(path)));
  if (event.wasMatched && path) actions.append(button("Show in the tree", () => reveal(path.replace(/\/$/, ""))));
  actions.append(button("Fault this path", () => prepareFault(path)));
  return el(
    "tr",
    {},
    el(
      "td",
      { class: "details", colSpan: 7 },
      actions,
      el("h3", {}, "Request"),
      list(request.headers),
      request.body && el("pre", {}, request.body),
      el("h3", {}, "Answer"),
      list(response.headers ?? {}),
    ),
  );
}

function setPaused(paused) {
  isPaused = paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  setText(byId("pause"), paused ? "Resume" : "Pause");
  if (!paused) {
    expanded = null;
    drawRequests();
  }
}

// ---------------------------------------------------------------- waiting

let waiting = [];

const waiters = new Resource(async () => {
  const { waiters } = await get("waiters");
  waiting = waiters.map((waiter) => ({ ...waiter, start: Date.now() - waiter.milliseconds }));
  drawWaiting();
});

function drawWaiting() {
  const drawn = waiting.slice(0, MAX_ROWS);
  const key = (waiter) => `${waiter.client} ${waiter.path} ${waiter.since}`;
  reconcile(byId("waiting-rows"), drawn, key, waiterRow, (row, waiter) => {
    const age = (Date.now() - waiter.start) / 1000;
    setText(row.children[2], seconds(age));
    setText(row.children[3], waiter.timeoutSec ? seconds(waiter.timeoutSec - age) : "never");
  });
  setText(document.querySelector("#tab-waiting .count"), String(waiting.length));
  setText(byId("waiting-note"), !waiting.length ? "No program waits for a change now." : waiting.length > drawn.length ? `The first ${MAX_ROWS} of ${waiting.length} are shown.` : "");
}

const waiterRow = (waiter) =>
  el(
    "tr",
    {},
    el("td", {}, waiter.client ?? "socket"),
    el("td", { class: "path" }, waiter.path || "/"),
    el("td", { class: "number" }),
    el("td", { class: "number" }),
    el("td", {}, waiter.path && button("Change", () => reveal(waiter.path.replace(/\/$/, "")))),
  );

// ---------------------------------------------------------------- tokens

const tokens = new Resource(async () => {
  const { accounts } = await get("tokens");
  const loaded = Date.now();
  reconcile(byId("accounts"), accounts, (account) => account.account, accountCard, (card, account) => updateAccount(card, account, loaded));
  setText(document.querySelector("#tab-tokens .count"), String(accounts.length));
});

function accountCard({ account }) {
  const path = `tokens/${encodeURIComponent(account)}`;
  const change = (done, method, suffix, body) => () => attempt(done, () => call(method, path + suffix, { body })).then(() => tokens.refresh());
  const tens = "New tokens of this account end in 10 s";
  return el(
    "div",
    { class: "card" },
    el("h3", {}, account),
    el("p", { class: "hint" }),
    el("table", {}, el("thead", {}, el("tr", {}, ...["Kind", "Scopes or audience", "Ends in"].map((name) => el("th", { scope: "col" }, name)))), el("tbody", {})),
    el("p", { class: "problem" }),
    el(
      "div",
      { class: "buttons" },
      button("Rotate", change("The next request gets a new token", "POST", "/rotate"), { title: "Drops the cached tokens: the next request gets a new one" }),
      button("Expire in 10 s", change(tens, "PUT", "", { lifetime: 10 }), { title: "New tokens are valid for 10 seconds" }),
      button("Back to normal", change("The account's source answers as usual", "DELETE", "")),
    ),
  );
}

function updateAccount(card, account, loaded) {
  const [, source, table, problem] = card.children;
  const behaviour = Object.entries(account.behaviour ?? {}).map(([name, value]) => `${name} ${value}`);
  setText(source, [`Source: ${account.source}`, ...behaviour].join(" · "));
  const rows = [];
  for (const [kind, tokens] of [["access", account.accessTokens], ["identity", account.idTokens]]) {
    if (tokens.given) rows.push({ kind: `${kind}, given`, what: `then ${tokens.given.then}`, left: tokens.given.expiresIn });
    for (const cached of tokens.cached) rows.push({ kind, what: cached.audience ?? (cached.scopes.join(" ") || "default scopes"), left: cached.expiresIn });
  }
  const key = (row) => `${row.kind} ${row.what}`;
  reconcile(table.tBodies[0], rows, key, (row) => el("tr", {}, el("td", {}, row.kind), el("td", {}, row.what), el("td", {})), (row, { left }) => {
    row.children[2].dataset.end = left === null ? "" : loaded + left * 1000;
  });
  table.hidden = !rows.length;
  const errors = [account.accessTokens.lastError, account.idTokens.lastError].filter(Boolean);
  setText(problem, errors.join("; "));
  countDown();
}

/** Counts down to the end of each token and of each step of a scenario. */
function countDown() {
  for (const cell of document.querySelectorAll("[data-end]")) {
    const left = (Number(cell.dataset.end) - Date.now()) / 1000;
    setText(cell, cell.dataset.end === "" ? "never" : left > 0 ? seconds(left) : "ended");
  }
}

// ---------------------------------------------------------------- scenarios

const scenarios = new Resource(async () => {
  const { scenarios } = await get("scenarios?details=true");
  const loaded = Date.now();
  // Running ones come first.
  scenarios.sort((a, b) => Boolean(b.run) - Boolean(a.run));
  reconcile(byId("scenario-list"), scenarios, (it) => it.name, scenarioCard, (card, it) => updateScenario(card, it, loaded));
  setText(document.querySelector("#tab-scenarios .count"), String(scenarios.filter((it) => it.run).length || ""));
});

/** The seconds of a duration such as `1m30s`. */
function duration(text) {
  const units = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
  return [...String(text).matchAll(/([\d.]+)(ms|[smhd])/g)].reduce((sum, [, count, unit]) => sum + count * units[unit], 0);
}

function scenarioCard({ name, definition, parameters }) {
  const form = el("form", { class: "fields", "aria-label": `Run ${name}` });
  const field = (label, input, hint) => form.append(el("label", { title: hint ?? "" }, label, input));
  for (const { name, type, values, default: preset = "", description } of parameters) {
    const choices = values ?? (type === "boolean" ? ["false", "true"] : null);
    const input = choices ? el("select", {}, ...choices.map((value) => el("option", {}, value))) : el("input", { placeholder: preset });
    input.name = `parameter ${name}`;
    field(name, input, description);
  }
  field("speed", el("input", { name: "speed", type: "number", min: 1, value: 1 }), "60: an hour passes in a minute");
  form.append(el("label", { class: "check" }, el("input", { type: "checkbox", name: "manual" }), "by hand"));
  form.append(el("button", { type: "submit", class: "primary" }, "Run"));
  form.onsubmit = (event) => {
    event.preventDefault();
    const given = [...form.elements].filter((input) => input.name.startsWith("parameter ") && input.value);
    const parameters = Object.fromEntries(given.map((input) => [input.name.slice(10), input.value]));
    const body = { parameters, speed: Number(form.elements.speed.value) || 1, progression: form.elements.manual.checked ? "manual" : "time" };
    change(`${name} runs`, "run", body);
  };
  const path = `scenarios/${encodeURIComponent(name)}`;
  const change = (done, action, body) => attempt(done, () => call("POST", `${path}/${action}`, { body })).then(() => scenarios.refresh());
  const actions = [button("Step", () => change("", "step")), button("Stop", () => change(`${name} has ended`, "stop"), { class: "danger" })];
  const head = el("div", { class: "head" }, el("h3", {}, name), el("span", { class: "next", role: "status" }));
  return el("div", { class: "card" }, head, el("p", { class: "hint" }, definition.description ?? ""), el("ol", { class: "timeline" }), form, el("div", { class: "buttons" }, ...actions));
}

function updateScenario(card, { definition, run, state }, loaded) {
  const [head, , timeline, form, actions] = card.children;
  card.classList.toggle("running", Boolean(run));
  form.hidden = Boolean(run);
  actions.hidden = timeline.hidden = !run;
  const next = head.querySelector(".next");
  if (!run) return next.replaceChildren();
  let at = 0;
  const steps = definition.states.map((step) => ({ name: step.state, at: (at += duration(step.after)) }));
  if (definition.end) steps.push({ name: "end", at: at + duration(definition.end) });
  const current = steps.findIndex((step) => step.name === state);
  reconcile(timeline, steps, (step) => `${step.name} ${step.at}`, (step) => el("li", {}, step.name, el("small", {}, `at ${seconds(step.at)}`)), (item, step) => {
    const index = steps.indexOf(step);
    item.className = index < current ? "past" : index === current ? "now" : "";
    if (index === current) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
  if (!run.next) return next.replaceChildren("the last state: stop it to put the metadata back");
  const name = run.next.state === "Started" ? "end" : run.next.state;
  if (run.progression !== "time") return next.replaceChildren(`${name} is next, by a step`);
  const left = (duration(run.next.at) - duration(run.elapsed)) / run.speed + duration(run.startsIn ?? "");
  next.replaceChildren(`${name} in `, el("span", { "data-end": String(loaded + left * 1000), "aria-live": "off" }));
  countDown();
}

// ---------------------------------------------------------------- faults

/** The kinds of faults in the form, as responses of stub mappings. */
const FAULTS = {
  "503 Service Unavailable": { status: 503 },
  "429 Too Many Requests": { status: 429, headers: { "Retry-After": "1" } },
  "500 Internal Server Error": { status: 500 },
  "404 Not Found": { status: 404 },
  "Answers 2 s late": { proxyBaseUrl: "http:\/\/metadata.google.internal", fixedDelayMilliseconds: 2000 },
  "Never answers": { fixedDelayMilliseconds: 86400000 },
  "Resets the connection": { fault: "CONNECTION_RESET_BY_PEER" },
  "Closes without an answer": { fault: "EMPTY_RESPONSE" },
};

const faults = new Resource(async () => {
  const { mappings } = await get("mappings");
  reconcile(byId("fault-list"), mappings, (fault) => fault.id, faultCard, updateFault);
  setText(document.querySelector("#tab-faults .count"), String(mappings.length));
  setText(byId("fault-note"), mappings.length ? "" : "No faults: every request is answered as usual.");
});

function faultCard(fault) {
  const path = `mappings/${fault.id}`;
  const change = (done, method, body) => attempt(done, () => call(method, path, { body })).then(() => faults.refresh());
  const { request, response, instructions } = fault;
  const target = request.urlPath ?? request.urlPathPattern ?? request.url ?? request.urlPattern ?? "every path";
  const buttons = el("div", { class: "buttons" }, button("Remove", () => change("The fault is removed", "DELETE"), { class: "danger" }));
  return el("li", { class: "card" }, el("h3", {}, fault.name ?? target), el("code", {}, target), el("code", {}, JSON.stringify(instructions ?? response)), el("p", { class: "hint" }), buttons);
}

function updateFault(card, fault) {
  const { matched = 0, injected = 0, completed } = fault;
  setText(card.querySelector(".hint"), `${matched} requests matched, ${injected} got the fault${completed ? "; it is used up" : ""}`);
}

function prepareFault(path) {
  showTab("faults");
  const form = byId("fault-form");
  form.elements.path.value = path;
  form.elements.kind.focus();
}

/** Adds the fault of the form. A star in the path stands for a part between slashes. */
async function addFault(event) {
  event.preventDefault();
  const form = event.target;
  const { path, kind, times } = form.elements;
  const name = path.value.trim().replace(/^\/?(computeMetadata\/v1\/)?/, "");
  const pattern = name.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")).join("[^/]+");
  const request = name.includes("*") ? { urlPathPattern: `/computeMetadata/v1/${pattern}` } : { urlPath: `/computeMetadata/v1/${name}` };
  const body = { name: `${name}: ${kind.value}`, request, response: FAULTS[kind.value] };
  if (times.value) body.failRequestCount = Number(times.value);
  const problem = form.querySelector(".problem");
  problem.textContent = "";
  try {
    await call("POST", "mappings", { body });
    form.reset();
    say(`Fault added: ${body.name}`);
    faults.refresh();
  } catch (error) {
    problem.textContent = error.message;
  }
}

// ---------------------------------------------------------------- tabs

const TABS = ["requests", "waiting", "tokens", "scenarios", "faults"];

function showTab(name) {
  for (const tab of TABS) {
    const button = byId(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === name));
    button.tabIndex = tab === name ? 0 : -1;
    byId(tab).hidden = tab !== name;
  }
}

function onTabKey(event) {
  const index = TABS.indexOf(event.target.id?.replace("tab-", ""));
  const next = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: TABS.length - 1 }[event.key];
  if (index < 0 || next === undefined) return;
  event.preventDefault();
  const name = TABS[(next + TABS.length) % TABS.length];
  showTab(name);
  byId(`tab-${name}`).focus();
}

// ---------------------------------------------------------------- start

function listen() {
  byId("tree").addEventListener("keydown", onTreeKey);
  byId("tree-filter").addEventListener("input", redrawer(() => ((treeLimit = MAX_TREE_ROWS), drawTree())));
  byId("tree-changed").addEventListener("change", drawTree);
  byId("add").addEventListener("click", () => showAddForm("instance/attributes/"));
  byId("add-form").addEventListener("submit", addKey);
  byId("add-form").elements.cancel.addEventListener("click", hideAddForm);

  byId("fault-form").addEventListener("submit", addFault);
  byId("fault-form").elements.kind.append(...Object.keys(FAULTS).map((kind) => el("option", {}, kind)));
  byId("request-filter").addEventListener("input", redrawRequests);
  byId("only-unmatched").addEventListener("change", drawRequests);
  byId("pause").addEventListener("click", () => setPaused(!isPaused));
  byId("clear").addEventListener("click", () => attempt("The journal is empty", () => call("DELETE", "requests")).then(() => journal.refresh()));

  for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => showTab(tab));
  document.querySelector(".tabs").addEventListener("keydown", onTabKey);

  for (const close of document.querySelectorAll("[data-close]")) close.addEventListener("click", () => close.closest("dialog").close());
  byId("connect-program").addEventListener("click", () => byId("connect-dialog").showModal());
  byId("copy-exports").addEventListener("click", () => copy(byId("exports").textContent, "lines for a shell"));
  byId("reset").addEventListener("click", () => byId("reset-dialog").showModal());
  for (const [id, path, done] of [
    ["reset-metadata", "metadata/reset", "The metadata is that of the config file"],
    ["reset-all", "reset", "The server is as after its start"],
  ]) {
    byId(id).addEventListener("click", () => {
      byId("reset-dialog").close();
      attempt(done, () => call("POST", path)).then(refreshAll);
    });
  }
  setInterval(() => {
    countDown();
    if (!byId("waiting").hidden) drawWaiting();
  }, 1000);
}

listen();
follow();
