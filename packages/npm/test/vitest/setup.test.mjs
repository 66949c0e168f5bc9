// The global setup: a server for all tests.

import { connect } from 'gce-metadata-server';
import { expect, test } from 'vitest';

test('the VM of the global setup is that of the config', async () => {
  const vm = await connect();
  expect(await vm.get('instance/attributes/color')).toBe('blue');
});
