// Faults, as stub mappings.

/** The kinds of faults in the form, as responses of stub mappings. */
const FAULTS = {
  "503 Service Unavailable": { status: 503 },
  "429 Too Many Requests": { status: 429, headers: { "Retry-After": "1" } },
  "500 Internal Server Error": { status: 500 },
  "404 Not Found": { status: 404 },
  "Answers 2 s late": { proxyBaseUrl: "http://metadata.google.internal", fixedDelayMilliseconds: 2000 },
  "Never answers": { fixedDelayMilliseconds: 86400000 },
  "Resets the connection": { fault: "CONNECTION_RESET_BY_PEER" },
  "Closes without an answer": { fault: "EMPTY_RESPONSE" },
};

const faults = new Resource(async () => {
  const { mappings } = await get("mappings");
  reconcile(byId("fault-list"), mappings, (fault) => fault.id, faultCard, updateFault);
  setCount("faults", mappings.length);
  setText(byId("fault-note"), mappings.length ? "" : "No faults: every request is answered as usual.");
});

function faultCard(fault) {
  const path = `mappings/${fault.id}`;
  const change = (done, method, body) => attempt(done, () => call(method, path, { body }), faults);
  const { request, response, instructions } = fault;
  const target = request.urlPath ?? request.urlPathPattern ?? request.url ?? request.urlPattern ?? "every path";
  const remove = button("Remove", () => change("The fault is removed", "DELETE"), { class: "danger" });
  const head = el("div", { class: "head" }, el("h3", { class: "next" }, fault.name ?? target), remove);
  return el("li", { class: "card" }, head, el("code", {}, `${target} ${JSON.stringify(instructions ?? response)}`), el("p", { class: "hint" }));
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
  const name = withoutPrefix(path.value);
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
