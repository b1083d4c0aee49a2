// Kernels that only move data: from one storage to another, plain copies, and the clearing of margins.

import { DTYPES, type TypedArray } from "../../ir/dtype.ts";
import { add, advance, binary, cast, constant, i32, load, mul, pointer, shuffle, splat, store, variable } from "../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES, type MemoryType } from "../../ir/kernel/types.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { Emitter } from "./generic/emitter.ts";
import { isShared, mostEven } from "./split.ts";
import { laneAxis, memoryOf, ROOM, type Storage, walk } from "./storage.ts";
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
  const move = (coords: readonly Expr[], as: MemoryType): void => {
    const source = em.address(x, bytesAt(from, coords));
    const target = em.address(y, bytesAt(to, coords));
    em.emit(store(as, target.ptr, load(as, source.ptr, source.offset), target.offset));
  };
  /** Four by four elements, neighbours along `across` in one storage and along `along` in the other. */
  const turn = (coords: readonly Expr[], along: number, across: number): void => {
    const moved = (axis: number, by: number): Expr[] => coords.map((c, k) => (k === axis ? add(c, i32(by)) : c));
    const rows = [0, 1, 2, 3].map((k) => {
      const { ptr, offset } = em.address(x, bytesAt(from, moved(along, k)));
      return em.named("v", load("i32x4", ptr, offset));
    }) as [Expr, Expr, Expr, Expr];
    const pairs = ([a, b]: readonly [Expr, Expr], half: number): Expr =>
      em.named("v", shuffle(a, b, half === 0 ? [0, 4, 1, 5] : [2, 6, 3, 7]));
    const [low, high] = [0, 1].map((half) => [pairs([rows[0], rows[2]], half), pairs([rows[1], rows[3]], half)] as const);
    [low!, high!].forEach((pair, half) => {
      for (const k of [0, 1]) {
        const { ptr, offset } = em.address(y, bytesAt(to, moved(across, 2 * half + k)));
        em.emit(store("i32x4", ptr, shuffle(pair[0], pair[1], k === 0 ? [0, 4, 1, 5] : [2, 6, 3, 7]), offset));
      }
    });
  };
  const [along, across] = memory === "i32" ? [laneAxis(to), laneAxis(from)] : [];
  const turned = along !== undefined && across !== undefined && along !== across;
  const wide = along !== undefined && along === across;
  const blocked = wide ? [along] : turned ? [along, across] : [];
  // Blocks that are neighbours where they come from follow each other.
  const order = walk(to).sort((a, b) => (turned ? Number(a === across) - Number(b === across) : 0));
  const shared = isShared(to.shape);
  const nest = (ranges: ReadonlyMap<number, readonly [from: number, to: number]>, step: 1 | 4): void => {
    const counts = order.map((axis): number => {
      const [first, end] = ranges.get(axis) ?? [0, to.shape[axis]!];
      return (end - first) / (blocked.includes(axis) ? step : 1);
    });
    const cut = shared ? mostEven(counts.map((count, depth) => [depth, [{ count, cost: 1 }]])) : undefined;
    const visit = (depth: number, coords: readonly Expr[]): void => {
      const axis = order[depth];
      if (axis === undefined) {
        if (step === 1) move(coords, memory);
        else if (turned) turn(coords, along, across);
        else move(coords, "i32x4");
        return;
      }
      const [first, end] = ranges.get(axis) ?? [0, to.shape[axis]!];
      const by = blocked.includes(axis) ? step : 1;
      const inner = (i: Expr): void =>
        visit(
          depth + 1,
          coords.map((c, k) => (k === axis ? i : c)),
        );
      em.loop(by > 1 ? "v" : "i", i32(first), i32(end), by, inner, depth === cut ? 1 : undefined);
    };
    visit(
      0,
      order.map(() => i32(0)),
    );
  };
  const whole = new Map(blocked.map((axis) => [axis, [0, to.shape[axis]! & ~3] as const]));
  nest(whole, blocked.length > 0 ? 4 : 1);
  // What is left of each blocked axis, beside the whole blocks of those before it.
  blocked.forEach((axis, k) => {
    const rest = [axis, [whole.get(axis)![1], to.shape[axis]!]] as const;
    nest(new Map([...blocked.slice(0, k).map((b) => [b, whole.get(b)!] as const), rest]), 1);
  });
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

/** A constant's elements as they lie in another storage; what lies between them is zero. */
export function relaidConstant(t: Tensor, from: Storage, to: Storage): Tensor {
  const size = DTYPES[t.dtype].bytes;
  const data = new (t.data.constructor as new (n: number) => TypedArray)((to.bytes - ROOM) / size);
  const source = t.data as { readonly [at: number]: number };
  const target = data as unknown as { [at: number]: number };
  const visit = (axis: number, a: number, b: number): void => {
    if (axis === to.shape.length) {
      target[b] = source[a]!;
      return;
    }
    for (let i = 0; i < to.shape[axis]!; i++) visit(axis + 1, a + (i * from.strides[axis]!) / size, b + (i * to.strides[axis]!) / size);
  };
  visit(0, from.offset / size, to.offset / size);
  return { dtype: t.dtype, shape: [data.length], data };
}

