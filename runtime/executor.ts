// What an executor is: the part of the runtime that turns one backend's code into something that runs.

import type { VariantManifest } from "./artifact.ts";

/** The code of a variant: its bytes, and its URL when it was loaded from one; or a module compiled beforehand. */
export interface Code {
  readonly bytes?: Uint8Array;
  readonly url?: URL;
  /** A WebAssembly.Module, or an ES module namespace with `instantiate`. */
  readonly module?: unknown;
}

/** A program with its memory. The weight image starts at `weights` and the arena at `arena`, both 64-byte aligned. */
export interface Instance {
  /** The whole memory; views of it stay valid until `dispose`. */
  readonly buffer: ArrayBufferLike;
  readonly weights: number;
  readonly arena: number;
  /** One inference: reads the inputs' slots, writes the outputs'. Returns the fault number, or -1. May be asynchronous. */
  run(): number | Promise<number>;
  /**
   * Makes a team of up to `threads` to run it, once its memory is filled; of fewer where they do not pay and `calibrate` is set. Says how many
   * there are, and why. Only for variants for teams.
   */
  gather?(threads: number, calibrate: boolean): Promise<{ readonly threads: number; readonly why: string }>;
  dispose(): void;
}

export interface Executor {
  /** The backend whose variants it runs. */
  readonly backend: string;
  /** Why the variant cannot run here, in a sentence, or undefined when it can. */
  unsupported(variant: VariantManifest): string | undefined;
  instantiate(code: Code, variant: VariantManifest): Promise<Instance>;
}

/** Bytes kept free at the start of a memory: a fault number may be stored at address 0, and code may bring constants behind it. */
export const RESERVED = 1024;
export const aligned = (bytes: number): number => Math.ceil(bytes / 64) * 64;
