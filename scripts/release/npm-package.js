// Prints the package.json of a platform's package, or that of the package which users install.
//
// npm-package.js platform NAME VERSION OS CPU LIBC
// npm-package.js main VERSION PLATFORM_PACKAGE…

const { readFileSync } = require('node:fs');

const [kind, ...rest] = process.argv.slice(2);
const source = JSON.parse(readFileSync('packages/npm/package.json', 'utf8'));
const description = kind === 'platform' ? platform(...rest) : main(...rest);
console.log(JSON.stringify(description, null, 2));

function platform(name, version, os, cpu, libc) {
  return {
    name,
    version,
    description: `The program of gce-metadata-server for ${os} on ${cpu}`,
    license: source.license,
    os: [os],
    cpu: [cpu],
    ...(libc === '-' ? {} : { libc: [libc] }),
    // Yarn keeps other packages in archives, where a program can't be executed.
    preferUnplugged: true,
    files: ['bin', 'LICENSE', 'THIRD-PARTY-LICENSES.txt', 'README.md'],
  };
}

function main(version, ...platforms) {
  const { scripts, devDependencies, ...published } = source;
  return { ...published, version, optionalDependencies: Object.fromEntries(platforms.map((name) => [name, version])) };
}
