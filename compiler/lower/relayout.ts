// Kernels that only move data: from one storage to another, plain copies, and the clearing of margins.

import { add, binary, i32, load, pointer, splat, store } from "../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES, type MemoryType } from "../../ir/kernel/types.ts";
import { Emitter } from "./generic/emitter.ts";
import { memoryOf, type Storage } from "./storage.ts";
import type { Lowered } from "./template.ts";

const bytesAt = (s: Storage, coords: readonly Expr[]): Expr =>
  coords.reduce<Expr>((sum, c, axis) => add(sum, binary("mul", c, i32(s.strides[axis]!))), i32(s.offset));

/** Moves bits, never numbers: a NaN keeps its payload. */
const CARRIER: Partial<Record<MemoryType, MemoryType>> = { f32: "i32", f64: "i64", f16: "u16" };

/** Copies every element of a value from one storage to another of the same shape. */
export function lowerRelayout(from: Storage, to: Storage): Lowered {
  const em = new Emitter();
  const [x, y] = [em.parameter("x", "ptr"), em.parameter("y", "ptr")];
  const memory = CARRIER[memoryOf(to.dtype)] ?? memoryOf(to.dtype);
  const order = to.strides.map((_, axis) => axis).sort((a, b) => to.strides[b]! - to.strides[a]! || a - b);
  const inner = order.at(-1);
  const wide = memory === "i32" && inner !== undefined && to.strides[inner] === 4 && from.strides[inner] === 4;
  const move = (coords: readonly Expr[], as: MemoryType): void => {
    const source = em.address(x, bytesAt(from, coords));
    const target = em.address(y, bytesAt(to, coords));
    em.emit(store(as, target.ptr, load(as, source.ptr, source.offset), target.offset));
  };
  const nest = (depth: number, coords: readonly Expr[]): void => {
    if (depth === order.length) return move(coords, memory);
    const axis = order[depth]!;
    const at = (i: Expr): Expr[] => coords.map((c, k) => (k === axis ? i : c));
    const n = to.shape[axis]!;
    const whole = wide && depth === order.length - 1 ? n - (n % 4) : 0;
    em.loop("v", i32(0), i32(whole), 4, (i) => move(at(i), "i32x4"));
    em.loop("i", i32(whole), i32(n), 1, (i) => nest(depth + 1, at(i)));
  };
  nest(
    0,
    order.map(() => i32(0)),
  );
  const kernel = `relayout_${to.dtype}`;
  const func: Func = {
    name: kernel,
    doc: `${from.name} to ${to.name}`,
    params: [pointer("x", "read", from.bytes), pointer("y", "write", to.bytes)],
    body: em.body,
  };
  return {
    kernel,
    functions: [func],
    entry: kernel,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
    ],
    faults: [],
    moves: true,
    why: `moves ${from.name} to ${to.name}`,
  };
}

/** `copy(target, source)` of a number of bytes that lie together. */
export function copyFunction(bytes: number): Func {
  const em = new Emitter();
  const [y, x] = [em.parameter("y", "ptr"), em.parameter("x", "ptr")];
  let done = 0;
  for (const memory of ["i32x4", "i32", "u8"] as const) {
    const size = MEMORY_BYTES[memory];
    const end = done + Math.floor((bytes - done) / size) * size;
    em.loop("i", i32(done), i32(end), size, (i) => {
      const [source, target] = [em.address(x, i), em.address(y, i)];
      em.emit(store(memory, target.ptr, load(memory, source.ptr, source.offset), target.offset));
    });
    done = end;
  }
  return { name: "copy", params: [pointer("y", "write", bytes), pointer("x", "read", bytes)], body: em.body };
}

/** Zeroes the bytes of a `rows` storage [N, C, H, W] that hold no element. */
export function marginsFunction(s: Storage): Func {
  const em = new Emitter();
  const y = em.parameter("y", "ptr");
  const [n, c, h, w] = s.shape as [number, number, number, number];
  const [image, channel, row] = s.strides as [number, number, number, number];
  const clear = (from: Expr, bytes: number): void => {
    const whole = bytes - (bytes % 16);
    em.loop("v", i32(0), i32(whole), 16, (i) => {
      const { ptr, offset } = em.address(y, add(from, i));
      em.emit(store("i32x4", ptr, splat("i32x4", i32(0)), offset));
    });
    em.loop("i", i32(whole), i32(bytes), 4, (i) => {
      const { ptr, offset } = em.address(y, add(from, i));
      em.emit(store("i32", ptr, i32(0), offset));
    });
  };
  const gap = channel - 4 * w;
  const last = s.offset + (n - 1) * image + h * row;
  clear(i32(0), s.offset);
  if (gap > 0) {
    em.loop("n", i32(0), i32(n), 1, (i) =>
      em.loop("h", i32(0), i32(h), 1, (j) =>
        em.loop("c", i32(0), i32(c), 1, (k) => clear(add(bytesAt(s, [i, k, j, i32(0)]), i32(4 * w)), gap)),
      ),
    );
  }
  em.loop("n", i32(0), i32(n - 1), 1, (i) => clear(bytesAt(s, [i, i32(0), i32(h), i32(0)]), image - h * row));
  clear(i32(last), s.bytes - last);
  return { name: "margins", doc: s.name, params: [pointer("y", "write", s.bytes)], body: em.body };
}
