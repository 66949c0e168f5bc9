// The top line: the machine, whether it is ready, and the lines for a shell.

const status = new Resource(async () => {
  const now = await get("status");
  for (const name of ["project", "instance", "account"]) {
    setText(byId(name), now[name] ?? "none");
    byId(name).title = now[name] ?? "";
  }
  document.title = `${now.instance ?? "Metadata server"} · Metadata server`;
  setPill("ready", now.ready ? "Ready" : `Not ready: ${now.reasons.join("; ")}`, now.ready);
  setText(byId("exports"), Object.entries(now.environment).map(([name, value]) => `export ${name}=${value}\n`).join(""));
  hasJournal = now.journal;
});
