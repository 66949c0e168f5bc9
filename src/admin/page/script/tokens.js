// The state of the tokens of each account.

const tokens = new Resource(async () => {
  const { accounts } = await get("tokens");
  const loaded = Date.now();
  reconcile(byId("accounts"), accounts, (account) => account.account, accountCard, (card, account) => updateAccount(card, account, loaded));
  setCount("tokens", accounts.length);
});

function accountCard({ account }) {
  const path = `tokens/${encodeURIComponent(account)}`;
  const change = (done, method, suffix, body) => () => attempt(done, () => call(method, path + suffix, { body }), tokens);
  const head = el("thead", {}, el("tr", {}, ...["Kind", "Scopes or audience", "Ends in"].map((name) => el("th", {}, name))));
  const buttons = [
    button("Rotate", change("The next request gets a new token", "POST", "/rotate")),
    button("Expire in 10 s", change("New tokens of this account end in 10 s", "PUT", "", { lifetime: 10 })),
    button("Back to normal", change("The account's source answers as usual", "DELETE", "")),
  ];
  const table = el("table", {}, head, el("tbody"));
  return div("card", el("h3", {}, account), hint(""), table, el("p", { class: "problem" }), div("buttons", ...buttons));
}

function updateAccount(card, account, loaded) {
  const [, source, table, problem] = card.children;
  const behaviour = Object.entries(account.behaviour ?? {}).map(([name, value]) => `${name} ${value}`);
  setText(source, [`Source: ${account.source}`, ...behaviour].join(" · "));
  const rows = [];
  for (const [kind, tokens] of [["access", account.accessTokens], ["identity", account.idTokens]]) {
    if (tokens.given) rows.push({ kind: `${kind}, given`, what: `then ${tokens.given.then}`, left: tokens.given.expiresIn });
    for (const cached of tokens.cached) rows.push({ kind, what: cached.audience ?? (cached.scopes.join(" ") || "default scopes"), left: cached.expiresIn });
  }
  const key = (row) => `${row.kind} ${row.what}`;
  reconcile(table.tBodies[0], rows, key, (row) => tableRow(row.kind, row.what, ""), (row, { left }) => {
    row.children[2].dataset.end = left === null ? "" : loaded + left * 1000;
  });
  table.hidden = !rows.length;
  const errors = [account.accessTokens.lastError, account.idTokens.lastError].filter(Boolean);
  setText(problem, errors.join("; "));
  countDown();
}

/** Counts down to the end of each token and of each step of a scenario. */
function countDown() {
  for (const cell of document.querySelectorAll("[data-end]")) {
    const left = (Number(cell.dataset.end) - Date.now()) / 1000;
    setText(cell, cell.dataset.end === "" ? "never" : left > 0 ? seconds(left) : "ended");
  }
}
