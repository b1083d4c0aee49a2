// Sparse convolutions and products for devices, threads along the pixels: a row of blocks of the weights for neighbouring threads, which read
// neighbouring pixels and the very same weights. Few pixels leave threads to share out each row's blocks.

import {
  add,
  advance,
  and,
  binary,
  compare,
  div,
  extract,
  f32,
  fma,
  i32,
  load,
  lt,
  min,
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
import type { Storage } from "../storage.ts";
import type { Binding, Lowered, Packed } from "../template.ts";
import { type ConvShape, type ConvSpec, convShape } from "../templates/conv-spec.ts";
import { type Blocks, countOf, longestOf, rowsOf } from "./sparse-blocks.ts";

/** Threads of a workgroup. */
const SIZE = 64;
/** Accumulators of a thread. */
const MOST_SUMS = 16;
/** Blocks that a thread had better have where threads share a row, and the most where one row is far longer than others. */
const [SHARE, LONGEST] = [4, 32];
/** Bits of a tap's word that hold its number in the kernel, where pixels may lie outside of the input; the others hold its distance. */
const TAP_BITS = 5;

/** How threads of a workgroup are spread: `pixels` along the pixels, `split` along a row's blocks, the others along rows of blocks. */
export interface SparsePlan {
  /** Neighbouring pixels of a vector. */
  readonly lanes: 1 | 4;
  /** Pixels, or vectors of them, of one thread. */
  readonly cells: number;
  readonly pixels: number;
  readonly split: number;
}

const powerAbove = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)));

/** Whether four neighbouring pixels are 16 aligned bytes of input and result, and no tap moves them out of their row. */
export function hasVectors(spec: ConvSpec, s: ConvShape): boolean {
  const whole = ({ shape, strides, offset }: Storage): boolean => {
    const [n, c, h, w] = shape as [number, number, number, number];
    const apart = [n > 1 ? strides[0]! : 0, c > 1 ? strides[1]! : 0, offset];
    return strides[3] === 4 && (h === 1 || strides[2] === 4 * w) && (h * w) % 4 === 0 && apart.every((x) => x % 16 === 0);
  };
  const plain = s.kh === 1 && s.kw === 1 && [...spec.pads, ...spec.strides.map((x) => x - 1)].every((x) => x === 0);
  return plain && whole(spec.input) && whole(spec.output);
}

export function planPixels(s: ConvShape, blocks: Blocks, lanes: 1 | 4): SparsePlan {
  const count = (s.n * s.ho * s.wo) / lanes;
  const [height] = blocks.shape;
  const most = Math.max(1, Math.floor(MOST_SUMS / (height * lanes)));
  const cells = Math.min(most, 4, powerAbove(Math.ceil(count / SIZE / 2)));
  const pixels = Math.min(SIZE, powerAbove(Math.ceil(count / cells)));
  const wanted = Math.max(countOf(blocks) / Math.max(1, rowsOf(blocks)) / SHARE, longestOf(blocks) / LONGEST);
  return { lanes, cells, pixels, split: Math.min(SIZE / pixels, powerAbove(wanted)) };
}

/** Sections of the weight image that hold the blocks; `radix` gives the words of their columns. */
export function streamsOf(b: Blocks, bound: number, radix: readonly (readonly [number, number])[]): readonly (readonly [string, Packed])[] {
  const count = countOf(b);
  const all = count + 1;
  const narrow = (a: Uint32Array, below: number): Uint16Array | Uint32Array => (below <= 0x10000 ? Uint16Array.from(a) : a);
  return [
    ["starts", { kind: "indices", columns: narrow(b.starts, all), expanded: "u32", bound: all, radix: [[all, 1]] }],
    ["taps", { kind: "indices", columns: narrow(b.columns, bound), expanded: "u32", bound, radix }],
    ["values", { kind: "bytes", bytes: new Uint8Array(b.values.buffer, b.values.byteOffset, b.values.byteLength) }],
  ];
}

const all = (conditions: readonly Expr[], em: Emitter, then: () => void): void =>
  conditions.length === 0 ? then() : em.branch(conditions.reduce(and), then);

