// The requests of programs.

/** The requests, the newest first: text until they are drawn, then objects. */
let requests = [];
let hasJournal = true;
/** The requests that are shown while the list is paused. */
let paused = null;
let expanded = null;

const journal = new Resource(async () => {
  requests = (await get(`requests?limit=${MAX_REQUESTS}`)).requests;
  drawRequests();
});

function addRequest(data) {
  requests.unshift(data);
  if (requests.length > MAX_REQUESTS * 1.2) requests.length = MAX_REQUESTS;
  if (!paused) redrawRequests();
}

/** Parses a request, if it is not parsed yet. */
function parseAt(list, index) {
  if (typeof list[index] === "string") list[index] = JSON.parse(list[index]);
  return list[index];
}

function drawRequests() {
  const words = wordsOf("request-filter");
  const onlyUnmatched = byId("only-unmatched").checked;
  const [list, found, ids] = [paused ?? requests, [], new Set()];
  for (let index = 0; index < list.length && found.length < MAX_ROWS; index++) {
    const event = parseAt(list, index);
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
  setCount("requests", requests.length < MAX_REQUESTS ? requests.length : `${MAX_REQUESTS}+`);
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

function requestRow(event) {
  const { request, response } = event;
  const [path, query] = withoutPrefix(request.url).split(/\?(.*)/s);
  const date = new Date(request.loggedDate);
  const time = `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  const status = response.status ?? "left";
  const style = status === "left" || status >= 500 ? "bad" : status >= 400 ? "warning" : "good";
  const toggle = button("", () => expand(event.id), { class: "link path", "aria-expanded": "false" });
  toggle.append(path || "/", query === undefined ? "" : el("span", { class: "query" }, `?${query}`));
  return tableRow(
    numberCell(time),
    request.clientIp ?? "socket",
    request.method,
    el("td", { class: "path" }, toggle),
    el("span", { class: `badge ${style}` }, String(status)),
    numberCell(`${event.timing.totalTime} ms`),
    el("td", { class: "notes" }, notesOf(event, request.metadataServer)),
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
  setPaused(Boolean(expanded || paused));
}

/** The details of a request: what can be done with it, and its headers. */
function detailsRow(event) {
  const { request, response } = event;
  const path = request.metadataServer.path ?? withoutPrefix(request.url).split("?")[0];
  const found = event.wasMatched ? button("Show in the tree", () => reveal(path)) : button("Add this key", () => showAddForm(path));
  const actions = div("buttons", path && found, button("Fault this path", () => prepareFault(path)));
  const headers = (of) => pairs(Object.entries(of.headers ?? {}).map(([name, value]) => [name, [value].flat().join(", ")]));
  const asked = [el("h3", {}, "Request"), headers(request), request.body && el("pre", {}, request.body)];
  return tableRow(el("td", { class: "details", colSpan: 7 }, actions, ...asked, el("h3", {}, "Answer"), headers(response)));
}

function setPaused(isPaused) {
  paused = isPaused ? (paused ?? requests.slice()) : null;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  setText(byId("pause"), isPaused ? "Resume" : "Pause");
  if (!isPaused) expanded = null;
  drawRequests();
}
