// The artifact's manifest: what the compiler writes and the runtime reads. Types only.

export type PortDType = "f32" | "f16" | "f64" | "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64" | "bool" | "i4" | "u4";

/** An extent known at compile time, or bounded with its true value, an i64, `at` bytes into the arena after a run. */
export type Extent = number | { readonly max: number; readonly at: number };

export interface Port {
  readonly name: string;
  readonly dtype: PortDType;
  /** Bounded extents hold their maximum here. */
  readonly shape: readonly number[];
}

/** Where a port lies, row-major, in a variant's memory. Outputs that are constants lie among the weights. */
export interface Slot {
  readonly region: "arena" | "weights";
  readonly offset: number;
  readonly extents: readonly Extent[];
}

/**
 * Integers in weights.bin that floats are made of: a matrix with `columns` to a row, of (integer - zero point) * scale, rounded once to f32.
 * Integers have no sign; of four bits, each word holds eight, the first four in the low halves of its bytes. Each `block` columns of a row
 * share a scale (f32) at `scales`, and a zero point (a byte) at `zeros`, or `zero` is all of them. `turned` floats go column by column.
 */
export interface Steps {
  readonly bits: 4 | 8;
  readonly columns: number;
  readonly block: number;
  readonly scales: number;
  readonly zeros?: number;
  readonly zero?: number;
  readonly turned?: boolean;
}

/**
 * A piece of the weight image that a program sees. `copy` takes bytes of weights.bin as they are. `indices` reads `count` column
 * numbers (u8, u16 or u32), checks each against `bound`, and writes the byte offset that the variant's layout gives it: with
 * `radix` [[extent, stride], ...], outermost first, the number is split into mixed-radix digits and digit x stride is summed.
 * `panels` reads an f32 matrix of `rows` x `columns`, row-major, and writes, for each `block` of columns and each `group` of rows, the
 * group's values column by column: the order in which a register tile of `group` rows takes them. `rows` is a multiple of `group`.
 * `winograd` reads f32 kernels [rows, columns, 3, 3] and writes their transforms for tiles of `tile` x `tile` outputs, rounded once to f32,
 * as [point][rows / group][columns][group]: for each of (tile + 2)^2 points a panel. `rows` is a multiple of `group`.
 * `floats` writes `count` floats that are made of the integers at `from`; `panels` and `winograd` with `steps` read such floats likewise.
 * `nibbles` writes `count` integers of four bits, packed as in `Steps`, one to a byte.
 * `widen` reads `count` signed bytes, adds `plus` to each, and writes them as i16 or f32.
 * `counts` reads row lengths (u16 or u32), checks that their sum is `total`, and writes them.
 */
export type Section =
  | { readonly kind: "copy"; readonly at: number; readonly from: number; readonly bytes: number }
  | {
      readonly kind: "indices";
      readonly at: number;
      readonly from: number;
      readonly count: number;
      readonly stored: "u8" | "u16" | "u32";
      readonly expanded: "u16" | "u32";
      readonly bound: number;
      readonly radix: readonly (readonly [extent: number, stride: number])[];
    }
  | {
      readonly kind: "panels";
      readonly at: number;
      readonly from: number;
      readonly rows: number;
      readonly columns: number;
      readonly group: number;
      readonly block: number;
      readonly steps?: Steps;
    }
  | {
      readonly kind: "winograd";
      readonly at: number;
      readonly from: number;
      readonly rows: number;
      readonly columns: number;
      readonly group: number;
      readonly tile: 2 | 4;
      readonly steps?: Steps;
    }
  | { readonly kind: "floats"; readonly at: number; readonly from: number; readonly count: number; readonly steps: Steps }
  | { readonly kind: "nibbles"; readonly at: number; readonly from: number; readonly count: number }
  | {
      readonly kind: "widen";
      readonly at: number;
      readonly from: number;
      readonly count: number;
      readonly to: "i16" | "f32";
      readonly plus?: number;
    }
  | {
      readonly kind: "counts";
      readonly at: number;
      readonly from: number;
      readonly count: number;
      readonly stored: "u16" | "u32";
      readonly expanded: "u16" | "u32";
      readonly total: number;
    };