/** Undefined for kernels of too many taps, and inputs too large. */
export function sparsePixels(spec: ConvSpec, blocks: Blocks, plan: SparsePlan): Lowered | undefined {
  const s = convShape(spec)!;
  const { lanes, cells, pixels, split } = plan;
  const { input, output, pads } = spec;
  const [height, width] = blocks.shape;
  const size = height * width;
  const unit = 4 * lanes;
  /** Distances along axes of one element mean nothing. */
  const units = ({ strides, shape }: Storage): number[] => strides.map((x, axis) => (shape[axis] === 1 ? 0 : x / unit));
  const padded = pads.some((p) => p > 0);
  if (padded && s.kh * s.kw >= 2 ** TAP_BITS) return undefined;
  const [sn, sc, sy, sx] = units(input) as [number, number, number, number];
  const [tn, tm, ty, tx] = units(output) as [number, number, number, number];
  const [scale, number] = padded ? [2 ** TAP_BITS, 1] : [1, 0];
  const digits = [
    [s.kh, scale * spec.dilations[0] * sy + number * s.kw],
    [s.kw, scale * spec.dilations[1] * sx + number],
    [s.c / width, scale * width * sc],
  ] as const;
  const radix = digits.filter(([extent], k) => k === 2 || extent > 1);
  if (radix.reduce((sum, [extent, stride]) => sum + (extent - 1) * stride, 0) >= 2 ** 31) return undefined;
  const streams = [
    ...streamsOf(blocks, (s.kh * s.kw * s.c) / width, radix),
    ...(spec.bias
      ? [["bias", { kind: "bytes", bytes: new Uint8Array(spec.bias.buffer, spec.bias.byteOffset, spec.bias.byteLength) }] as const]
      : []),
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
  const type = lanes === 4 ? "f32x4" : "f32";
  const wide = (e: Expr): Expr => (lanes === 4 ? splat("f32x4", e) : e);
  const word = (ptr: Expr, index: Expr): Expr => load("i32", advance(ptr, mul(index, i32(4))));

  const bands = rowsOf(blocks);
  const rows = SIZE / (pixels * split);
  const count = (s.n * s.ho * s.wo) / lanes;
  const bandGroups = Math.ceil(bands / rows);
  const pixelGroups = Math.ceil(count / (pixels * cells));
  const [rank, group] = [team("rank"), team("group")];
  // Workgroups that run at the same time had better read the same pixels.
  const band = em.named("band", add(mul(rem(group, i32(bandGroups)), i32(rows)), div(rank, i32(pixels * split))));
  const share = em.named("share", rem(div(rank, i32(pixels)), i32(split)));
  const first = em.named("pixel", add(mul(div(group, i32(bandGroups)), i32(pixels * cells)), rem(rank, i32(pixels))));
  const inBands = bandGroups * rows > bands ? [lt(band, i32(bands))] : [];
  const outside = pixelGroups * pixels * cells > count;

  /** Where a pixel is read and stored, in units, and which taps lie inside the input. */
  const placed = Array.from({ length: cells }, (_, k) => {
    const wanted = k === 0 ? first : add(first, i32(k * pixels));
    const inPixels = outside ? [lt(wanted, i32(count))] : [];
    const at = em.named("at", outside ? min(wanted, i32(count - 1)) : wanted);
    if (lanes === 4) {
      const [n, i] = em.coordinates(at, [s.n, (s.h * s.w) / 4], [0, 1]) as [Expr, Expr];
      const coords = s.h === 1 ? [i32(0), mul(i, i32(4))] : [div(mul(i, i32(4)), i32(s.wo)), rem(mul(i, i32(4)), i32(s.wo))];
      const to = add(mul(n, i32(tn)), i);
      return { inPixels, n, coords, from: em.named("from", add(add(mul(n, i32(sn)), i), i32(input.offset / unit))), to, mask: undefined };
    }
    const [n, v, h] = em.coordinates(at, [s.n, s.ho, s.wo], [0, 1, 2]) as [Expr, Expr, Expr];
    const top = em.named("v", add(mul(v, i32(spec.strides[0])), i32(-pads[0])));
    const left = em.named("h", add(mul(h, i32(spec.strides[1])), i32(-pads[1])));
    const from = add(add(mul(n, i32(sn)), mul(top, i32(sy))), add(mul(left, i32(sx)), i32(input.offset / unit)));
    const to = add(mul(n, i32(tn)), add(mul(v, i32(ty)), mul(h, i32(tx))));
    return { inPixels, n, coords: [v, h], from: em.named("from", from), to, mask: padded ? maskOf(em, spec, s, top, left) : undefined };
  });

  const sums = Array.from({ length: height }, () => placed.map(() => em.mutable("sum", wide(f32(0)))));
  const multiply = (b: Expr): void => {
    const tap = em.named("tap", word(taps, b));
    const distance = padded ? em.named("distance", binary("shr", tap, i32(TAP_BITS))) : tap;
    const inside = padded ? em.named("number", and(tap, i32(2 ** TAP_BITS - 1))) : undefined;
    const from = placed.map((p) => em.named("x", add(p.from, distance)));
    const isIn = placed.map((p) => p.mask && em.named("in", compare("ne", and(binary("shr", p.mask, inside!), i32(1)), i32(0))));
    const block = advance(values, mul(b, i32(4 * size)));
    const weights = Array.from({ length: size % 4 === 0 ? size / 4 : 0 }, (_, k) => em.named("w", load("f32x4", block, 16 * k)));
    const single = weights.length === 0 ? em.named("w", load("f32", block)) : undefined;
    for (let column = 0; column < width; column++) {
      const pixel = placed.map((_, k) => {
        const value = load(type, advance(x, mul(add(from[k]!, i32(column * sc)), i32(unit))));
        const known = isIn[k];
        return em.named("p", known ? select(known, value, f32(0)) : value);
      });
      for (let r = 0; r < height; r++) {
        const place = column * height + r;
        const weight = wide(single ?? extract(weights[Math.floor(place / 4)]!, place % 4));
        pixel.forEach((p, k) => {
          const sum = sums[r]![k]!;
          sum.assign(fma(weight, p, sum.read));
        });
      }
    }
  };
  all([...inBands, ...placed[0]!.inPixels], em, () => {
    const [from, to] = [em.named("from", word(starts, band)), em.named("to", word(starts, add(band, i32(1))))];
    em.loop("b", split === 1 ? from : add(from, share), to, split, multiply);
  });

  const shared: SharedArray[] = split > 1 ? [{ name: "partial", memory: type, length: SIZE * height * cells }] : [];
  const slot = (k: number, away: number): Expr => advance(em.parameter("partial", "ptr"), mul(add(rank, i32(k * SIZE + away)), i32(unit)));
  // Halves of the threads of a row add up what the other halves have.
  for (let half = split / 2; half >= 1; half /= 2) {
    const each = sums.flat();
    em.branch(and(compare("ge", share, i32(half)), lt(share, i32(2 * half))), () =>
      each.forEach((sum, k) => {
        em.emit(store(type, slot(k, 0), sum.read));
      }),
    );
    em.emit({ kind: "barrier" });
    em.branch(lt(share, i32(half)), () =>
      each.forEach((sum, k) => {
        sum.assign(add(sum.read, load(type, slot(k, half * pixels))));
      }),
    );
  }

  const rowsAt = (r: number): Expr => add(mul(band, i32(height)), i32(r));
  all([...inBands, ...(split > 1 ? [compare("eq", share, i32(0))] : [])], em, () =>
    placed.forEach((p, k) => {
      all(p.inPixels, em, () =>
        sums.forEach((row, r) => {
          const m = em.named("m", rowsAt(r));
          all(s.m % height === 0 ? [] : [lt(m, i32(s.m))], em, () => {
            const offset = mul(em.named("to", add(add(mul(m, i32(tm)), p.to), i32(output.offset / unit))), i32(unit));
            const keep = (e: Expr): Expr => (e.kind === "const" || e.kind === "var" ? e : em.named("f", e));
            const total = spec.bias ? add(em.freeze(row[k]!.read), wide(load("f32", advance(bias, mul(m, i32(4)))))) : row[k]!.read;
            const site = { coords: [p.n, m, ...p.coords], offset, displacement: 0, lanes };
            em.emit(store(type, advance(y, offset), spec.epilogue.apply(em.freeze(total), site, keep)));
          });
        }),
      );
    }),
  );

  const bytesOf = (p: Packed): number => (p.kind === "bytes" ? p.bytes.length : 4 * (p as { columns: { length: number } }).columns.length);
  const params: Param[] = [
    pointer("x", "read", input.bytes),
    pointer("y", "write", output.bytes),
    ...streams.map(([name, packed]) => pointer(name, "read", Math.max(4, bytesOf(packed)))),
    ...spec.epilogue.params,
  ];
  const grid = { workgroups: bandGroups * pixelGroups, size: SIZE, shared };
  const doc = `${countOf(blocks)} blocks of ${height} x ${width} weights, ${s.m} x ${s.c} channels`;
  return {
    kernel: "conv_f32_sparse",
    functions: [{ name: spec.name, doc, params, body: em.body, grid }],
    entry: spec.name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
      ...streams.map(([, packed]): Binding => ({ kind: "packed", packed })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why: "threads along the pixels",
  };
}

/** A bit for each tap of the kernel: whether it lies inside the input, seen from a pixel whose first tap lies at (`top`, `left`). */
function maskOf(em: Emitter, spec: ConvSpec, s: ConvShape, top: Expr, left: Expr): Expr {
  const bits = (start: Expr, taps: number, apart: number, extent: number, bit: (k: number) => Expr): Expr =>
    Array.from({ length: taps }, (_, k) => {
      const at = add(start, i32(k * apart));
      return select(and(compare("ge", at, i32(0)), lt(at, i32(extent))), bit(k), i32(0));
    }).reduce((a, b) => binary("or", a, b));
  const columns = em.named(
    "columns",
    bits(left, s.kw, spec.dilations[1], s.w, (k) => i32(2 ** k)),
  );
  return em.named(
    "mask",
    bits(top, s.kh, spec.dilations[0], s.h, (k) => mul(columns, i32(2 ** (k * s.kw)))),
  );
}
