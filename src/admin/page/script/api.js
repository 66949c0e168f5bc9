// Requests to the admin API, and the admin token.

/** The admin token, once it was asked for. */
let token = null;
/** The question for the token that is open. */
let asking = null;

/** An error answer of the API. */
class ApiError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Sends a request to the API. Asks for the token if the server wants one. */
async function send(method, path, { body, headers = {}, signal } = {}) {
  const sent = token;
  const all = { ...headers };
  if (sent) all.Authorization = `Bearer ${sent}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  const init = { method, headers: all, signal, body: body === undefined ? undefined : JSON.stringify(body) };
  const answer = await fetch(`/__admin/${path}`, init);
  if (answer.status !== 401) return answer;
  await askForToken(sent);
  return send(method, path, { body, headers, signal });
}

/** The JSON of the answer, and its entity tag. Throws an `ApiError`. */
async function call(method, path, options) {
  const answer = await send(method, path, options);
  const text = await answer.text();
  if (!answer.ok) throw new ApiError(answer.status, detail(text) ?? `${answer.status} ${answer.statusText}`);
  return { value: text ? parseJson(text) : null, tag: answer.headers.get("ETag") };
}

/** The detail of a problem document. */
function detail(text) {
  try {
    return JSON.parse(text).detail;
  } catch {
    return undefined;
  }
}

const get = async (path) => (await call("GET", path)).value;

/** A path as a person writes it, without the prefix that all have. */
const withoutPrefix = (path) => path.trim().replace(/^\/?(computeMetadata\/v1\/)?/, "");

/** The path of a node in a URL. */
const encodePath = (path) => path.split("/").filter(Boolean).map(encodeURIComponent).join("/");

/** What is wrong with something that the user has typed. */
const inputError = (error) => (error instanceof SyntaxError ? `Not JSON: ${error.message}` : error.message);

/** Asks for the token. `refused` is the token that the server did not accept. */
function askForToken(refused) {
  if (token !== refused) return Promise.resolve();
  asking ??= new Promise((resolve) => {
    const [dialog, form] = [byId("token-dialog"), byId("token-form")];
    form.querySelector(".problem").textContent = refused ? "The server did not accept this token." : "";
    form.onsubmit = (event) => {
      event.preventDefault();
      token = form.elements.token.value;
      form.reset();
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}
