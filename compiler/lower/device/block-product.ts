// Products of few rows of small integers in blocks with scales of their own, on a device: threads share out the blocks of four results, each
// of which is a few dot products of words.

import {
  add,
  and,
  binary,
  callStmt,
  cast,
  compare,
  dot4,
  extract,
  f32,
  i32,
  load,
  lt,
  mul,
  pointer,
  splat,
  sub,
  team,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, PointerParam, SharedArray } from "../../../ir/kernel/types.ts";
import { packedIntegers } from "../../../ir/quantized.ts";
import type { Capabilities } from "../../backend.ts";
import { bound } from "../anchor.ts";
import { Emitter } from "../generic/emitter.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { blockProductOf } from "../match-block-product.ts";
import type { Binding, Lowered, Packed } from "../template.ts";
import { BLOCK, type BlockProductSpec } from "../templates/block-product.ts";
import type { Unit } from "../unit.ts";
import { wordArithmetic } from "./arithmetic.ts";
import { fits } from "./buffers.ts";
import { joined } from "./join.ts";
import { addedUp, vectorTilingFor, whyVector } from "./matvec.ts";
import { epilogueStorages, isLaneSafe, type Put, putOf } from "./put.ts";
import { axesOf, spanOf } from "./span.ts";

type Spec = Omit<BlockProductSpec, "target">;

/** Words of a block of a row's activations, and vectors of four of them. */
const [X_WORDS, FOUR] = [BLOCK / 4, 16];
const [SIGNS, MIDDLE, NIBBLES, ONES] = [0x80808080 | 0, 128, 0x0f0f0f0f, 0x01010101];
const words = (x: number): Expr => splat("i32x4", i32(x));
const ptr = (name: string): Expr => variable(name, "ptr");

interface Stream {
  readonly param: PointerParam;
  readonly packed: Packed;
}

const stream = (name: string, bytes: number, packed: Packed): Stream => ({ param: pointer(name, "read", bytes) as PointerParam, packed });

/** The matrix [M, columns] as [M / 4][columns][4]: what four results want of a column is a vector. */
const inFours = (values: Float32Array, rows: number, columns: number): Packed => ({
  kind: "panels",
  values,
  columns,
  runs: [{ first: 0, rows, group: 4, block: columns }],
});

/** Zero points of signed weights, [rows / 4][blocks][4] as floats, which are exact: loaders widen bytes to those. */
function zerosOf({ bits, zeros }: Spec, features: number): Stream {
  const blocks = zeros.length / features;
  const values = Int8Array.from(zeros, (_, i) => {
    const [row, block] = [4 * Math.floor(i / (4 * blocks)) + (i % 4), Math.floor(i / 4) % blocks];
    return zeros[row * blocks + block]! - (bits === 8 ? MIDDLE : 0);
  });
  return stream("zeros", 4 * zeros.length, { kind: "widened", values, to: "f32" });
}

/** Undefined where rows are no whole blocks, features no whole fours, or values lie in another way than row by row. */
export function deviceBlockProduct(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const found = blockProductOf(u, c);
  if (!found) return undefined;
  const { spec, inputs } = found;
  const { x, scale, output, epilogue } = spec;
  const [rows, depth] = x.shape as [number, number];
  const features = output.shape[1]!;
  const packed = [x, scale].every((s) => s.strides[1] === s.strides[0]! / s.shape[1]! && s.offset % FOUR === 0);
  if (depth % BLOCK !== 0 || features % 4 !== 0 || !packed) return undefined;
  const wide = [output, ...epilogueStorages(u, epilogue, c)].every((s) => isLaneSafe(s, 2, 1));
  const put = putOf(
    `${spec.name}_put`,
    {
      storage: output,
      batch: spanOf([], []),
      row: axesOf(output, 0, 1),
      column: axesOf(output, 1, 2),
      coords: (_, row, column) => [row, column],
      ...(wide ? { wide: { axis: 1, coords: (_: Expr, row: Expr, quad: Expr) => [row, mul(quad, i32(4))] } } : {}),
    },
    epilogue,
  );
  const lowered = lowerWith(spec, rows, depth, features, put, can.device?.swaps ?? false);
  const whole = bound(u, lowered, inputs, epilogue);
  return whole && fits(whole.bindings, u, c, can) ? whole : undefined;
}

