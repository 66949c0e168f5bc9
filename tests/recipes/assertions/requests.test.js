// What the program asked of the metadata server. Run by: gce-metadata-server exec -- node --test requests.test.js
const assert = require('node:assert');
const { beforeEach, test } = require('node:test');
const { GoogleAuth } = require('google-auth-library');

const ADMIN = `${process.env.GCE_METADATA_ADMIN}/__admin`;
const TOKEN = 'instance/service-accounts/*/token';
const IDENTITY = 'instance/service-accounts/*/identity';
const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only';
const AUDIENCE = 'https://service.example.com';

// The program under test.
async function program() {
  const auth = new GoogleAuth({ scopes: [SCOPE] });
  for (let count = 0; count < 3; count++) await auth.getAccessToken();
  const client = await auth.getIdTokenClient(AUDIENCE);
  await client.idTokenProvider.fetchIdToken(AUDIENCE);
}

// Asserts how often the server received such a request.
async function verify(request, times = { atLeast: 1 }) {
  const answer = await fetch(`${ADMIN}/requests/verify`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ request, times }),
  });
  if (answer.status !== 202) assert.fail((await answer.json()).detail);
}

beforeEach(async () => {
  await fetch(`${ADMIN}/requests`, { method: 'DELETE' });
  await program();
});

test('the access token has one scope', async () => {
  await verify({ path: TOKEN, queryParameters: { scopes: { equalTo: SCOPE } } });
  await verify({ path: TOKEN, queryParameters: { scopes: { doesNotMatch: SCOPE } } }, { atMost: 0 });
});

test('the identity token is for the service', async () => {
  await verify({ path: IDENTITY, queryParameters: { audience: { equalTo: AUDIENCE } } });
});

test('every request has the header', async () => {
  await verify({ headers: { 'Metadata-Flavor': { equalTo: 'Google' } } });
  await verify({ headers: { 'Metadata-Flavor': { absent: true } } }, { atMost: 0 });
});

test('a token is requested at most once a minute', async () => {
  const { requests } = await (await fetch(`${ADMIN}/requests`)).json();
  const tokens = requests.filter((event) => event.request.metadataServer.token?.kind === 'access');
  const dates = tokens.map((event) => event.request.loggedDate).sort((a, b) => a - b);
  assert.ok(dates.length > 0, 'no token was requested');
  assert.ok(dates.every((date, index) => index === 0 || date - dates[index - 1] >= 60_000), `${dates}`);
});
