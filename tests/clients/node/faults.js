// Makes, lists, counts and removes faults with WireMock's client for Node.
const assert = require('node:assert');
const { WireMock, WireMockFault, DelayType, EndpointFeature } = require('wiremock-captain');

const { GCE_METADATA_HOST: host, GCE_METADATA_ADMIN: admin } = process.env;
const ID = '/computeMetadata/v1/instance/id';

const ask = (path) => fetch(`http://${host}${path}`, { headers: { 'Metadata-Flavor': 'Google' } });

(async () => {
  const mock = new WireMock(admin);
  const request = { method: 'GET', endpoint: ID };
  const response = { status: 429, body: { error: 'busy' }, headers: { 'Retry-After': '1' } };

  // Make, show, list.
  const delay = { type: DelayType.FIXED, constantDelay: 100 };
  const added = await mock.register(request, response, { responseDelay: delay, stubPriority: 1 });
  const start = performance.now();
  const answer = await ask(ID);
  assert.ok(performance.now() - start >= 100);
  assert.deepEqual([answer.status, answer.headers.get('retry-after'), await answer.json()], [429, '1', { error: 'busy' }]);
  assert.equal((await mock.getMapping(added.id)).response.status, 429);
  assert.deepEqual((await mock.getAllMappings()).map((mapping) => mapping.id), [added.id]);

  // Count.
  assert.equal((await mock.getRequestsForAPI('GET', ID)).length, 1);

  // Remove.
  await mock.deleteMapping(added.id);
  assert.equal((await ask(ID)).status, 200);

  // A reset connection, for all paths that match.
  const pattern = { method: 'GET', endpoint: '/computeMetadata/v1/instance/.*' };
  const reset = { fault: WireMockFault.CONNECTION_RESET_BY_PEER, requestEndpointFeature: EndpointFeature.UrlPathPattern };
  const broken = await mock.register(pattern, { status: 200 }, reset);
  await assert.rejects(ask(ID), (error) => error.cause.code === 'ECONNRESET');
  await mock.deleteMapping(broken.id);

  // A slow body.
  const dribble = { type: DelayType.CHUNKED_DRIBBLE, numberOfChunks: 4, totalDuration: 200 };
  await mock.register(request, { status: 200, body: { slow: true } }, { responseDelay: dribble });
  const slow = performance.now();
  assert.deepEqual(await (await ask(ID)).json(), { slow: true });
  assert.ok(performance.now() - slow >= 200);
  await mock.clearAll();
  assert.deepEqual([await mock.getAllMappings(), await mock.getAllRequests()], [[], []]);
  assert.equal((await ask(ID)).status, 200);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
