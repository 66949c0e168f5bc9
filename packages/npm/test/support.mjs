// What the tests share.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

/** Asks as a program does: status and body. */
export async function ask(vm, path) {
  const answer = await fetch(`${vm.url}/computeMetadata/v1/${path}`, { headers: { 'Metadata-Flavor': 'Google' } });
  return [answer.status, await answer.text()];
}

/** Waits for something outside of this process. */
export async function eventually(condition) {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'not within 30 seconds');
    await pause(10);
  }
}

/** Whether the process runs; a zombie does not. */
export function runs(pid) {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Runs a program to its end: exit status, signal, standard output and error. */
export async function run(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) child[name].on('data', (part) => (text[name] += part));
  const [status, signal] = await once(child, 'close');
  return { status, signal, ...text };
}
