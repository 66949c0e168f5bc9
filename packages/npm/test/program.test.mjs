// `npx gce-metadata-server`: the program with the arguments, the signals and the exit status of the script.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { eventually, run, runs } from './support.mjs';

const script = join(dirname(createRequire(import.meta.url).resolve('gce-metadata-server/package.json')), 'bin/gce-metadata-server.js');

test('the script runs the program and has its exit status', async () => {
  const { status, stdout } = await run(process.execPath, [script, 'exec', '--', 'sh', '-c', 'echo $GCE_METADATA_HOST; exit 7']);
  assert.equal(status, 7);
  assert.match(stdout, /^127\.0\.0\.1:/);
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  test(`the script passes on ${signal}`, async () => {
    const child = spawn(process.execPath, [script, '--port', '0', '--announce', 'json'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = await once(child.stdout, 'data');
    const { pid } = JSON.parse(line);
    try {
      // SIGHUP reloads the config.
      child.kill(signal);
      if (signal === 'SIGHUP') child.kill('SIGTERM');
      assert.deepEqual(await once(child, 'exit'), [0, null]);
      await eventually(() => !runs(pid));
    } finally {
      if (runs(pid)) process.kill(pid, 'SIGKILL');
    }
  });
}

test('a platform without a program is one sentence', async () => {
  const { status, stderr } = await run(process.execPath, [script], { env: { ...process.env, GCE_METADATA_SERVER_BINARY: '/none' } });
  assert.equal(status, 1);
  assert.match(stderr, /^error: GCE_METADATA_SERVER_BINARY names \/none.*\n$/);
});
