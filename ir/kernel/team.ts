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

/** One thread of a team of `size`, or of the workgroup `group`. */
export interface Member {
  readonly rank: number;
  readonly size: number;
  readonly group: number;
  readonly lanes: number;
}
export const ALONE: Member = { rank: 0, size: 1, group: 0, lanes: 1 };

/** Told of every access of one thread to one buffer. */
export type Watch = (func: string, at: number, bytes: number, write: boolean) => void;

/** Threads of one team. */
const MOST = 2 ** 20;
/** Stands for several threads. */
const MANY = MOST - 1;

/** Accesses of threads since the last barrier, byte by byte. */
export class Races {
  #phase = 1;

  /** All threads are here: what was written before may be read from now on. */
  meet(): void {
    this.#phase++;
  }

  /** A watch for each rank of one buffer; it throws `kernel-race` where two threads touch a byte that either writes. */
  watches(bytes: number, size: number): Watch[] {
    // Phase times MOST plus the thread that wrote last, and the one that read.
    const [writers, readers] = [new Float64Array(bytes), new Float64Array(bytes)];
    const inPhase = (a: Float64Array, at: number): number => (Math.floor(a[at]! / MOST) === this.#phase ? a[at]! % MOST : -1);
    return Array.from({ length: size }, (_, rank): Watch => {
      return (func, from, count, write) => {
        for (let at = from; at < from + count; at++) {
          const [writer, reader] = [inPhase(writers, at), inPhase(readers, at)];
          const others = (writer >= 0 && writer !== rank) || (write && reader >= 0 && reader !== rank);
          if (others) throw errors.kernelRace(func, at, write);
          const own = this.#phase * MOST + rank;
          if (write) writers[at] = own;
          else readers[at] = reader >= 0 && reader !== rank ? this.#phase * MOST + MANY : own;
        }
      };
    });
  }
}
