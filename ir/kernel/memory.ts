// How the interpreter sees memory: buffers with bounds, and loads and stores of every memory type.

import { errors } from "../diagnostics.ts";
import type { ScalarValue } from "../scalar/evaluate.ts";
import { fromF16, toF16 } from "../scalar/f16.ts";
import type { Watch } from "./team.ts";
import { isPacked, isVector, LANES, MEMORY_BYTES, type MemoryType, PACKED, type PackedType, type VectorType } from "./types.ts";

/** Vectors are their lanes: narrow integers sign-extended, i64 as bigint. */
export type Lanes = readonly ScalarValue[];
export type KernelValue = ScalarValue | Lanes;

/** A buffer as one function sees it: its parameter points at byte `base` of `view`, and `bytes` bytes from there are its own. */
export interface Window {
  readonly view: DataView;
  readonly base: number;
  readonly bytes: number;
  readonly watch?: Watch | undefined;
  /** Whether vectors are aligned to their size, not only to that of a lane. */
  readonly whole?: boolean;
  /** Counts the elements that are loaded from it. */
  readonly loaded?: ((elements: number) => void) | undefined;
}

/** What a host hands in for a pointer parameter. */
export interface BufferRef {
  readonly bytes: Uint8Array;
}

type ScalarMemory = Exclude<MemoryType, VectorType | PackedType>;

const READ: Readonly<Record<ScalarMemory, (v: DataView, at: number) => ScalarValue>> = {
  i8: (v, at) => v.getInt8(at),
  u8: (v, at) => v.getUint8(at),
  bool: (v, at) => (v.getUint8(at) === 0 ? 0 : 1),
  i16: (v, at) => v.getInt16(at, true),
  u16: (v, at) => v.getUint16(at, true),
  f16: (v, at) => fromF16(v.getUint16(at, true)),
  i32: (v, at) => v.getInt32(at, true),
  u32: (v, at) => v.getUint32(at, true),
  i64: (v, at) => v.getBigInt64(at, true),
  u64: (v, at) => v.getBigUint64(at, true),
  f32: (v, at) => v.getFloat32(at, true),
  f64: (v, at) => v.getFloat64(at, true),
};

const WRITE: Readonly<Record<ScalarMemory, (v: DataView, at: number, x: ScalarValue) => void>> = {
  i8: (v, at, x) => v.setInt8(at, x as number),
  u8: (v, at, x) => v.setUint8(at, x as number),
  bool: (v, at, x) => v.setUint8(at, x as number),
  i16: (v, at, x) => v.setInt16(at, x as number, true),
  u16: (v, at, x) => v.setUint16(at, x as number, true),
  f16: (v, at, x) => v.setUint16(at, toF16(x as number), true),
  i32: (v, at, x) => v.setInt32(at, x as number, true),
  u32: (v, at, x) => v.setUint32(at, x as number, true),
  i64: (v, at, x) => v.setBigInt64(at, x as bigint, true),
  u64: (v, at, x) => v.setBigUint64(at, x as bigint, true),
  f32: (v, at, x) => v.setFloat32(at, x as number, true),
  f64: (v, at, x) => v.setFloat64(at, x as number, true),
};

/** The scalar memory type of one lane. */
export const LANE_MEMORY: Readonly<Record<VectorType, ScalarMemory>> = {
  i8x16: "i8",
  i16x8: "i16",
  i32x4: "i32",
  i64x2: "i64",
  f32x4: "f32",
  f64x2: "f64",
};

export function readLanes(type: VectorType, view: DataView, at: number): Lanes {
  const memory = LANE_MEMORY[type];
  const size = MEMORY_BYTES[memory];
  return Array.from({ length: LANES[type] }, (_, i) => READ[memory](view, at + i * size));
}

export function writeLanes(type: VectorType, view: DataView, at: number, lanes: Lanes): void {
  const memory = LANE_MEMORY[type];
  const size = MEMORY_BYTES[memory];
  lanes.forEach((x, i) => {
    WRITE[memory](view, at + i * size, x);
  });
}

/**
 * The address in the view of an access of `memory` through a pointer `pointer` bytes past the parameter's start, displaced by `offset`.
 * Throws `kernel-access` where any byte lies outside, the pointer precedes its buffer (targets add the displacement without wrapping), or the
 * address is no multiple of the lane's size, counted from the start of the host's buffer.
 */
function addressOf(
  memory: MemoryType,
  size: number,
  alignment: number,
  window: Window,
  pointer: number,
  offset: number,
  func: string,
  write: boolean,
): number {
  const from = pointer + offset;
  if (pointer < 0 || from + size > window.bytes) {
    throw errors.kernelAccess(
      func,
      `touches bytes ${from}..${from + size - 1} (${memory}) through a pointer to byte ${pointer} of a buffer of ${window.bytes}`,
    );
  }
  const at = window.base + from;
  if (at % alignment !== 0) throw errors.kernelAccess(func, `touches ${memory} at byte ${at}, which is no multiple of ${alignment}`);
  window.watch?.(func, at, size, write);
  return at;
}

export type Loader = (window: Window, pointer: number) => KernelValue;
export type Storer = (window: Window, pointer: number, value: KernelValue) => void;

export function loader(memory: MemoryType, offset: number, func: string): Loader {
  const size = MEMORY_BYTES[memory];
  if (isPacked(memory)) {
    const read = READ[PACKED[memory]];
    return (w, p) => {
      w.loaded?.(size);
      const at = addressOf(memory, size, w.whole ? size : 1, w, p, offset, func, false);
      return Array.from({ length: size }, (_, i) => read(w.view, at + i));
    };
  }
  if (isVector(memory)) {
    const alignment = MEMORY_BYTES[LANE_MEMORY[memory]];
    const lanes = LANES[memory];
    return (w, p) => {
      w.loaded?.(lanes);
      return readLanes(memory, w.view, addressOf(memory, size, w.whole ? size : alignment, w, p, offset, func, false));
    };
  }
  const read = READ[memory];
  return (w, p) => {
    w.loaded?.(1);
    return read(w.view, addressOf(memory, size, size, w, p, offset, func, false));
  };
}

export function storer(memory: MemoryType, offset: number, func: string): Storer {
  const size = MEMORY_BYTES[memory];
  if (isPacked(memory)) {
    const write = WRITE[PACKED[memory]];
    const [low, high] = PACKED[memory] === "u8" ? [0, 255] : [-128, 127];
    return (w, p, x) => {
      const at = addressOf(memory, size, w.whole ? size : 1, w, p, offset, func, true);
      (x as Lanes).forEach((lane, i) => write(w.view, at + i, Math.min(Math.max(Number(lane), low), high)));
    };
  }
  if (isVector(memory)) {
    const alignment = MEMORY_BYTES[LANE_MEMORY[memory]];
    return (w, p, x) =>
      writeLanes(memory, w.view, addressOf(memory, size, w.whole ? size : alignment, w, p, offset, func, true), x as Lanes);
  }
  const write = WRITE[memory];
  return (w, p, x) => write(w.view, addressOf(memory, size, size, w, p, offset, func, true), x as ScalarValue);
}
