// Reads the journal with WireMock's client for Node.
const assert = require('node:assert');
const { WireMock } = require('wiremock-captain');

const { GCE_METADATA_HOST: host, GCE_METADATA_ADMIN: admin } = process.env;
const ID = '/computeMetadata/v1/instance/id';

(async () => {
  const mock = new WireMock(admin);
  for (const path of [ID, ID, '/computeMetadata/v1/none']) {
    await fetch(`http://${host}${path}`, { headers: { 'Metadata-Flavor': 'Google' } });
  }
  assert.equal((await mock.getAllRequests()).length, 3);
  assert.equal((await mock.getRequestsForAPI('GET', ID)).length, 2);
  assert.equal((await mock.getUnmatchedRequests()).length, 1);
  assert.deepEqual(await mock.getAllMappings(), []);
  const preemption = (await mock.getAllScenarios()).find((scenario) => scenario.name === 'preemption');
  assert.deepEqual(preemption.possibleStates, ['Started', 'Preempted', 'Off']);
  await mock.resetAllScenarios();
  await mock.clearAllExceptDefault();
  assert.equal((await mock.getAllRequests()).length, 0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
