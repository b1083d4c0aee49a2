// A place in a manifest, for the errors about it, and the budget of memory that everything in a manifest keeps to.

import { errors } from "./diagnostics.ts";

/** A memory is addressed with 31 bits, so that signed arithmetic in generated code cannot go wrong. */
export const MEMORY_LIMIT = 2 ** 31;

/** Where in a manifest: the artifact and a path such as `variants[0].inputs`. */
export interface Place {
  readonly file: string;
  readonly path: string;
}
export const inside = (at: Place, key: string | number): Place => ({
  file: at.file,
  path: typeof key === "number" ? `${at.path}[${key}]` : at.path ? `${at.path}.${key}` : key,
});
export const reject = (at: Place, why: string): never => {
  throw errors.badManifest(at.file, at.path, why);
};
