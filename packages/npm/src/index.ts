/**
 * A metadata server of Google Compute Engine for tests.
 *
 * @example
 * const vm = await start();
 * execFileSync('my-program', { env: vm.env });
 * await vm.verify('project/project-id');
 * await vm.stop();
 *
 * @packageDocumentation
 */

import { Client } from './client.js';
import { MetadataServer, type StartOptions } from './server.js';

export { findBinary } from './binary.js';
export { Client, type Expectation } from './client.js';
export { AdminError, BinaryNotFoundError, type Problem, ServerError, VerificationError } from './errors.js';
export { Fault, type FaultOptions, Faults, fault } from './faults.js';
export { ReceivedRequest, type RequestFilter } from './requests.js';
export { Scenario, type ScenarioOptions } from './scenario.js';
export { MetadataServer, type StartOptions } from './server.js';
export { type TokenOptions, Tokens } from './tokens.js';

/**
 * Starts a server with free ports of 127.0.0.1.
 *
 * @throws ServerError The server did not start. The message has what the server wrote to standard error.
 * @throws BinaryNotFoundError The package has no program for this platform.
 */
export function start(options?: StartOptions): Promise<MetadataServer> {
  return MetadataServer.start(options);
}

/**
 * The server of this process' environment: `gce-metadata-server exec -- npm test` and vitest's global setup start one.
 *
 * @throws ServerError `GCE_METADATA_HOST` or `GCE_METADATA_ADMIN` is not set.
 */
export function connect(): Promise<Client> {
  return Client.connect();
}
