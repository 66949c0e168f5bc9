// Node's https module with a client certificate.
const assert = require('node:assert');
const fs = require('node:fs');
const https = require('node:https');

const [host, port] = process.env.MTLS_ADDRESS.split(':');
const combined = fs.readFileSync(`${process.env.MTLS_FOLDER}/client.key`);
const ca = fs.readFileSync(`${process.env.MTLS_FOLDER}/root.crt`);

function get(agent, path) {
  const options = { host, port, path, agent, servername: 'metadata.google.internal', headers: { 'Metadata-Flavor': 'Google' } };
  return new Promise((resolve, reject) => {
    https.get(options, (answer) => {
      let body = '';
      answer.on('data', (chunk) => (body += chunk));
      answer.on('end', () => resolve(body));
    }).on('error', reject);
  });
}

async function main() {
  const known = new https.Agent({ ca, cert: combined, key: combined, keepAlive: true });
  const path = '/computeMetadata/v1/project/project-id';
  for (const _ of [1, 2]) assert.equal(await get(known, path), 'sample-project');
  await assert.rejects(get(new https.Agent({ ca }), path), /certificate required|alert|reset|hang up/);
  known.destroy();
  console.log('node https: ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
