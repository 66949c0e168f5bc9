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

function faultCard({ id, name, request = {}, response, instructions }) {
  const change = (done, method, body) => attempt(done, () => call(method, `mappings/${id}`, { body }), faults);
  const target = request.path ?? request.urlPath ?? request.urlPathPattern ?? request.url ?? request.urlPattern ?? "every path";
  const remove = button("Remove", () => change("The fault is removed", "DELETE"), { class: "danger" });
  const turn = button("", () => change("", "PUT", turned(card.fault)));
  const head = div("head", el("h3", { class: "next" }, name ?? target), turn, remove);
  const card = el("li", { class: "card" }, head, el("code", {}, `${target} ${JSON.stringify(instructions ?? response)}`), hint(""));
  return card;
}

function updateFault(card, fault) {
  card.fault = fault;
  const { matched, injected, completed } = fault.metadata.metadataServer;
  const state = isOff(fault) ? "; it is off" : completed ? "; it is used up" : "";
  setText(card.querySelector(".hint"), `matched ${matched}, injected ${injected}${state}`);
  setText(card.querySelector("button"), isOff(fault) ? "Turn on" : "Turn off");
}

const isOff = (fault) => fault.probability === 0;

/** The document of a fault that is turned off or on. A fault that is off has the probability 0, and keeps the former one aside. */
function turned({ probability, metadata = {}, ...fault }) {
  if (probability !== 0) return { ...fault, probability: 0, metadata: { ...metadata, probability } };
  return { ...fault, probability: metadata.probability ?? 1, metadata };
}

function prepareFault(path) {
  showTab("faults");
  const form = byId("fault-form");
  form.elements.path.value = path;
  form.elements.kind.focus();
}

/** Adds the fault of the form. A segment `*` of the path stands for any name. */
async function addFault(event) {
  event.preventDefault();
  const form = event.target;
  const { path, kind, times } = form.elements;
  const name = withoutPrefix(path.value);
  const body = { name: `${name}: ${kind.value}`, request: { path: name }, response: FAULTS[kind.value] };
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
