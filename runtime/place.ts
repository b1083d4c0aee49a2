// A place in a manifest, for the errors about it, and the budget of memory that everything in a manifest keeps to.

import { errors } from "./diagnostics.ts";

/** A memory is addressed with 31 bits, so that signed arithmetic in generated code cannot go wrong. */
export const MEMORY_LIMIT = 2 ** 31;

/** Where in a manifest, as a chain: what spells a place is paid only by errors. */
export interface Place {
  readonly file: string;
  readonly within?: Place;
  readonly key?: string | number;
}
export const inside = (at: Place, key: string | number): Place => ({ file: at.file, within: at, key });

/** A path such as `variants[0].inputs`. */
export const pathOf = ({ within, key }: Place): string => {
  if (!within) return "";
  const outer = pathOf(within);
  return typeof key === "number" ? `${outer}[${key}]` : outer ? `${outer}.${key}` : key!;
};
export const reject = (at: Place, why: string): never => {
  throw errors.badManifest(at.file, pathOf(at), why);
};

/** Bytes that something in a manifest takes, and where it says so. */
export interface Span {
  readonly from: number;
  readonly to: number;
  readonly place: Place;
}
