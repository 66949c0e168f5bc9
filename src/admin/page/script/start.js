// The tabs, and what is done when the page is loaded.

const TABS = ["requests", "waiting", "tokens", "scenarios", "faults"];

function showTab(name) {
  for (const tab of TABS) {
    const button = byId(`tab-${tab}`);
    button.setAttribute("aria-selected", String(tab === name));
    button.tabIndex = tab === name ? 0 : -1;
    byId(tab).hidden = tab !== name;
    byId(tab).tabIndex = 0;
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

function listen() {
  for (const input of document.querySelectorAll("input, textarea")) [input.autocomplete, input.spellcheck] = ["off", false];
  on("tree", "keydown", onTreeKey);
  on("tree-filter", "input", redrawer(() => ((treeLimit = MAX_TREE_ROWS), drawTree())));
  on("tree-changed", "change", drawTree);
  on("add", "click", () => showAddForm("instance/attributes/"));
  on("add-form", "submit", addKey);
  byId("add-form").elements.cancel.addEventListener("click", hideAddForm);

  on("fault-form", "submit", addFault);
  byId("fault-form").elements.kind.append(...Object.keys(FAULTS).map((kind) => el("option", {}, kind)));
  on("request-filter", "input", redrawRequests);
  on("only-unmatched", "change", drawRequests);
  on("pause", "click", () => setPaused(!paused));
  on("clear", "click", () => attempt("The journal is empty", () => call("DELETE", "requests"), journal));

  for (const tab of TABS) on(`tab-${tab}`, "click", () => showTab(tab));
  document.querySelector(".tabs").addEventListener("keydown", onTabKey);

  for (const close of document.querySelectorAll("[data-close]")) close.addEventListener("click", () => close.closest("dialog").close());
  for (const id of ["connect", "reset"]) on(id, "click", () => byId(`${id}-dialog`).showModal());
  on("copy-exports", "click", () => copy(byId("exports").textContent, "lines for a shell"));
  for (const [id, path, done] of [
    ["reset-metadata", "metadata/reset", "The metadata is that of the config file"],
    ["reset-all", "reset", "The server is as after its start"],
  ]) {
    on(id, "click", () => {
      byId("reset-dialog").close();
      attempt(done, () => call("POST", path), { refresh: refreshAll });
    });
  }
  setInterval(() => {
    countDown();
    if (!byId("waiting").hidden) drawWaiting();
  }, 1000);
  // No event says that the server has become ready, or that another client has added a fault.
  setInterval(() => {
    if (byId("lost").hidden && !document.hidden) for (const resource of [status, tokens, faults]) resource.refresh();
  }, 5000);
}

listen();
showTab("requests");
follow();
