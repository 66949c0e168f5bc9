// The tests of the vitest fixture and of the global setup.

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/vitest/*.test.mjs'],
    globalSetup: ['gce-metadata-server/vitest/setup', './test/vitest/remember-host.mjs'],
    provide: { gceMetadata: { config: { instance: { attributes: { color: 'blue' } } } } },
  },
});
