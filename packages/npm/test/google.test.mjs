// google-auth-library and @google-cloud/storage, which ask the server, and a made-up storage service.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { Storage } from '@google-cloud/storage';
import { Compute, GoogleAuth } from 'google-auth-library';
import { start } from 'gce-metadata-server';

let vm;
let restore;
before(async () => {
  vm = await start();
  restore = vm.patchEnv();
});
after(async () => {
  restore();
  await vm.stop();
});

test('the default credentials are those of the VM', async () => {
  const auth = new GoogleAuth();
  assert.ok((await auth.getClient()) instanceof Compute);
  assert.equal(await auth.getProjectId(), 'sample-project');
  assert.ok(await auth.getAccessToken());
  await vm.verify('instance/service-accounts/default/token');
});

test('a storage client uses the tokens of the VM', async () => {
  await vm.tokens.set({ accessToken: 'made-up-token', expiresIn: 3600 });
  const tokens = new Set();
  const service = http.createServer((request, response) => {
    tokens.add(request.headers.authorization);
    response.end('all is well');
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  try {
    const storage = new Storage({ apiEndpoint: `http://127.0.0.1:${service.address().port}`, useAuthWithCustomEndpoint: true });
    const [content] = await storage.bucket('reports').file('today').download({ validation: false });
    assert.equal(content.toString(), 'all is well');
    assert.deepEqual([...tokens], ['Bearer made-up-token']);
  } finally {
    service.closeAllConnections();
    service.close();
  }
});
