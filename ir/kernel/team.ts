// Teams of threads that run one program: what of it they share out, and the judge of whether they get in each other's way.

import { errors } from "../diagnostics.ts";
import type { Func } from "./types.ts";
import { visitExpressions, visitStatements } from "./walk.ts";

/** The functions in which a team shares out work or meets, themselves or in what they call; `functions` in order of definition. */
export function sharedFunctions(functions: readonly Func[]): ReadonlySet<string> {
  const found = new Set<string>();
  for (const f of functions) {
    let shared = false;
    visitStatements(f.body, (s) => {
      shared ||= s.kind === "barrier" || (s.kind === "for" && s.parallel !== undefined) || (s.kind === "call" && found.has(s.name));
    });
    visitExpressions(f, (e) => {
      shared ||= e.kind === "call" && found.has(e.name);
    });
    if (shared) found.add(f.name);
  }
  return found;
}

/** One thread of a team of `size`. */
export interface Member {
  readonly rank: number;
  readonly size: number;
}
export const ALONE: Member = { rank: 0, size: 1 };

/** Told of every access of one thread to one buffer. */
export type Watch = (func: string, at: number, bytes: number, write: boolean) => void;

/** Accesses of at most 8 threads since the last barrier, byte by byte. */
export class Races {
  #phase = 1;

  /** All threads are here: what was written before may be read from now on. */
  meet(): void {
    this.#phase++;
  }

  /** A watch for each rank of one buffer; it throws `kernel-race` where two threads touch a byte that either writes. */
  watches(bytes: number, size: number): Watch[] {
    // Phase times 256 plus a bit for each rank; one array for writes, one for all accesses.
    const [writes, touches] = [new Float64Array(bytes), new Float64Array(bytes)];
    const ranks = (a: Float64Array, at: number): number => (Math.floor(a[at]! / 256) === this.#phase ? a[at]! % 256 : 0);
    return Array.from({ length: size }, (_, rank): Watch => {
      const own = 1 << rank;
      return (func, from, count, write) => {
        for (let at = from; at < from + count; at++) {
          if ((ranks(write ? touches : writes, at) & ~own) !== 0) throw errors.kernelRace(func, at, write);
          touches[at] = this.#phase * 256 + (ranks(touches, at) | own);
          if (write) writes[at] = this.#phase * 256 + (ranks(writes, at) | own);
        }
      };
    });
  }
}
