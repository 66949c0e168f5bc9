// Scenarios: run, step, stop, and a timeline.

const scenarios = new Resource(async () => {
  const { scenarios } = await get("scenarios?details=true");
  const loaded = Date.now();
  // Running ones come first, then those that most programs must survive.
  const rank = (it) => (it.run ? 3 : ["live-migration", "preemption"].indexOf(it.name));
  scenarios.sort((a, b) => rank(b) - rank(a));
  reconcile(byId("scenario-list"), scenarios, (it) => it.name, scenarioCard, (card, it) => updateScenario(card, it, loaded));
  setCount("scenarios", scenarios.filter((it) => it.run).length || "");
});

/** The seconds of `1m30s`. */
function duration(text) {
  const units = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
  return [...String(text).matchAll(/([\d.]+)(ms|[smhd])/g)].reduce((sum, [, count, unit]) => sum + count * units[unit], 0);
}

function scenarioCard({ name, definition, parameters }) {
  const fields = el("div", { class: "fields" });
  for (const { name, type, values, default: preset = "", description } of parameters) {
    const choices = values ?? (type === "boolean" ? ["false", "true"] : null);
    const input = choices ? el("select", {}, ...choices.map((value) => el("option", {}, value))) : el("input", { placeholder: preset });
    input.name = `parameter ${name}`;
    fields.append(el("label", { title: description }, name, input));
  }
  const speed = el("input", { name: "speed", type: "number", min: 1, value: 1 });
  const manual = el("input", { name: "manual", type: "checkbox" });
  fields.append(el("label", { title: "60: an hour passes in a minute" }, "speed", speed), el("label", { class: "check" }, manual, "step by hand"));
  const path = `scenarios/${encodeURIComponent(name)}`;
  const change = (done, action, body) => attempt(done, () => call("POST", `${path}/${action}`, { body }), scenarios);
  const onsubmit = (event) => {
    event.preventDefault();
    const given = [...event.target.elements].filter((input) => input.name.startsWith("parameter ") && input.value);
    const parameters = Object.fromEntries(given.map((input) => [input.name.slice(10), input.value]));
    const progression = manual.checked ? "manual" : "time";
    change(`${name} runs`, "run", { parameters, progression, speed: Number(speed.value) || 1 });
  };
  const run = el("button", { class: "primary", "aria-label": `Run ${name}` }, "Run");
  const actions = [button("Step", () => change("", "step")), button("Stop", () => change(`${name} has ended`, "stop"), { class: "danger" })];
  return el(
    "form",
    { class: "card", onsubmit, "aria-label": name },
    div("head", el("h3", {}, name), el("span", { class: "next", role: "status" }), run, div("buttons", ...actions)),
    hint(definition.description ?? ""),
    el("ol", { class: "timeline" }),
    el("details", {}, el("summary", {}, "Options"), fields),
  );
}

function updateScenario(card, { definition, run, state }, loaded) {
  const [head, , timeline, options] = card.children;
  const [, next, start, actions] = head.children;
  card.classList.toggle("running", Boolean(run));
  start.hidden = options.hidden = Boolean(run);
  actions.hidden = timeline.hidden = !run;
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
