// A registry at a free port, which has the packages that are published to it and passes on all others.
//
// node registry.js FOLDER  prints the port when it answers.

const { mkdirSync } = require('node:fs');
const { join } = require('node:path');
const { runServer } = require('verdaccio');

const folder = process.argv[2];
const own = { access: '$all', publish: '$all' };

async function main() {
  mkdirSync(join(folder, 'storage'), { recursive: true });
  const server = await runServer({
    self_path: join(folder, 'config.yaml'),
    storage: join(folder, 'storage'),
    uplinks: { npm: { url: process.env.npm_config_registry ?? 'https://registry.npmjs.org/', maxage: '1h' } },
    packages: { 'gce-metadata-server': own, 'gce-metadata-server-*': own, '**': { access: '$all', proxy: 'npm' } },
    auth: {},
    web: { enable: false },
    max_body_size: '100mb',
    log: { type: 'stdout', format: 'json', level: 'error' },
  });
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));
}

// The registry ends with the test that started it.
process.stdin.resume().on('end', () => process.exit());
main();
