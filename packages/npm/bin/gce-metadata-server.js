#!/usr/bin/env node
// Runs the program of this platform with the arguments and the terminal of this process.
'use strict';

const { spawn } = require('node:child_process');
const { constants } = require('node:os');
const { findBinary } = require('..');

let binary;
try {
  binary = findBinary();
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
let program;
// Before the program starts, so that no signal ends this process alone. A terminal sends its signals to the program too; others, such
// as those of a process manager, come to this process only.
for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
  const isOfTerminal = process.stdin.isTTY && (signal === 'SIGINT' || signal === 'SIGQUIT');
  process.on(signal, () => isOfTerminal || program.kill(signal));
}
program = spawn(binary, process.argv.slice(2), { stdio: 'inherit' });

program.on('error', (error) => {
  console.error(`error: ${binary} can't be executed: ${error.message}`);
  process.exitCode = 1;
});
program.on('exit', (status, signal) => {
  process.exitCode = status ?? 128 + constants.signals[signal];
});
