// What an executor is: the part of the runtime that turns one backend's code into something that runs.

import type { Manifest, VariantManifest } from "./artifact.ts";

/** The code of a variant: its bytes, and its URL when it was loaded from one; or a module compiled beforehand. */
export interface Code {
  readonly bytes?: Uint8Array;
  readonly url?: URL;
  /** A WebAssembly.Module, an ES module namespace with `instantiate`, or the text of shaders. */
  readonly module?: unknown;
}

/** A program in memory of the host. The weight image starts at `weights` and the arena at `arena`, both 64-byte aligned. */
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

/** One inference on a device. */
export interface DeviceJob {
  /** For each input a buffer of the caller's that holds it, or undefined: then the host's copy is taken. */
  readonly inputs: readonly (GPUBuffer | undefined)[];
  /** Numbers of the outputs wanted. */
  readonly outputs: readonly number[];
  /** Whether they stay on the device, each in a buffer of its own, rather than come to the host's copies. */
  readonly keep: boolean;
}

export interface DeviceResult {
  /** The fault's number, or -1. */
  readonly fault: number;
  /** The outputs wanted, where they were to stay on the device; the caller's. */
  readonly buffers: readonly GPUBuffer[];
}

/** A program in memory of a device, weights in place. The host has copies of its ports alone. */
export interface DeviceInstance {
  /** What it runs on, for people. */
  readonly adapter: string;
  /** The host's memory for each port: of its bytes, or a few more. Constants are there from the start. */
  readonly inputs: readonly ArrayBuffer[];
  readonly outputs: readonly ArrayBuffer[];
  /** The extent `at` bytes into the arena, as the last run left it; -1 where it is none. */
  extent(at: number): number;
  run(job: DeviceJob): Promise<DeviceResult>;
  /** Milliseconds that each step took in the last run; undefined where they are not measured. */
  times(): readonly number[] | undefined;
  dispose(): void;
}

/** What the caller of `load` wants of devices. */
export interface Wants {
  /** A device to run on, which stays the caller's. */
  readonly gpu?: GPUDevice | undefined;
  /** Whether to measure each step. */
  readonly profile?: boolean | undefined;
}

/** What an executor may ask for besides the variant. */
export interface Setting extends Wants {
  readonly manifest: Manifest;
  /** The bytes of weights.bin; when asked for later again, read from the artifact's source again. */
  weights(): Promise<Uint8Array>;
}

/** What an executor sees of a variant before it is chosen. */
export type Requirements = Pick<VariantManifest, "backend" | "name" | "needs">;

/** Runs a backend's variants in memory of the host. */
export interface HostExecutor {
  /** The backend whose variants it runs. */
  readonly backend: string;
  /** Why the variant cannot run here, in a sentence, or undefined when it can. May throw a SparsecError instead. */
  unsupported(variant: Requirements): string | undefined | Promise<string | undefined>;
  /** The program in memory that `load` fills. */
  instantiate(code: Code, variant: VariantManifest): Promise<Instance>;
}

/** Runs a backend's variants on a device. */
export interface DeviceExecutor {
  readonly backend: string;
  unsupported(variant: Requirements, wants?: Wants): string | undefined | Promise<string | undefined>;
  /** Why another variant should be preferred, in a sentence, though this one can run here; for device "auto". */
  doubt(variant: Requirements, wants?: Wants): Promise<string | undefined>;
  /** The program with its weights in place. */
  open(code: Code, variant: VariantManifest, setting: Setting): Promise<DeviceInstance>;
}

export type Executor = HostExecutor | DeviceExecutor;

/** Bytes kept free at the start of a memory: a fault number may be stored at address 0, and code may bring constants behind it. */
export const RESERVED = 1024;
export const aligned = (bytes: number): number => Math.ceil(bytes / 64) * 64;
