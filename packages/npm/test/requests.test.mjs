// What a program asked, and expectations.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { VerificationError, start } from 'gce-metadata-server';
import { ask } from './support.mjs';

const TOKEN = 'instance/service-accounts/default/token';

let vm;
before(async () => (vm = await start()));
beforeEach(() => vm.reset());
after(() => vm.stop());

const paths = async (...filter) => (await vm.requests(...filter)).map((request) => request.path);

test('requests are listed in their order with their answers', async () => {
  await ask(vm, 'instance/id');
  await ask(vm, `${TOKEN}?scopes=a,b`);
  await ask(vm, 'instance/preemptd');
  const requests = await vm.requests();
  assert.deepEqual(
    requests.map(({ method, path, status }) => [method, path, status]),
    [
      ['GET', 'instance/id', 200],
      ['GET', TOKEN, 200],
      ['GET', 'instance/preemptd', 404],
    ],
  );
  assert.equal(requests[1].query.get('scopes'), 'a,b');
  assert.equal(requests[0].headers['Metadata-Flavor'] ?? requests[0].headers['metadata-flavor'], 'Google');
  assert.ok(Math.abs(Date.now() - requests[0].received.getTime()) < 60_000);
  assert.deepEqual(await paths(undefined, { unmatched: true }), ['instance/preemptd']);
});

test('requests are filtered as the server does it', async () => {
  await ask(vm, 'instance/id?a=1&a=2');
  await ask(vm, TOKEN);
  assert.deepEqual(await paths('instance/service-accounts/*/token'), [TOKEN]);
  for (const path of ['instance/id', 'instance/*', '/computeMetadata/v1/instance/id', 'instance/i.', 'instance/id/*']) {
    for (const filter of [{}, { method: 'post' }, { query: { a: '2' } }, { query: { a: '3' } }]) {
      const count = await vm.verify(path, { ...filter, atLeast: 0 });
      assert.equal((await vm.requests(path, filter)).length, count, `${path} ${JSON.stringify(filter)}`);
    }
  }
});

test('expectations hold', async () => {
  for (let count = 0; count < 3; count++) await ask(vm, 'instance/id');
  assert.equal(await vm.verify('instance/id'), 3);
  assert.equal(await vm.verify('instance/id', { times: 3 }), 3);
  assert.equal(await vm.verify('instance/id', { atLeast: 1, atMost: 3 }), 3);
  assert.equal(await vm.verify('instance/name', { times: 0 }), 0);
});

test('a failed expectation says what was asked instead', async () => {
  await ask(vm, 'instance/preemptd');
  await assert.rejects(vm.verify('instance/preempted'), (error) => {
    assert.ok(error instanceof VerificationError);
    assert.match(error.message, /^expected at least 1 request for /);
    assert.match(error.message, /the nearest other requests are:\n {2}GET \/computeMetadata\/v1\/instance\/preemptd$/);
    return true;
  });
  await assert.rejects(vm.verify('instance/preemptd', { times: 2 }), /no such key; the nearest keys are:\n {2}instance\/preempted/);
});

test('an expectation waits', async () => {
  const verified = vm.verify('instance/id', { within: 30_000 });
  await ask(vm, 'instance/id');
  assert.equal(await verified, 1);
});
