// The environment that directs programs to a server.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findBinary } from './binary.js';
import { ServerError } from './errors.js';

/** Values of variables; null means that the variable must be unset. */
export type Changes = Record<string, string | null>;

/** The variables as `gce-metadata-server env` prints them, which has the only table of them. It makes a new folder for a login. */
export async function clientVariables(url: string): Promise<Changes> {
  const args = ['env', '--url', url, '--format', 'json'];
  try {
    const { stdout } = await promisify(execFile)(findBinary(), args);
    return JSON.parse(stdout);
  } catch (error) {
    throw new ServerError(`gce-metadata-server ${args.join(' ')}: ${(error as Error).message}`, { cause: error });
  }
}

/** The environment of this process with these changes. */
export function changed(changes: Changes): Record<string, string> {
  const variables = Object.entries({ ...process.env, ...changes });
  return Object.fromEntries(variables.filter((variable): variable is [string, string] => typeof variable[1] === 'string'));
}

/** Changes the environment of this process, and returns a function that puts it back. */
export function patchEnvironment(changes: Changes): () => void {
  const before = Object.fromEntries(Object.keys(changes).map((name) => [name, process.env[name] ?? null]));
  apply(changes);
  return () => apply(before);
}

function apply(changes: Changes): void {
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete process.env[name];
    else process.env[name] = value;
  }
}