/** What a step of `run` was made from, for people and tools. */
export interface StepInfo {
  /** Kernel name, e.g. `conv_f32_unstructured_relu_3`, or `if`, `loop`. */
  readonly kernel: string;
  /** ONNX nodes that it computes. */
  readonly nodes: readonly string[];
}

/** Bytes that a dispatch binds: of the weight image, of the arena, or the word that holds the least number of an assert that failed. */
export interface Bound {
  readonly region: "weights" | "arena" | "fault";
  readonly offset: number;
  readonly bytes: number;
}

/** A compute pipeline of the code file: the module under `//// name` there, with the entry point `main` and its bindings in group 0. */
export interface DeviceKernel {
  readonly name: string;
  /** How each binding is declared, in the order of their numbers. */
  readonly access: readonly ("read" | "readwrite")[];
  /** Workgroups of a dispatch. Beyond 65535 they are folded into rows of 65535: the kernel returns where the last row has too many. */
  readonly workgroups: number;
}

/** Whether a flag (bool) is set, or an i64 is less than another; a number stands for itself. */
export type Condition =
  | { readonly kind: "flag"; readonly flag: Bound | number }
  | { readonly kind: "less"; readonly a: Bound | number; readonly b: Bound | number }
  | { readonly kind: "both"; readonly a: Condition; readonly b: Condition };

export type Command =
  /** `cost` is the predicted number of multiply-adds and memory accesses; `step` an index into the variant's steps. */
  | {
      readonly kind: "dispatch";
      readonly kernel: number;
      readonly bind: readonly Bound[];
      readonly step: number;
      readonly cost: number;
    }
  | { readonly kind: "if"; readonly cond: Condition; readonly then: readonly Command[]; readonly else: readonly Command[] }
  /** Runs `body` as long as `cond`, read before each time, holds. */
  | { readonly kind: "while"; readonly cond: Condition; readonly body: readonly Command[] };

/** How a host drives a device through a run, dispatch by dispatch. */
export interface Schedule {
  /** Bytes at which the arena is cut into buffers of their own: ascending, from 0; whatever is bound lies between two of them. */
  readonly cuts: readonly number[];
  /** Likewise for the weights; one buffer holds them all, where left out. */
  readonly weightCuts?: readonly number[];
  readonly kernels: readonly DeviceKernel[];
  readonly commands: readonly Command[];
}

export interface VariantManifest {
  readonly backend: string;
  readonly name: string;
  readonly needs: readonly string[];
  /** Threads of the largest team that may run it; where left out, it runs on one. */
  readonly threads?: number;
  /** The file with the code. */
  readonly code: string;
  /** Bytes of the weight image and of the arena. */
  readonly weights: number;
  readonly arena: number;
  readonly sections: readonly Section[];
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  readonly faults: readonly string[];
  readonly steps: readonly StepInfo[];
  /** For variants that a host drives step by step; where left out, the code has one entry that runs them all. */
  readonly schedule?: Schedule;
}

/** A piece of a model, for one backend. Its inputs are the model's by their names, or else outputs of parts before it. */
export interface Part {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly variants: readonly VariantManifest[];
}

export interface Manifest {
  readonly format: "sparsec";
  readonly version: 1;
  readonly name: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Of the whole model; none, where there are parts alone. */
  readonly variants: readonly VariantManifest[];
  /** The model in pieces, each run after those before it. */
  readonly parts?: readonly Part[];
  /** Every other file of the artifact, with its size in bytes and its SHA-256 in hexadecimal. */
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

export const MANIFEST = "manifest.json";
export const WEIGHTS = "weights.bin";

/** An artifact in memory: its manifest and the bytes of its files. */
export interface ArtifactFiles {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
}
