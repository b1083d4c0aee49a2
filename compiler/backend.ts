// What a backend is to the compiler: a printer of kernel programs, with what its targets can do.

import type { ByteReading, Program, VectorType } from "../ir/kernel/types.ts";
import type { UnaryOp } from "../ir/scalar/types.ts";
import type { Schedule } from "../runtime/artifact.ts";
import type { BlockRate } from "./cost/device.ts";

export type { Bound, Command, Condition, DeviceKernel, Schedule } from "../runtime/artifact.ts";

/** A device apart from the host: it runs kernels as grids of workgroups, on buffers that are bound one by one. */
export interface Device {
  /** Threads of the largest workgroup, and bytes of shared arrays that it may have. */
  readonly workgroup: number;
  readonly sharedBytes: number;
  /** Buffers that one kernel may bind. */
  readonly buffers: number;
  /** Bytes that starts of bindings are multiples of. */
  readonly alignment: number;
  /** Whether threads that run in step can swap what they hold. Not, where left out. */
  readonly swaps?: boolean;
  /** Bytes of the largest binding, a multiple of the alignment. */
  readonly binding: number;
  /** How fast sparse kernels are; what ships (compiler/cost/device.ts), where left out. */
  readonly sparseRates?: readonly BlockRate[];
}

/** What a target does natively. Whatever is missing is rewritten by kernel passes before `emit`. */
export interface Capabilities {
  readonly vectors: readonly VectorType[];
  /** Loads and stores of f16 as a storage type. */
  readonly f16: boolean;
  /** Whether it computes in f64; elsewhere mathematical functions are of f32 and integers throughout, to a few ulp. True, where left out. */
  readonly f64?: boolean;
  /** Whether quotients of f32 are correctly rounded. True, where left out; elsewhere those that become whole numbers are computed in integers. */
  readonly quotients?: boolean;
  /** `fma` in one instruction; elsewhere it becomes a multiply and an add. */
  readonly fma: boolean;
  /** Whether it has `fma`, which may be used where nothing is rounded, though `fma` is false: where all variants must give the same bits. */
  readonly wholeFma?: boolean;
  /** `dot4` in one instruction; elsewhere it becomes four multiplies. */
  readonly dot4?: boolean;
  /** `dot_bytes` in one instruction, exact, and how it reads second operands; elsewhere products of bytes are taken in 16 bits. */
  readonly byteDots?: ByteReading | undefined;
  /** `dot_pairs` in one instruction, exact where sums stay within 16 bits: of any bytes, or of second operands that are small. */
  readonly bytePairs?: "unsigned" | "small" | undefined;
  /**
   * Functions that the target computes itself, out of `round_even` to `erf` and the float `rem`, `pow` and `atan2`; others call functions of
   * ours, in kernel IR. Every target has `neg`, `abs`, `not`, `sqrt`, `floor`, `ceil` and `trunc`, and no target integer powers.
   */
  readonly maths: readonly (UnaryOp | "rem" | "pow" | "atan2")[];
  /** Whether sums are of the very products that define them: no algorithm that takes fewer products and rounds otherwise. */
  readonly exactSums?: boolean;
  /** Float accumulators that a kernel may keep in registers without spilling. */
  readonly accumulators: number;
  /** Threads of the largest team that runs a program, sharing out its parallel loops. One, where left out. */
  readonly threads?: number;
  /** Where kernels run on a device, step by step. */
  readonly device?: Device;
}

/** One way of emitting a whole program; the runtime takes the first one whose `needs` hold where it runs. */
export interface Variant {
  readonly name: string;
  /** Features that the runtime probes for, e.g. "relaxed-simd". */
  readonly needs: readonly string[];
  /** Features that its programs use where they can, and need only then. Variants with `may` can do the same but for those. */
  readonly may?: readonly string[];
  readonly can: Capabilities;
}

/** Named files for the artifact; `code` is the one that the executor is handed. */
export interface Emitted {
  readonly code: string;
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** For devices that a host drives step by step. */
  readonly schedule?: Schedule;
  /** What this program needs besides what its variant does: of what that may use, and of limits. */
  readonly uses?: readonly string[];
  readonly limits?: readonly string[];
  /** The same program emitted in another way, in a variant with that after its name: taken before this one where its needs hold. */
  readonly better?: Emitted & { readonly name: string };
}

/** What a program's addresses and calls mean, for backends of devices. */
export interface Placement {
  /** Bytes of the weights and of the arena. */
  readonly weights: number;
  readonly arena: number;
  /** Bytes at which they may be cut into buffers of their own, ascending from 0. */
  readonly weightCuts: readonly number[];
  readonly cuts: readonly number[];
  /** For each call of the entry, in the order of the text, the step that it was made from. */
  readonly steps: readonly number[];
}

export interface Backend {
  readonly name: string;
  readonly doc: string;
  /** Best first: the runtime takes the first whose needs hold. */
  readonly variants: readonly Variant[];
  /** Threads of the largest team for which it emits a program: each variant then has a twin that such teams run. None, where left out. */
  readonly team?: number;
  emit(program: Program, variant: Variant, placement?: Placement): Emitted | Promise<Emitted>;
}

export const defineBackend = (backend: Backend): Backend => backend;
