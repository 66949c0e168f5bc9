// A server of its own for a test.

import { rmSync } from 'node:fs';
import { Client } from './client.js';
import { type Changes, clientVariables } from './environment.js';
import { ServerError } from './errors.js';
import { ServerProcess, type StartMessage } from './process.js';

/** How a server starts. */
export interface StartOptions {
  /**
   * The metadata: the path of a config file, or the config itself. Without it the program's own default is served: `config.json` of
   * the current folder if that exists, else a sample VM.
   */
  config?: string | Record<string, unknown>;
  /** Further options of the program, such as `['--offline-token-lifetime', '10s']`. */
  args?: string[];
  /** Milliseconds until the server must answer (30000). */
  timeout?: number;
}

/** A metadata server that runs until `stop`, and ends with this process, even if that is killed. */
export class MetadataServer extends Client implements AsyncDisposable {
  /** The ID of the server's process. */
  readonly pid: number;
  readonly #process: ServerProcess;
  readonly #loginFolder: string | null | undefined;

  private constructor(process: ServerProcess, message: StartMessage, host: string, variables: Changes) {
    super(host, message.admin, variables);
    this.pid = message.pid;
    this.#process = process;
    this.#loginFolder = variables.CLOUDSDK_CONFIG;
  }

  /** See `start`. */
  static async start({ config, args = [], timeout = 30_000 }: StartOptions = {}): Promise<MetadataServer> {
    const file = typeof config === 'string' ? ['--config-file', config] : [];
    // By the environment, so that no file remains if this process is killed.
    const variables: Record<string, string> = typeof config === 'object' ? { GCE_METADATA_CONFIG: JSON.stringify(config) } : {};
    const server = new ServerProcess(['--port', '0', '--admin', '0', ...file, ...args], variables);
    try {
      const message = await server.startMessage(timeout);
      if (!message.host) throw new ServerError(`the server has no HTTP listener; leave out the options ${args.join(' ')}`);
      return new MetadataServer(server, message, message.host, await clientVariables(`http://${message.host}`));
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** What the server has written to standard error so far. Tokens are never logged. */
  get log(): string {
    return this.#process.log();
  }

  /** Stops the server. A second call does nothing. */
  async stop(): Promise<void> {
    await this.#process.stop();
    if (this.#loginFolder) rmSync(this.#loginFolder, { recursive: true, force: true });
  }

  /** Stops the server at the end of the block: `await using vm = await start()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
