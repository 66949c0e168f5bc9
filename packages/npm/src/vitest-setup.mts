/**
 * A global setup for vitest: one server for all tests, which get its address by the environment. `connect()` changes its metadata.
 *
 * @example
 * test: { globalSetup: 'gce-metadata-server/vitest/setup', provide: { gceMetadata: { config: 'vm.json' } } }
 *
 * @packageDocumentation
 */

// Apart from the fixture, because vitest refuses its own test functions in a global setup.
import type {} from 'vitest';
import { type StartOptions, start } from './index.js';

/** Called by vitest before the tests. The result is called after them. */
export default async function setup(project: { config: { provide?: unknown } }): Promise<() => Promise<void>> {
  const { gceMetadata } = (project.config.provide ?? {}) as { gceMetadata?: StartOptions };
  const server = await start(gceMetadata);
  const restore = server.patchEnv();
  return async () => {
    restore();
    await server.stop();
  };
}

declare module 'vitest' {
  interface ProvidedContext {
    /** The options of the server of the global setup. */
    gceMetadata?: StartOptions;
  }
}
