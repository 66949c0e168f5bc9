// The tree of the metadata.

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
const nameOf = (path) => path.slice(parentOf(path).length);
const isDirectory = (node) => node.kind === "directory" || node.kind === "list";
const isChanged = (node) => node.changed || node.kind === "removed";

/** The rows to draw: all nodes in open directories, or those that the filter finds with the directories above them. */
function treeRows() {
  const words = wordsOf("tree-filter");
  const onlyChanged = byId("tree-changed").checked;
  const rows = [];
  let found = null;
  if (words.length || onlyChanged) {
    found = new Set();
    for (const node of nodes.values()) {
      if (onlyChanged && !isChanged(node)) continue;
      const text = `${node.path} ${shown(node.value) ?? ""}`.toLowerCase();
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
  reconcile(list, drawn, (node) => node.path, makeItem, (item, node) => updateItem(item, node, isFiltered));
  // One row is in the order of the Tab key; the arrow keys reach the others.
  const focusable = selected ?? drawn[0]?.path;
  for (const item of list.children) item.firstElementChild.tabIndex = item.dataset.key === focusable ? 0 : -1;
  if (hadFocus && !list.contains(document.activeElement)) list.querySelector('[tabindex="0"]')?.focus();
  const left = rows.length - drawn.length;
  const more = left ? [`${left} more rows. `, button("Show more", () => ((treeLimit += MAX_TREE_ROWS), drawTree()))] : [];
  byId("tree-more").replaceChildren(...(rows.length ? more : [isFiltered ? "Nothing matches the filter." : "No metadata."]));
  setText(byId("changed-count"), String([...nodes.values()].filter(isChanged).length));
}

/** An item has the row of a node, and the panel of the selected one. */
function makeItem(node) {
  const level = node.path.split("/").filter(Boolean).length;
  const row = el("div", { class: "row", role: "row", "aria-level": String(level), onclick: () => activate(node.path) });
  row.append(el("span", { class: "twisty", "aria-hidden": "true" }), ...["name", "value", "badges"].map((name) => el("span", { class: name, role: "gridcell" })));
  const item = el("li", { role: "none" }, row);
  item.style.setProperty("--level", level - 1);
  return item;
}

function updateItem(item, node, isFiltered) {
  refreshPanel(item, node);
  const row = item.firstElementChild;
  const [twisty, name, value, badges] = row.children;
  row.ariaExpanded = isDirectory(node) ? String(isFiltered || open.has(node.path)) : null;
  row.ariaSelected = String(node.path === selected);
  item.className = `${isDirectory(node) ? "directory" : ""} ${node.changed ? "changed" : ""} ${node.kind}`;
  const text = shown(node.kind === "removed" ? node.config : node.value) ?? "";
  setText(twisty, isDirectory(node) ? "▸" : "");
  setText(name, nameOf(node.path));
  setText(value, text.length > 300 ? `${text.slice(0, 300)}…` : text);
  reconcile(badges, badgesOf(node), ([mark]) => mark, ([mark, style]) => el("span", { class: `badge ${style}` }, mark));
}

/** What is said about a node, with its style. */
function badgesOf(node) {
  const marks = [];
  if (node.kind === "computed") marks.push(["computed", ""]);
  if (node.default) marks.push(["default", ""]);
  if (node.kind === "removed") marks.push(["removed", "bad"]);
  if (node.changed && node.config === undefined) marks.push(["added", "warning"]);
  else if (node.changed && node.kind === "value") marks.push([`changed, was ${shown(node.config).slice(0, 40) || '""'}`, "warning"]);
  else if (node.changed) marks.push(["changed", "warning"]);
  return marks;
}

/** Selects a node and shows its panel. Opens or closes a directory. */
function activate(path) {
  select(path);
  const node = nodes.get(path);
  if (isDirectory(node)) toggle(path);
  showPanel(path, { focus: !isDirectory(node) });
}

function toggle(path) {
  if (!open.delete(path)) open.add(path);
  drawTree();
}

function select(path) {
  if (selected !== path) closePanel();
  selected = path;
  drawTree();
  rowOf(path)?.focus();
}

const itemOf = (path) => [...byId("tree").children].find((item) => item.dataset.key === path);
const rowOf = (path) => itemOf(path)?.firstElementChild;

/** Shows a node of the tree even if the filter excludes it. */
function reveal(path) {
  const name = path.replace(/\/$/, "");
  const node = nodes.get(name) ?? nodes.get(`${name}/`);
  if (!node) return say(`There is no ${path}.`, true);
  byId("tree-filter").value = "";
  byId("tree-changed").checked = false;
  for (let parent = parentOf(node.path); parent; parent = parentOf(parent)) open.add(parent);
  select(node.path);
  showPanel(node.path, { focus: true });
}

function onTreeKey(event) {
  const item = event.target.closest("li");
  const row = item?.firstElementChild;
  if (event.target !== row) {
    // A key in the panel of a node. Escape leads back to the row.
    if (event.key === "Escape") row?.focus();
    return;
  }
  const node = nodes.get(item.dataset.key);
  const isOpen = row.ariaExpanded === "true";
  const move = {
    ArrowDown: () => item.nextElementSibling,
    ArrowUp: () => item.previousElementSibling,
    Home: () => byId("tree").firstElementChild,
    End: () => byId("tree").lastElementChild,
    ArrowLeft: () => (isOpen ? toggle(node.path) : itemOf(parentOf(node.path))),
    ArrowRight: () => (!isDirectory(node) ? null : isOpen ? item.nextElementSibling : toggle(node.path)),
    Enter: () => activate(node.path),
  }[event.key];
  if (!move) return;
  event.preventDefault();
  const next = move();
  if (next) select(next.dataset.key);
}
