// Start, stop, and what a test changes.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { AdminError, BinaryNotFoundError, ServerError, connect, findBinary, start } from 'gce-metadata-server';
import { ask, eventually, run, runs } from './support.mjs';

const CONFIG = { instance: { attributes: { color: 'blue' } }, project: { projectId: 'my-project' } };

let vm;
before(async () => (vm = await start()));
beforeEach(() => vm.reset());
after(() => vm.stop());

/** What `await using` does, which Node 20 can't parse. */
async function withServer(options, action) {
  const own = await start(options);
  try {
    await action(own);
  } finally {
    await own[Symbol.asyncDispose]();
    assert.ok(!runs(own.pid));
  }
}

test('the config is an object or a file', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'vm-')), 'vm.json');
  writeFileSync(file, JSON.stringify(CONFIG));
  for (const config of [CONFIG, file]) {
    await withServer({ config }, async (own) => {
      assert.deepEqual(await ask(own, 'instance/attributes/color'), [200, 'blue']);
      assert.equal(await own.get('project/project-id'), 'my-project');
    });
  }
});

test('options are passed on', async () => {
  await withServer({ args: ['--offline-token-lifetime', '10s'] }, async (own) => {
    const [, token] = await ask(own, 'instance/service-accounts/default/token');
    assert.ok(JSON.parse(token).expires_in <= 10);
  });
});

test('a server that does not start says why', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'vm-')), 'vm.json');
  writeFileSync(file, '{"instance": 5}');
  await assert.rejects(start({ config: file }), (error) => error instanceof ServerError && /exit status 1[^]*vm.json:1:/.test(error.message));
  await assert.rejects(start({ args: ['--no-such-option'] }), /--no-such-option/);
  await assert.rejects(start({ args: ['--domain-socket', `${file}.socket`] }), /no HTTP listener/);
});

test('a large config needs a file', async () => {
  const config = { instance: { attributes: { 'startup-script': 'x'.repeat(200_000) } } };
  await assert.rejects(start({ config }), (error) => error instanceof ServerError && /to a file/.test(error.message));
});

test('stop ends the process and keeps the log', async () => {
  const own = await start();
  await eventually(() => own.log.includes('listening'));
  await Promise.all([own.stop(), own.stop()]);
  await own.stop();
  assert.ok(!runs(own.pid));
  assert.match(own.log, /draining/);
  await assert.rejects(own.reset(), /no answer from http:\/\/127.0.0.1/);
});

test('the folder for a login is removed', async () => {
  const own = await start();
  const folder = own.env.CLOUDSDK_CONFIG;
  assert.deepEqual(readdirSync(folder), []);
  await own.stop();
  assert.throws(() => readdirSync(folder), /ENOENT/);
});

for (const action of ['', 'process.exit(3)', 'throw new Error()', "process.kill(process.pid, 'SIGTERM')", "process.kill(process.pid, 'SIGKILL')"]) {
  test(`the server ends with its program: ${action || 'no stop'}`, async () => {
    const code = `const { start } = require('gce-metadata-server'); start().then((vm) => { console.log(vm.pid); ${action} });`;
    const { stdout } = await run(process.execPath, ['-e', code], { cwd: import.meta.dirname });
    await eventually(() => !runs(Number(stdout)));
    assert.ok(Number(stdout) > 0);
  });
}

test('the process sees the VM and then its own environment again', async () => {
  process.env.NO_GCE_CHECK = 'true';
  const original = { ...process.env };
  const restore = vm.patchEnv();
  assert.equal(process.env.GCE_METADATA_HOST, vm.host);
  assert.equal(process.env.NO_GCE_CHECK, undefined);
  assert.equal(await (await connect()).get('project/project-id'), 'sample-project');
  restore();
  assert.deepEqual({ ...process.env }, original);
  assert.equal(vm.env.NO_GCE_CHECK, undefined);
  delete process.env.NO_GCE_CHECK;
  await assert.rejects(connect(), /not set/);
});

test('values are set, patched, removed and reset', async () => {
  await vm.set('instance/attributes/color', 'blue');
  await vm.patch({ instance: { attributes: { size: 'L', 'my-key': null } } });
  await vm.patch({ count: '2' }, 'instance/attributes');
  await vm.unset('instance/attributes/enable-oslogin');
  assert.deepEqual(await vm.get('instance/attributes'), { color: 'blue', count: '2', size: 'L' });
  await vm.replace(CONFIG);
  assert.deepEqual(await ask(vm, 'instance/attributes/?recursive=true'), [200, '{"color":"blue"}']);
  await vm.reset();
  assert.equal(await vm.get('instance/attributes/my-key'), 'my value');
});

test('a change wakes a program that waits', async () => {
  const answer = ask(vm, 'instance/preempted?wait_for_change=true&last_etag=0');
  await vm.set('instance/preempted', 'TRUE');
  assert.equal((await answer)[0], 200);
});

test('a refused change says why', async () => {
  await assert.rejects(vm.set('instance', 5), (error) => {
    assert.ok(error instanceof AdminError);
    assert.equal(error.status, 422);
    assert.match(error.message, /^PUT \/__admin\/metadata\/instance: instance: an object is expected/);
    return true;
  });
});

test('tokens are given, rotated and cleared', async () => {
  const token = async () => JSON.parse((await ask(vm, 'instance/service-accounts/default/token'))[1]).access_token;
  await vm.tokens.set({ accessToken: 'made-up', expiresIn: 60 });
  assert.equal(await token(), 'made-up');
  assert.ok(!(JSON.stringify(await vm.tokens.status()) + vm.log).includes('made-up'));
  await vm.tokens.clear();
  const first = await token();
  assert.equal(await token(), first);
  await vm.tokens.rotate();
  assert.notEqual(await token(), first);
});

test('the token of the admin API is sent and not shown', async () => {
  process.env.GCE_METADATA_ADMIN_TOKEN = 'made-up-secret';
  try {
    await withServer({}, async (own) => {
      const error = await own.set('instance', 5).catch((refused) => refused);
      assert.equal(error.status, 422);
      delete process.env.GCE_METADATA_ADMIN_TOKEN;
      await assert.rejects(own.get(), { status: 401 });
      assert.ok(!`${error.stack}${JSON.stringify(error.problem)}${own.log}`.includes('made-up-secret'));
    });
  } finally {
    delete process.env.GCE_METADATA_ADMIN_TOKEN;
  }
});

test('a program that is not there is named with the remedy', () => {
  const before = { ...process.env };
  process.env.GCE_METADATA_SERVER_BINARY = '/none';
  try {
    assert.throws(findBinary, (error) => error instanceof BinaryNotFoundError && /names \/none/.test(error.message));
  } finally {
    process.env = before;
  }
});