function lowerWith(spec: Spec, rows: number, depth: number, features: number, put: Put, swaps: boolean): Lowered {
  const { bits, scales, zeros, name } = spec;
  const blocks = depth / BLOCK;
  const depthWords = (depth * bits) / 32;
  const scaled = scales.length > features;
  const tiling = vectorTilingFor(features, 4 * blocks, true);
  const { quads, slices } = tiling;
  const weights = new Float32Array(packedIntegers(spec.weights, bits).buffer);
  const streams: readonly Stream[] = [
    stream("weights", 4 * weights.length, inFours(weights, features, depthWords)),
    stream("scales", 4 * scales.length, inFours(scales, features, scaled ? blocks : 1)),
    ...(zeros.length > 1 ? [zerosOf(spec, features)] : []),
  ];
  const arithmetic = wordArithmetic(`${name}_dots`);
  const params = [
    pointer("x", "read", spec.x.bytes),
    pointer("x_scale", "read", spec.scale.bytes),
    ...streams.map((s) => s.param),
    ...put.params,
  ];
  const em = new Emitter();
  for (const p of params) em.parameter(p.name, p.type);
  const array: SharedArray = { name: "sums", memory: "f32x4", length: quads * slices };
  em.parameter(array.name, "ptr");
  const fours = features / 4;
  const groups = [rows, Math.ceil(fours / quads)];
  const [row, first] = em.coordinates(team("group"), groups, [0, 1]) as [Expr, Expr];
  const rank = em.named("rank", team("rank"));
  const [own, slice] = em.coordinates(rank, [quads, slices], [0, 1]) as [Expr, Expr];
  const quad = em.named("quad", add(mul(first, i32(quads)), own));
  const at = (p: string, bytes: Expr, type: "i32x4" | "f32x4" | "f32"): Expr => {
    const { ptr: from, offset } = em.address(ptr(p), bytes);
    return em.named(p, load(type, from, offset));
  };
  const sum = em.mutable("sum", splat("f32x4", f32(0)));

  /** Adds what block `b` of the rows makes. */
  const block = (b: Expr): void => {
    const place = em.named("place", add(mul(row, i32(blocks)), b));
    const vectors = [0, 1].map((k) => at("x", add(mul(place, i32(BLOCK)), i32(spec.x.offset + FOUR * k)), "i32x4"));
    const xs = Array.from({ length: X_WORDS }, (_, k) => em.named("w", extract(vectors[k >> 2]!, k & 3)));
    const from = em.named("from", add(mul(quad, i32(depthWords)), mul(b, i32(bits))));
    const dots = em.mutable("dots", arithmetic.zero);
    const multiply = (k: number, four: Expr): void => dots.assign(arithmetic.multiplyAdd(xs[k]!, em.named("f", four), dots.read));
    for (let word = 0; word < bits; word++) {
      const own4 = at("weights", mul(add(from, i32(word)), i32(FOUR)), "i32x4");
      if (bits === 8) multiply(word, binary("xor", own4, words(SIGNS)));
      else {
        multiply(2 * word, and(own4, words(NIBBLES)));
        multiply(2 * word + 1, and(binary("shr", own4, words(4)), words(NIBBLES)));
      }
    }
    const zero = zeros[0]! - (bits === 8 ? MIDDLE : 0);
    let whole = dots.read;
    if (zeros.length > 1 || zero !== 0) {
      const total = xs.map((w) => dot4(w, i32(ONES))).reduce(add);
      const each = zeros.length > features ? add(mul(quad, i32(blocks)), b) : quad;
      const centres = zeros.length > 1 ? cast("i32x4", at("zeros", mul(each, i32(FOUR)), "f32x4")) : words(zero);
      whole = sub(whole, mul(centres, splat("i32x4", total)));
    }
    const sx = splat("f32x4", at("x_scale", add(mul(place, i32(4)), i32(spec.scale.offset)), "f32"));
    const by = scaled ? mul(sx, at("scales", mul(add(mul(quad, i32(blocks)), b), i32(FOUR)), "f32x4")) : sx;
    sum.assign(add(sum.read, mul(cast("f32x4", whole), by)));
  };

  em.loop("step", i32(0), i32(Math.ceil(blocks / slices)), 1, (step) => {
    const b = em.named("b", add(mul(step, i32(slices)), slice));
    const inside = [...(blocks % slices === 0 ? [] : [lt(b, i32(blocks))]), ...(fours % quads === 0 ? [] : [lt(quad, i32(fours))])];
    if (inside.length === 0) block(b);
    else em.branch(inside.reduce(and), () => block(b));
  });
  const seats = { threads: slices, stride: 1, rank, first: mul(own, i32(slices)), thread: slice };
  const total = swaps
    ? joined(em, seats, [sum.read], [{ array, bytes: FOUR }], (a, b) => [add(a[0]!, b[0]!)])[0]!
    : addedUp(em, seats, sum.read, (thread) => em.address(ptr(array.name), mul(add(mul(own, i32(slices)), thread), i32(FOUR))));
  const last = (): void => {
    const four = scaled ? total : mul(total, at("scales", mul(quad, i32(FOUR)), "f32x4"));
    em.emit(callStmt(put.func.name, put.args(four, i32(0), row, quad)));
  };
  const storing = [...(slices > 1 ? [compare("eq", slice, i32(0))] : []), ...(fours % quads === 0 ? [] : [lt(quad, i32(fours))])];
  if (storing.length === 0) last();
  else em.branch(storing.reduce(and), last);
  const grid = { workgroups: groups.reduce((a, b) => a * b, 1), size: quads * slices, shared: slices > 1 ? [array] : [] };
  const entry: Func = { name, doc: `${rows} x ${depth} by ${features} rows of ${bits} bits`, params, body: em.body, grid };
  return {
    kernel: `matmul_i8_u${bits}_blocks`,
    functions: [put.func, ...arithmetic.functions, entry],
    entry: name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "operand", operand: 1 },
      ...streams.map((s): Binding => ({ kind: "packed", packed: s.packed })),
      ...put.bindings,
    ],
    faults: [],
    why: `weights of ${bits} bits, four products of bytes at once; ${whyVector(tiling)}`,
  };
}
