// The panel of a node of the tree: its value to edit, and what can be done with the node.

/** Shows the panel of a node, in place of another one. */
function showPanel(path, { focus = false } = {}) {
  const [item, node] = [itemOf(path), nodes.get(path)];
  closePanel();
  if (!item || !node) return;
  const panel = node.kind === "value" && !node.unaddressable ? valueEditor(node) : actionsPanel(node);
  panel.dataset.shown = JSON.stringify(node);
  item.append(el("div", { class: "panel", role: "row" }, el("div", { role: "gridcell" }, panel)));
  if (focus) panel.querySelector("textarea, button").focus();
}

const closePanel = () => byId("tree").querySelector(".panel")?.remove();

/** Makes the panel anew if the node has changed, unless the user is editing: then a save asks what to do. */
function refreshPanel(item, node) {
  const panel = item.querySelector(".editor");
  if (!panel || panel.dataset.shown === JSON.stringify(node) || panel.isDirty?.()) return;
  const hadFocus = panel.contains(document.activeElement);
  showPanel(node.path);
  if (hadFocus) rowOf(node.path).focus();
}

/** What can be done with a node of any kind. */
function nodeActions(node) {
  const { path, kind } = node;
  const place = encodePath(path);
  const restore = () => (node.config === undefined ? call("DELETE", `metadata/${place}`) : call("PUT", `metadata/${place}`, { body: node.config }));
  const remove = () => call("DELETE", `metadata/${place}`);
  const next = kind === "list" ? (children.get(path)?.length ?? 0) : "";
  return [
    isDirectory(node) && button("Add key", () => showAddForm(path + next)),
    isChanged(node) && button("Restore", () => attempt(`Restored ${path}`, restore)),
    !node.default && !["computed", "removed"].includes(kind) && !node.unaddressable &&
      button("Delete", () => attempt(`Deleted ${path}`, remove), { class: "danger" }),
    button("Copy path", () => copy(path, "path")),
    button("Copy curl", () => copy(curl(node), "curl command")),
    kind !== "computed" && button("Copy JSON", () => attempt("", () => copyJson(node))),
  ];
}

/** A command that asks for the node as a program does. */
function curl(node) {
  const host = byId("exports").textContent.match(/GCE_METADATA_HOST=(\S+)/)?.[1] ?? "metadata.google.internal";
  const query = isDirectory(node) ? "/?recursive=true" : "";
  return `curl -H 'Metadata-Flavor: Google' 'http://${host}/computeMetadata/v1/${encodePath(node.path)}${query}'`;
}

async function copyJson({ path, value, config }) {
  copy(JSON.stringify(value ?? config ?? (await get(`metadata/${encodePath(path)}`)), null, 2), "JSON");
}

/** The panel of a node that can't be edited as one value. */
function actionsPanel(node) {
  const odd = node.unaddressable && "No URL can carry this key. Programs see it in the directory above, with ?recursive=true.";
  const texts = {
    computed: "The server computes this value for each request. Tokens have a tab of their own.",
    removed: "The config has this value. It was deleted while the server ran.",
  };
  const text = texts[node.kind] ?? odd;
  return div("editor", text && hint(text), div("buttons", ...nodeActions(node)));
}

/** The panel of a value: an editor that saves only if the server still has the value that was shown. */
function valueEditor(node) {
  const { path, value, config } = node;
  const place = `metadata/${encodePath(path)}`;
  const isText = typeof value === "string";
  const text = isText ? value : JSON.stringify(value, null, 2);
  const input = el("textarea", { rows: Math.min(12, text.split("\n").length), value: text, spellcheck: false, "aria-label": `Value of ${path}` });
  const json = el("input", { type: "checkbox", checked: !isText });
  const problem = el("p", { class: "problem", role: "alert" });
  const conflict = el("div", {});
  let isSaved = false;

  /** The condition of a save: the entity tag of the shown value. A default has none, because it is not in the config yet. */
  const condition = call("GET", place).then(
    (now) => ({ "If-Match": shown(now.value) === shown(value) ? now.tag : '"another value"' }),
    () => ({ "If-None-Match": "*" }),
  );

  const save = async (condition) => {
    problem.textContent = "";
    try {
      const body = json.checked ? parseJson(input.value) : input.value;
      await call("PUT", place, { body, headers: await condition });
      isSaved = true;
      say(`Saved ${path}`);
      rowOf(path)?.focus();
      tree.refresh();
    } catch (error) {
      if (error.status === 412) askWhichStays();
      else problem.textContent = inputError(error);
    }
  };

  const askWhichStays = async () => {
    const now = await call("GET", place).catch(() => ({}));
    const overwrite = now.tag ? { "If-Match": now.tag } : { "If-None-Match": "*" };
    const keep = () => ((isSaved = true), rowOf(path)?.focus(), tree.load().then(() => showPanel(path)));
    conflict.className = "conflict";
    conflict.setAttribute("role", "alert");
    conflict.replaceChildren(
      el("p", {}, "This value has changed since you began to edit it. Nothing was saved."),
      pairs([["On the server now", now.tag ? shown(now.value) : "(deleted)"], ["Yours", input.value]]),
      div("buttons", button("Overwrite with mine", () => save(overwrite), { class: "primary" }), button("Keep the server's", keep)),
    );
    conflict.querySelector("button").focus();
  };

  const onkeydown = (event) => {
    // Enter saves a line; Shift and Enter begin a new line. In longer text, Ctrl and Enter save.
    const saves = event.ctrlKey || (!event.shiftKey && !input.value.includes("\n"));
    if (event.key !== "Enter" || event.target !== input || !saves) return;
    event.preventDefault();
    save(condition);
  };
  const was = config === undefined ? "The config does not have this key." : `In the config: ${shown(config)}`;
  const actions = [el("button", { class: "primary" }, "Save"), el("label", { class: "check" }, json, "JSON"), ...nodeActions(node)];
  const form = el(
    "form",
    { class: "editor", onkeydown, onsubmit: (event) => (event.preventDefault(), save(condition)) },
    input,
    problem,
    conflict,
    node.changed && el("p", { class: "was" }, was),
    div("buttons", ...actions),
  );
  form.isDirty = () => !isSaved && (input.value !== text || json.checked === isText);
  return form;
}

/** Shows the form that adds a key, with this path filled in. */
function showAddForm(path) {
  const form = byId("add-form");
  form.hidden = false;
  const { path: field, value } = form.elements;
  field.value = path;
  (path.endsWith("/") ? field : value).focus();
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
  try {
    const name = withoutPrefix(path.value);
    const body = json.checked ? parseJson(value.value) : value.value;
    await call("PUT", `metadata/${encodePath(name)}`, { body, headers: { "If-None-Match": "*" } });
    hideAddForm();
    say(`Added ${name}`);
    await tree.load();
    reveal(name);
  } catch (error) {
    const exists = error.status === 412 && "There is such a key already. Select it in the tree to change it.";
    event.target.querySelector(".problem").textContent = exists || inputError(error);
  }
}
