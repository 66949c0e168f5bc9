// Finds the program of this package.

import { accessSync, constants } from 'node:fs';
import { BinaryNotFoundError } from './errors.js';

const NAME = 'gce-metadata-server';

/** Names a program to use instead of the one in the package, for example one that was compiled on this machine. */
const VARIABLE = 'GCE_METADATA_SERVER_BINARY';

/**
 * The path of the program: that of `GCE_METADATA_SERVER_BINARY`, or of the package for this platform, which is an optional dependency
 * of this one.
 *
 * @throws BinaryNotFoundError There is no program. The message has the remedy.
 */
export function findBinary(): string {
  const chosen = process.env[VARIABLE];
  if (chosen) {
    try {
      accessSync(chosen, constants.X_OK);
    } catch {
      throw new BinaryNotFoundError(`${VARIABLE} names ${chosen}, which is no executable file`);
    }
    return chosen;
  }
  const platform = `${NAME}-${process.platform}-${process.arch}`;
  try {
    return require.resolve(`${platform}/bin/${NAME}`);
  } catch {
    throw new BinaryNotFoundError(missing(platform));
  }
}

function missing(platform: string): string {
  const remedy =
    process.platform === 'win32'
      ? 'on Windows, use it in WSL'
      : 'there are programs for Linux x64 and arm64 with glibc 2.28 or newer, installed as optional dependencies; elsewhere compile it ' +
        `with \`cargo install --path .\` in a clone of the repository and set ${VARIABLE} to its path`;
  return `${NAME} has no program for this machine (the package ${platform} is not installed): ${remedy}`;
}
