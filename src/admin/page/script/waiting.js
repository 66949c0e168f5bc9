// The programs that wait for a change.

let waiting = [];

const waiters = new Resource(async () => {
  const { waiters } = await get("waiters");
  waiting = waiters.map((waiter) => ({ ...waiter, start: Date.now() - waiter.milliseconds }));
  drawWaiting();
});

function drawWaiting() {
  const drawn = waiting.slice(0, MAX_ROWS);
  // One client may wait twice for the same.
  const key = (waiter, index) => `${index} ${waiter.url} ${waiter.since}`;
  reconcile(byId("waiting-rows"), drawn, key, waiterRow, (row, waiter) => {
    const age = (Date.now() - waiter.start) / 1000;
    setText(row.children[2], seconds(age));
    setText(row.children[3], waiter.timeoutSec ? seconds(waiter.timeoutSec - age) : "never");
  });
  setCount("waiting", waiting.length);
  const note = waiting.length > MAX_ROWS ? `The first ${MAX_ROWS} of ${waiting.length} are shown.` : "";
  setText(byId("waiting-note"), waiting.length ? note : "No program waits for a change now.");
}

const waiterRow = ({ client, path }) =>
  tableRow(client ?? "socket", el("td", { class: "path" }, path || "/"), numberCell(), numberCell(), path ? button("Change", () => reveal(path)) : "");
