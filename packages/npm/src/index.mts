// The same module for `import`. Both kinds share one copy of the classes.

export * from './index.js';
