// Sparse convolutions and products for devices, threads along the pixels: neighbouring threads take the same row of blocks of the weights for
// neighbouring pixels. Few pixels leave threads to share out each row's blocks; of high blocks, whose inputs serve many rows, threads share out the
// rows and meet in shared memory.

import {
  add,
  advance,
  and,
  barrier,
  binary,
  compare,
  div,
  extract,
  f32,
  fma,
  i32,
  load,
  lt,
  mul,
  pointer,
  rem,
  select,
  splat,
  store,
  team,
} from "../../../ir/kernel/build.ts";
import type { Expr, Param, SharedArray } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import { type Binding, type Lowered, type Packed, packedBytes } from "../template.ts";
import { type ConvShape, type ConvSpec, convShape } from "../templates/conv-spec.ts";
import { inUnits, isPadded, placePixel } from "./pixel-places.ts";
import { type Blocks, countOf, longestOf, rowsOf } from "./sparse-blocks.ts";

/** Threads of a workgroup. */
const SIZE = 64;
/** Accumulators of a thread. */
const MOST_SUMS = 16;
/** Blocks that a thread had better have where threads share a row, and the most where one row is far longer than others. */
const [SHARE, LONGEST] = [4, 32];
/** Bits of a tap's word that hold its number in the kernel, where pixels may lie outside of the input; the others hold its distance. */
const TAP_BITS = 5;
/** Rows of blocks from which on threads share them out, and rows that each takes. */
const [HIGH, EACH] = [8, 4];
/** Columns of a block from which on there is a loop over them. */
export const WIDE = 8;

/** How threads of a workgroup are spread: `pixels` along the pixels, `split` at each row of blocks, the others along such rows. */
export interface SparsePlan {
  /** Neighbouring pixels of a vector. */
  readonly lanes: 1 | 4;
  /** Pixels, or vectors of them, of one thread. */
  readonly cells: number;
  readonly pixels: number;
  readonly split: number;
  /** What threads at one row share out: its blocks, or the rows within, and then they bring each block to shared memory together. */
  readonly by: "blocks" | "rows";
}

const powerAbove = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

export function planPixels(s: ConvShape, blocks: Blocks, lanes: 1 | 4): SparsePlan {
  const count = (s.n * s.ho * s.wo) / lanes;
  const [height] = blocks.shape;
  const high = { lanes, cells: 4 / lanes, pixels: (SIZE * EACH) / height, split: height / EACH, by: "rows" } as const;
  if (height >= HIGH && count >= high.pixels * high.cells) return high;
  const most = Math.max(1, Math.floor(MOST_SUMS / (height * lanes)));
  const cells = Math.min(most, 4, powerAbove(Math.ceil(count / SIZE / 2)));
  const pixels = Math.min(SIZE, powerAbove(Math.ceil(count / cells)));
  const wanted = Math.max(countOf(blocks) / Math.max(1, rowsOf(blocks)) / SHARE, longestOf(blocks) / LONGEST);
  return { lanes, cells, pixels, split: Math.min(SIZE / pixels, powerAbove(wanted)), by: "blocks" };
}

const bytesOf = (a: Float32Array): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
export const narrow = (a: Uint32Array, below: number): Uint16Array | Uint32Array => (below <= 0x10000 ? Uint16Array.from(a) : a);

export const lanesOf = (v: Expr): Expr[] => [0, 1, 2, 3].map((lane) => extract(v, lane));

const guarded = (conditions: readonly Expr[], em: Emitter, then: () => void): void =>
  conditions.length === 0 ? then() : em.branch(conditions.reduce(and), then);

/** What the words of taps mean: the distance of a block's first column from a pixel's first tap, and the tap's number if pixels may lie outside. */
function tapRadix(spec: ConvSpec, s: ConvShape, unit: number, width: number): readonly (readonly [number, number])[] | undefined {
  const padded = isPadded(spec);
  if (padded && s.kh * s.kw >= 2 ** TAP_BITS) return undefined;
  const [, sc, sy, sx] = inUnits(spec.input, unit);
  const [scale, number] = padded ? [2 ** TAP_BITS, 1] : [1, 0];
  const digits = [
    [s.kh, scale * spec.dilations[0] * sy + number * s.kw],
    [s.kw, scale * spec.dilations[1] * sx + number],
    [s.c / width, scale * width * sc],
  ] as const;
  const largest = digits.reduce((sum, [extent, stride]) => sum + (extent - 1) * stride, 0);
  return largest < 2 ** 31 ? digits.filter(([extent], k) => k === 2 || extent > 1) : undefined;
}

