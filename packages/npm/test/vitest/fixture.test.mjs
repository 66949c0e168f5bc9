// The fixture `vm`.

import { expect } from 'vitest';
import { test, testOnVm } from 'gce-metadata-server/vitest';
import { ask } from '../support.mjs';

let pid;

test('the VM is that of process.env', async ({ vm, metadataServer }) => {
  expect(vm).toBe(metadataServer);
  pid = vm.pid;
  expect(process.env.GCE_METADATA_HOST).toBe(vm.host);
  await vm.set('instance/attributes/color', 'blue');
  expect(await ask(vm, 'instance/attributes/color')).toEqual([200, 'blue']);
});

test('the VM is reset between tests', async ({ vm }) => {
  expect(vm.pid).toBe(pid);
  expect(Object.keys(await vm.get('instance/attributes'))).not.toContain('color');
  expect(await vm.requests()).toEqual([]);
});

test('process.env is put back', () => {
  // That of the global setup.
  expect(process.env.GCE_METADATA_HOST).toBe(process.env.HOST_OF_THE_GLOBAL_SETUP);
});

testOnVm({ config: { instance: { attributes: { color: 'green' } } } })('a VM of your own', async ({ vm }) => {
  expect(await vm.get('instance/attributes/color')).toBe('green');
});
