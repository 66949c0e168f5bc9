// Faults, and scenarios that change the VM on a timeline.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { fault, start } from 'gce-metadata-server';
import { ask } from './support.mjs';

const TOKEN = 'instance/service-accounts/*/token';

let vm;
before(async () => (vm = await start()));
beforeEach(() => vm.reset());
after(() => vm.stop());

async function statuses(count) {
  const found = [];
  while (found.length < count) found.push((await ask(vm, 'instance/service-accounts/default/token'))[0]);
  return found;
}

test('instructions are consumed one by one', async () => {
  const added = await vm.faults.add(TOKEN, { instructions: ['return-503', 'return-429'] });
  assert.deepEqual(await statuses(3), [503, 429, 200]);
  assert.equal(await added.injected(), 2);
  assert.deepEqual((await vm.faults.list()).map(({ id }) => id), [added.id]);
});

test('a status is given some times, and a delay keeps the usual answer', async () => {
  await vm.faults.add(TOKEN, { status: 503, times: 1, body: 'try later' });
  assert.deepEqual(await statuses(2), [503, 200]);
  await vm.faults.add('instance/id', { delay: 50 });
  assert.equal((await ask(vm, 'instance/id'))[0], 200);
  assert.ok((await vm.requests('instance/id'))[0].entry.timing.totalTime >= 50);
});

test('faults are removed', async () => {
  const added = await vm.faults.add(fault(TOKEN, { status: 500 }));
  assert.deepEqual(await statuses(1), [500]);
  await added.remove();
  assert.deepEqual(await statuses(1), [200]);
  await vm.faults.add(TOKEN, { status: 500 });
  await vm.faults.clear();
  assert.deepEqual(await vm.faults.list(), []);
});

test('a wrong fault is refused', async () => {
  assert.throws(() => fault(TOKEN, { instructions: ['return-503'], status: 500 }), /either instructions, or a status/);
  await assert.rejects(vm.faults.add(TOKEN, { instructions: ['return-nonsense'] }), /expected return-STATUS, .*, at \/instructions\/0 \(status 422\)/);
});

test('a scenario is stepped and puts back its values', async () => {
  const run = await vm.scenario('preemption', { progression: 'manual', parameters: { notice: 120 } });
  assert.deepEqual(await ask(vm, 'instance/preempted'), [200, 'TRUE']);
  const states = [await run.state()];
  await run.step();
  states.push(await run.state());
  await run.advance('30s');
  assert.deepEqual([...states, await run.state()], ['Preempted', 'SoftOff', 'Off']);
  await run.stop();
  assert.deepEqual(await ask(vm, 'instance/preempted'), [200, 'FALSE']);
  await assert.rejects(vm.scenario('no-such-scenario'), { status: 404 });
});