/** Undefined for kernels of too many taps, and inputs too large. */
export function sparsePixels(spec: ConvSpec, blocks: Blocks, plan: SparsePlan): Lowered | undefined {
  const s = convShape(spec)!;
  const { lanes, cells, pixels, split } = plan;
  const { input, output } = spec;
  const [height, width] = blocks.shape;
  const size = height * width;
  const [unit, type] = lanes === 4 ? ([16, "f32x4"] as const) : ([4, "f32"] as const);
  const together = plan.by === "rows";
  const radix = tapRadix(spec, s, unit, width);
  if (!radix) return undefined;
  const [total, bound] = [countOf(blocks), (s.kh * s.kw * s.c) / width];
  const streams: readonly (readonly [string, Packed])[] = [
    ["starts", { kind: "indices", columns: narrow(blocks.starts, total + 1), expanded: "u32", bound: total + 1, radix: [[total + 1, 1]] }],
    ["taps", { kind: "indices", columns: narrow(blocks.columns, bound), expanded: "u32", bound, radix }],
    ["values", { kind: "bytes", bytes: bytesOf(blocks.values) }],
    ...(spec.bias ? [["bias", { kind: "bytes", bytes: bytesOf(spec.bias) }] as const] : []),
  ];

  const em = new Emitter();
  const [x, y, starts, taps, values, bias] = ["x", "y", "starts", "taps", "values", "bias"].map((name) => em.parameter(name, "ptr")) as [
    Expr,
    Expr,
    Expr,
    Expr,
    Expr,
    Expr,
  ];
  const wide = (e: Expr): Expr => (lanes === 4 ? splat("f32x4", e) : e);
  const word = (ptr: Expr, index: Expr): Expr => load("i32", advance(ptr, mul(index, i32(4))));
  const cell = (ptr: Expr, index: Expr): Expr => advance(ptr, mul(index, i32(unit)));
  const vector = (ptr: Expr, index: Expr): Expr => advance(ptr, mul(index, i32(16)));

  const bands = rowsOf(blocks);
  const rows = SIZE / (pixels * split);
  const bandGroups = Math.ceil(bands / rows);
  const count = (s.n * s.ho * s.wo) / lanes;
  const pixelGroups = Math.ceil(count / (pixels * cells));
  const [rank, group] = [em.named("thread", team("rank")), team("group")];
  // Workgroups that run at the same time had better read the same pixels.
  const number = rem(group, i32(bandGroups));
  const band = em.named("band", rows === 1 ? number : add(mul(number, i32(rows)), div(rank, i32(pixels * split))));
  const column = em.named("column", rem(rank, i32(pixels)));
  const share = em.named("share", rem(div(rank, i32(pixels)), i32(split)));
  const first = em.named("pixel", add(mul(div(group, i32(bandGroups)), i32(pixels * cells)), column));
  const inBands = bandGroups * rows > bands ? [lt(band, i32(bands))] : [];
  const ends = pixelGroups * pixels * cells > count;
  const places = Array.from({ length: cells }, (_, k) =>
    placePixel(em, spec, s, lanes, k === 0 ? first : em.named("pixel", add(first, i32(k * pixels))), ends),
  );
  const own = together ? EACH : height;
  const sums = Array.from({ length: own }, () => places.map(() => em.mutable("sum", wide(f32(0)))));

  /** The inputs of block `b`, column by column, for each cell. */
  const inputsOf = (b: Expr): ((column: Expr) => readonly Expr[]) => {
    const tap = em.named("tap", word(taps, b));
    const padded = isPadded(spec);
    const distance = padded ? em.named("distance", binary("shr", tap, i32(TAP_BITS))) : tap;
    const bit = padded ? em.named("bit", and(tap, i32(2 ** TAP_BITS - 1))) : undefined;
    const at = places.map((p) => em.named("from", add(p.from, distance)));
    const isIn = places.map((p) => p.mask && em.named("in", compare("ne", and(binary("shr", p.mask, bit!), i32(1)), i32(0))));
    const channel = inUnits(input, unit)[1];
    return (j) =>
      places.map((_, k) => {
        const value = load(type, cell(x, add(at[k]!, mul(j, i32(channel)))));
        return em.named("p", isIn[k] ? select(isIn[k], value, f32(0)) : value);
      });
  };
  const multiply = (weights: readonly Expr[], inputs: readonly Expr[]): void =>
    sums.forEach((row, r) => {
      row.forEach((sum, k) => {
        sum.assign(fma(wide(weights[r]!), inputs[k]!, sum.read));
      });
    });

  const alone = (b: Expr): void => {
    const inputs = inputsOf(b);
    const block = advance(values, mul(b, i32(4 * size)));
    if (height % 4 === 0) {
      const step = (j: Expr): void => {
        const from = advance(block, mul(j, i32(4 * height)));
        const vectors = Array.from({ length: height / 4 }, (_, v) => em.named("w", load("f32x4", from, 16 * v)));
        multiply(vectors.flatMap(lanesOf), inputs(j));
      };
      if (width >= WIDE) em.loop("j", i32(0), i32(width), 1, step);
      else for (let j = 0; j < width; j++) step(i32(j));
      return;
    }
    const weights = size === 1 ? [em.named("w", load("f32", block))] : lanesOf(em.named("w", load("f32x4", block)));
    for (let j = 0; j < width; j++) multiply([weights[j]!], inputs(i32(j)));
  };

  const [tile, held, partial] = ["tile", "held", "partial"].map((name) => em.parameter(name, "ptr")) as [Expr, Expr, Expr];
  const slot = (j: Expr, k: number): Expr => cell(tile, add(mul(j, i32(pixels * cells)), add(column, i32(k * pixels))));
  const inTurn = (b: Expr): void => {
    em.emit(barrier);
    const inputs = inputsOf(b);
    em.loop("j", share, i32(width), split, (j) =>
      inputs(j).forEach((p, k) => {
        em.emit(store(type, slot(j, k), p));
      }),
    );
    em.loop("v", rank, i32(size / 4), SIZE, (v) =>
      em.emit(store("f32x4", vector(held, v), load("f32x4", vector(values, add(mul(b, i32(size / 4)), v))))),
    );
    em.emit(barrier);
    em.loop("i", i32(0), i32(width), 1, (i) => {
      const w = em.named("w", load("f32x4", vector(held, add(mul(i, i32(split)), share))));
      multiply(
        lanesOf(w),
        places.map((_, k) => em.named("p", load(type, slot(i, k)))),
      );
    });
  };
  const overBlocks = (): void => {
    const [from, to] = [em.named("begin", word(starts, band)), em.named("end", word(starts, add(band, i32(1))))];
    if (together) em.loop("b", from, to, 1, inTurn);
    else em.loop("b", split === 1 ? from : add(from, share), to, split, alone);
  };
  if (together) overBlocks();
  else guarded([...inBands, ...places[0]!.inside], em, overBlocks);

  // Halves of the threads that share out a row's blocks add up what the other halves have.
  const sumAt = (k: number, away: number): Expr => cell(partial, add(rank, i32(k * SIZE + away)));
  for (let half = together ? 0 : Math.floor(split / 2); half >= 1; half = Math.floor(half / 2)) {
    em.branch(and(compare("ge", share, i32(half)), lt(share, i32(2 * half))), () =>
      sums.flat().forEach((sum, k) => {
        em.emit(store(type, sumAt(k, 0), sum.read));
      }),
    );
    em.emit(barrier);
    em.branch(lt(share, i32(half)), () =>
      sums.flat().forEach((sum, k) => {
        sum.assign(add(sum.read, load(type, sumAt(k, half * pixels))));
      }),
    );
  }

  const [, tm] = inUnits(output, unit);
  const keep = (e: Expr): Expr => (e.kind === "const" || e.kind === "var" ? e : em.named("f", e));
  const put = (r: number, k: number): void => {
    const p = places[k]!;
    const m = em.named("m", add(mul(band, i32(height)), together ? add(mul(share, i32(EACH)), i32(r)) : i32(r)));
    guarded(s.m % height === 0 ? [] : [lt(m, i32(s.m))], em, () => {
      const offset = mul(em.named("to", add(add(mul(m, i32(tm)), p.to), i32(output.offset / unit))), i32(unit));
      const sum = em.freeze(sums[r]![k]!.read);
      const acc = spec.bias ? em.named("acc", add(sum, wide(load("f32", advance(bias, mul(m, i32(4))))))) : sum;
      const site = { coords: [p.image, m, ...p.coords], offset, displacement: 0, lanes };
      em.emit(store(type, advance(y, offset), spec.epilogue.apply(acc, site, keep)));
    });
  };
  guarded([...inBands, ...(split > 1 && !together ? [compare("eq", share, i32(0))] : [])], em, () =>
    places.forEach((p, k) => {
      guarded(p.inside, em, () => sums.forEach((_, r) => put(r, k)));
    }),
  );

  const shared: SharedArray[] = together
    ? [
        { name: "tile", memory: type, length: width * pixels * cells },
        { name: "held", memory: "f32x4", length: size / 4 },
      ]
    : split > 1
      ? [{ name: "partial", memory: type, length: SIZE * height * cells }]
      : [];
  const params: Param[] = [
    pointer("x", "read", input.bytes),
    pointer("y", "write", output.bytes),
    ...streams.map(([name, packed]) => pointer(name, "read", Math.max(4, packedBytes(packed)))),
    ...spec.epilogue.params,
  ];
  const doc = `${total} blocks of ${height} x ${width} weights, ${s.m} x ${s.c} channels`;
  return {
    kernel: "conv_f32_sparse",
    functions: [{ name: spec.name, doc, params, body: em.body, grid: { workgroups: bandGroups * pixelGroups, size: SIZE, shared } }],
    entry: spec.name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
      ...streams.map(([, packed]): Binding => ({ kind: "packed", packed })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why: together ? "threads along the pixels, which share blocks of the input" : "threads along the pixels",
  };
}
