// gcp-metadata detects the server and reads values, including 64-bit integers.

const assert = require('node:assert/strict');
const metadata = require('gcp-metadata');

async function main() {
  assert.equal(await metadata.isAvailable(), true, 'the server is not recognised');
  assert.equal(await metadata.project('project-id'), 'sample-project');
  assert.equal(String(await metadata.instance('id')), '5775171277418378001');
  assert.equal(await metadata.instance('attributes/my-key'), 'my value');
  assert.deepEqual(await metadata.instance('tags'), ['http-server', 'https-server']);
  const instance = await metadata.instance({ params: { recursive: 'true' } });
  assert.equal(instance.networkInterfaces[0].ip, '10.128.0.19');
  assert.equal(instance.serviceAccounts.default.token, undefined, 'recursion shows a token');
  const bulk = await metadata.bulk([{ metadataKey: 'instance/zone' }, { metadataKey: 'project/numeric-project-id' }]);
  assert.deepEqual(bulk, { 'instance/zone': 'projects/123456789012/zones/us-central1-a', 'project/numeric-project-id': 123456789012 });
  await assert.rejects(metadata.instance('attributes/none'), /404/);
  console.log('gcp-metadata: ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
