const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { setTimeout: pause } = require('node:timers/promises');
const gcpMetadata = require('gcp-metadata');
const { Compute, GoogleAuth } = require('google-auth-library');
const { metadata, waitForPreemption, Reports } = require('./app.js');

async function eventually(condition) {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, 'not within 30 seconds');
    await pause(100);
  }
}

// The server follows its config file. Renaming shows it the whole new file at once.
const config = path.join(__dirname, 'vm.json');
const original = fs.readFileSync(config, 'utf8');

function changeVm(values) {
  const vm = JSON.parse(original);
  Object.assign(vm.instance, values);
  fs.writeFileSync(`${config}.new`, JSON.stringify(vm));
  fs.renameSync(`${config}.new`, config);
}

after(() => fs.writeFileSync(config, original));

// A storage service that accepts the tokens of the metadata server until they expire.
const expiry = new Map();
const tokens = [];
const hasExpired = (token) => (expiry.get(token) ?? 0) <= Date.now();

const storage = http.createServer(async (request, response) => {
  const current = JSON.parse((await metadata('instance/service-accounts/default/token')).text);
  // expires_in is rounded down to seconds.
  expiry.set(current.access_token, Date.now() + (current.expires_in + 1) * 1000);
  const token = request.headers.authorization?.replace('Bearer ', '');
  tokens.push(token);
  response.writeHead(hasExpired(token) ? 401 : 200).end('all is well');
});

before(() => new Promise((listening) => storage.listen(0, '127.0.0.1', listening)));
after(() => storage.close());

test('the default credentials are those of the VM', async () => {
  const auth = new GoogleAuth();
  assert.ok((await auth.getClient()) instanceof Compute);
  assert.equal(await auth.getProjectId(), 'my-project');
});

test('a custom attribute', async () => {
  assert.equal(await gcpMetadata.instance('attributes/color'), 'blue');
});

test('the program notices that its VM is preempted', async () => {
  const preempted = waitForPreemption();
  changeVm({ preempted: 'TRUE' });
  await preempted;
});

test('a request after the token has expired has a new token', async () => {
  const reports = new Reports(`http://127.0.0.1:${storage.address().port}`);
  assert.equal(await reports.download('today'), 'all is well');
  const first = tokens.at(-1);
  await eventually(() => hasExpired(first));
  assert.equal(await reports.download('today'), 'all is well');
  assert.notEqual(tokens.at(-1), first);
});
