/**
 * A fixture for vitest.
 *
 * @packageDocumentation
 */

import { type TestAPI, test as base } from 'vitest';
import { type MetadataServer, type StartOptions, start } from './index.js';

/** The fixtures of `test`. */
export interface Fixtures {
  /** The VM that the test runs on, in its first state. `process.env` directs Google's libraries to it while the test runs. */
  vm: MetadataServer;
  /** The server of the test file. It changes no environment; `vm` does. */
  metadataServer: MetadataServer;
}

/** vitest's `test` with the fixture `vm`, for a VM of your own: `const test = testOnVm({ config: 'vm.json' })`. */
export function testOnVm(options: StartOptions = {}): TestAPI<Fixtures> {
  return base.extend<Fixtures>({
    metadataServer: [
      // vitest reads from the pattern which fixtures this one needs: none.
      async ({}, use) => {
        const server = await start(options);
        await use(server);
        await server.stop();
      },
      { scope: 'file' },
    ],
    vm: async ({ metadataServer }, use) => {
      await metadataServer.reset();
      const restore = metadataServer.patchEnv();
      try {
        await use(metadataServer);
      } finally {
        restore();
      }
    },
  }) as TestAPI<Fixtures>;
}

/** vitest's `test` with the fixture `vm`: a sample VM. */
export const test: TestAPI<Fixtures> = testOnVm();
