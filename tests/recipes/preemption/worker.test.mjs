import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

test('the work is saved when the machine is preempted', async () => {
  const scenarios = `${process.env.GCE_METADATA_ADMIN}/__admin/scenarios`;
  const worker = spawn(process.execPath, ['worker.mjs'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: worker.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'working');
  const run = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"parameters": {"notice": 120}}' };
  assert.ok((await fetch(`${scenarios}/preemption/run`, run)).ok);
  assert.equal((await lines.next()).value, 'saved');
  assert.ok((await fetch(`${scenarios}/reset`, { method: 'POST' })).ok);
});
