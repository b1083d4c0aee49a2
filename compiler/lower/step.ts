// A lowered graph: steps in order over buffers that the memory plan will place.

import type { Node, Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Storage } from "./storage.ts";
import type { Lowered } from "./template.ts";

/** Memory that some values share. Constants lie among the weights, the rest in the arena. */
export interface Buffer {
  readonly bytes: number;
  /** For constants: what it holds. */
  readonly constant?: Tensor;
  /** Set by hosts or read by them: kept apart for the whole run. */
  readonly pinned?: boolean;
  readonly hint: string;
}

/** Where a value lies. */
export interface Place {
  readonly buffer: Buffer;
  readonly storage: Storage;
  /** Bytes that kernels find the buffer to start later than it does: for parts of a value. `image` is added for each image of `tiles`. */
  readonly shift?: { readonly bytes: number; readonly image: number };
}

export type Step =
  /** Calls a kernel; `places` holds what `operand` and `result` bindings name. */
  | {
      readonly kind: "kernel";
      readonly node: Node;
      readonly lowered: Lowered;
      readonly operands: readonly Place[];
      readonly results: readonly Place[];
    }
  /** Copies bytes that lie together; `at` counts iterations of a loop (i64) and moves the target by as many times `bytes`. */
  | { readonly kind: "copy"; readonly from: Place; readonly to: Place; readonly bytes: number; readonly at?: Place }
  /** Clears the bytes of a padded buffer that hold no element; `around` alone where the kernels clear those behind each row. */
  | { readonly kind: "margins"; readonly place: Place; readonly around?: boolean }
  /** A chain of kernels, executed for `images` images in turn, a few rows at a time. `whole` stands for the parts of each member. */
  | {
      readonly kind: "tiles";
      readonly node: Node;
      readonly images: number;
      readonly body: readonly Step[];
      readonly whole: readonly (Step & { readonly kind: "kernel" })[];
    }
  | { readonly kind: "if"; readonly node: Node; readonly cond: Place; readonly then: readonly Step[]; readonly else: readonly Step[] }
  /** Runs `body` while `cond` (bool) holds and `count` (i64, from 0) is less than `trips` (i64). */
  | {
      readonly kind: "loop";
      readonly node: Node;
      readonly trips: Place;
      readonly cond: Place;
      readonly count: Place;
      readonly body: readonly Step[];
    };

export interface LoweredGraph {
  readonly steps: readonly Step[];
  readonly inputs: readonly { readonly value: Value; readonly place: Place }[];
  readonly outputs: readonly { readonly value: Value; readonly place: Place }[];
  /** Where the counts of bounded output extents lie. */
  readonly counts: ReadonlyMap<Value, Place>;
}
