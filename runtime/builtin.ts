// Modules of Node's, where it is Node that runs us: no import that a browser's bundler would stumble over.

interface Builtins {
  readonly "node:crypto": typeof import("node:crypto");
  readonly "node:fs/promises": typeof import("node:fs/promises");
  readonly "node:path": typeof import("node:path");
  readonly "node:url": typeof import("node:url");
  readonly "node:v8": typeof import("node:v8");
}

export const builtin = <K extends keyof Builtins>(name: K): Builtins[K] | undefined =>
  globalThis.process?.getBuiltinModule?.(name) as Builtins[K] | undefined;
