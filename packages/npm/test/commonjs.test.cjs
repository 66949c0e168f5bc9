// The package as a CommonJS module is the same as for `import`.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const required = require('gce-metadata-server');

test('require and import share the classes', async () => {
  const imported = await import('gce-metadata-server');
  assert.equal(required.MetadataServer, imported.MetadataServer);
  for (const name of Object.keys(required)) assert.equal(required[name], imported[name], name);
});
