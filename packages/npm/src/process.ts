// The process of a server.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBinary } from './binary.js';
import { ServerError } from './errors.js';

/** Milliseconds that a server gets to end by itself. It answers waiting requests at once. */
const STOP_TIMEOUT = 5_000;

/** The addresses that a server prints when it answers. */
export interface StartMessage {
  admin: string;
  host?: string;
  pid: number;
}

/** A process of the program that serves, and ends with this process. */
export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<string>;
  readonly #logFile: number;
  #finalLog: string | undefined;

  /** Starts the program. `variables` are added to its environment. */
  constructor(args: string[], variables: Record<string, string>) {
    const command = findBinary();
    // A file, because a pipe that is not read would block the server. Without a name, it ends with the processes.
    const name = join(tmpdir(), `gce-metadata-server-${randomUUID()}.log`);
    this.#logFile = openSync(name, 'wx+', 0o600);
    unlinkSync(name);
    try {
      this.#child = spawn(command, ['serve', '--announce', 'json', '--exit-with-parent', ...args], {
        // The server also ends when the pipe of standard input does.
        stdio: ['pipe', 'pipe', this.#logFile],
        env: { ...process.env, ...variables },
      });
    } catch (error) {
      closeSync(this.#logFile);
      const { code, message } = error as NodeJS.ErrnoException;
      const remedy = code === 'E2BIG' ? ': write a large config to a file and pass its path' : '';
      throw new ServerError(`${command} can't be executed: ${message}${remedy}`, { cause: error });
    }
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`${command} can't be executed: ${error.message}`));
      this.#child.once('exit', (status, signal) => resolve(`exit status ${status ?? signal}`));
    });
    this.#child.stdin?.on('error', () => {});
  }

  /** Waits until the server answers. */
  async startMessage(timeout: number): Promise<StartMessage> {
    const expired = new AbortController();
    const timer = setTimeout(() => expired.abort(), timeout);
    try {
      const line = await Promise.race([
        this.#line(),
        this.#exited.then((why) => Promise.reject(new ServerError(`the server did not start (${why}):\n${this.log()}`.trimEnd()))),
        once(expired.signal, 'abort').then(() =>
          Promise.reject(new ServerError(`the server did not start within ${timeout} ms\n${this.log()}`.trimEnd())),
        ),
      ]);
      // A test that forgets `stop` ends all the same, and the server with it.
      this.#setReferenced(false);
      return JSON.parse(line);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What the program has written to standard error. */
  log(): string {
    if (this.#finalLog !== undefined) return this.#finalLog;
    const text = Buffer.alloc(fstatSync(this.#logFile).size);
    return text.toString('utf8', 0, readSync(this.#logFile, text, 0, text.length, 0));
  }

  /** Ends the program and waits for its end. */
  async stop(): Promise<void> {
    if (this.#finalLog !== undefined) return;
    this.#setReferenced(true);
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT);
    await this.#exited;
    clearTimeout(timer);
    this.#child.stdout?.destroy();
    if (this.#finalLog !== undefined) return;
    this.#finalLog = this.log();
    closeSync(this.#logFile);
  }

  /** The first line of standard output. */
  async #line(): Promise<string> {
    let text = '';
    this.#child.stdout?.setEncoding('utf8');
    while (!text.includes('\n')) {
      const [part] = (await once(this.#child.stdout!, 'data')) as [string];
      text += part;
    }
    return text;
  }

  /** Whether the child and its pipes keep this process running. */
  #setReferenced(referenced: boolean): void {
    for (const part of [this.#child, this.#child.stdin as Socket | null, this.#child.stdout as Socket | null]) {
      if (referenced) part?.ref();
      else part?.unref();
    }
  }
}