/** Copies and margins of fewer bytes are one thread's work. */
const FEW_BYTES = 1024;

/** `copy(target, source)` of a number of bytes that lie together; shared out where source and target are `apart`. */
export function copyFunction(bytes: number, apart: boolean): Func {
  const em = new Emitter();
  const cost = apart && bytes >= FEW_BYTES ? 1 : undefined;
  const [y, x] = [em.parameter("y", "ptr"), em.parameter("x", "ptr")];
  let done = 0;
  for (const memory of ["i32x4", "i32", "u8"] as const) {
    const size = MEMORY_BYTES[memory];
    const end = done + Math.floor((bytes - done) / size) * size;
    em.loop(
      "i",
      i32(done),
      i32(end),
      size,
      (i) => {
        const [source, target] = [em.address(x, i), em.address(y, i)];
        em.emit(store(memory, target.ptr, load(memory, source.ptr, source.offset), target.offset));
      },
      cost,
    );
    done = end;
  }
  return { name: "copy", params: [pointer("y", "write", bytes), pointer("x", "read", bytes)], body: em.body };
}

/** `copy_at(target, source, count)`: `bytes` bytes to the place of that many in the target, of `room` bytes, that `count` (i64) says. */
export function copyAtFunction(bytes: number, room: number): Func {
  const em = new Emitter();
  const [y, x, count] = [em.parameter("y", "ptr"), em.parameter("x", "ptr"), em.parameter("count", "ptr")];
  // Places of other than whole words begin within words.
  const memory = bytes % 4 === 0 ? "i32" : "u8";
  const size = MEMORY_BYTES[memory];
  const start = em.keep(mul(cast("i32", load("i64", count)), i32(bytes / size)));
  em.loop("i", i32(0), i32(bytes / size), 1, (i) => {
    const source = em.address(x, mul(i, i32(size)));
    em.emit(store(memory, advance(y, mul(add(start, i), i32(size))), load(memory, source.ptr, source.offset)));
  });
  const params = [pointer("y", "write", room), pointer("x", "read", bytes), pointer("count", "read", 8)];
  return { name: "copy_at", params, body: em.body };
}

/** `count(n)`: one more, i64. */
export const countFunction: Func = {
  name: "count",
  params: [pointer("n", "readwrite", 8)],
  body: [store("i64", variable("n", "ptr"), add(load("i64", variable("n", "ptr")), constant("i64", 1)))],
};

/**
 * Writes the bytes of a padded storage [N, C, H, W] that hold no element, 0 or its `fill`; `around`: but not those behind each line of
 * elements, which are the rows of a channel, or the pixels of a row.
 */
export function marginsFunction(s: Storage, around = false): Func {
  const em = new Emitter();
  const y = em.parameter("y", "ptr");
  const [n, c, h, w] = s.shape as [number, number, number, number];
  const [image, channel, row, element] = s.strides as [number, number, number, number];
  const fill = Math.imul((s.fill ?? 0) & 255, 0x01010101);
  const clear = (from: Expr, bytes: number): void => {
    const whole = bytes - (bytes % 16);
    em.loop("v", i32(0), i32(whole), 16, (i) => {
      const { ptr, offset } = em.address(y, add(from, i));
      em.emit(store("i32x4", ptr, splat("i32x4", i32(fill)), offset));
    });
    em.loop("i", i32(whole), i32(bytes), 4, (i) => {
      const { ptr, offset } = em.address(y, add(from, i));
      em.emit(store("i32", ptr, i32(fill), offset));
    });
  };
  const byPixel = s.margin !== undefined;
  const [lines, pitch] = byPixel ? [1, row] : [c, channel];
  const gap = pitch - element * w;
  const last = s.offset + (n - 1) * image + h * row;
  const shared = s.bytes >= FEW_BYTES;
  /** Shared out in proportion to the bytes cleared. */
  const loop = (name: string, count: number, bytes: number, body: (i: Expr) => void): void =>
    em.loop(name, i32(0), i32(count), 1, body, shared && bytes > 0 ? bytes : undefined);
  loop("s", 1, s.offset, () => clear(i32(0), s.offset));
  if (gap > 0 && !around) {
    em.loop("n", i32(0), i32(n), 1, (i) =>
      loop("h", h, lines * gap, (j) =>
        em.loop("c", i32(0), i32(lines), 1, (k) => clear(add(bytesAt(s, [i, k, j, i32(0)]), i32(element * w)), gap)),
      ),
    );
  }
  loop("n", n - 1, image - h * row, (i) => clear(bytesAt(s, [i, i32(0), i32(h), i32(0)]), image - h * row));
  loop("s", 1, s.bytes - last, () => clear(i32(last), s.bytes - last));
  return { name: "margins", doc: s.name, params: [pointer("y", "write", s.bytes)], body: em.body };
}
