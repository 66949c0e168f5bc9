// When resources are fetched and drawn.

/** Something that is fetched again when an event says that it has changed: one request at a time, and one per `REFRESH`. */
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

// The stream of events, and the connection to the server.

/** Shows whether the page follows the server. */
function showConnection(isLive) {
  setPill("connection", isLive ? "Live" : "Connection lost", isLive);
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
