// Products of row-major tokens with sparse weights for devices, threads along the features: a workgroup brings some tokens into shared memory, where
// every thread finds what its own row of weights asks for. The weights lie in slices: the rows of neighbouring threads step by step side by side, so
// that what threads read together lies together (sliced ELLPACK: Monakov, Lokhmotov, Avetisyan 2010). A thread stops at the end of its own row.

import {
  add,
  advance,
  barrier,
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
  replace,
  splat,
  store,
  team,
} from "../../../ir/kernel/build.ts";
import type { Expr, Param } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import { type Binding, type Lowered, type Packed, packedBytes } from "../template.ts";
import { type ConstantMatmulSpec, collapse, unravel } from "../templates/matmul-spec.ts";
import { type Blocks, countOf, rowsOf } from "./sparse-blocks.ts";
import { lanesOf, narrow, WIDE } from "./sparse-pixels.ts";

/** Rows of blocks side by side. */
const SLICE = 32;
/** Threads of a workgroup. */
const SIZE = 128;
/** Tokens at once. */
const TOKENS = 8;
/** Rows of the blocks that a thread takes: higher ones are those of several threads. */
export const TALLEST = 4;

interface Slices {
  /** Columns, in blocks, that are in shared memory at once; and how often others are brought there. */
  readonly chunk: number;
  readonly chunks: number;
  readonly slices: number;
  /** For each chunk and slice, its first step; a step has a block for each row of the slice. */
  readonly starts: Uint32Array;
  /** For each chunk and row, its blocks. */
  readonly counts: Uint32Array;
  readonly columns: Uint32Array;
  readonly values: Float32Array;
}

/** What the rows of a slice keep of one chunk, beside each other; where a row has fewer blocks than others, there are zeros. */
function slicesOf(b: Blocks, across: number, most: number): Slices {
  const chunks = Math.ceil(across / most);
  const chunk = Math.ceil(across / chunks);
  const slices = Math.ceil(rowsOf(b) / SLICE);
  const counts = new Uint32Array(chunks * slices * SLICE);
  for (let r = 0; r < rowsOf(b); r++)
    for (let at = b.starts[r]!; at < b.starts[r + 1]!; at++) counts[Math.floor(b.columns[at]! / chunk) * slices * SLICE + r]!++;
  const starts = new Uint32Array(chunks * slices);
  let steps = 0;
  for (let s = 0; s < starts.length; s++) {
    starts[s] = steps;
    steps += counts.subarray(s * SLICE, (s + 1) * SLICE).reduce((a, n) => Math.max(a, n), 0);
  }
  const size = b.shape[0] * b.shape[1];
  const [parts, part] = size % 4 === 0 ? [size / 4, 4] : [size, 1];
  const [columns, values] = [new Uint32Array(steps * SLICE), new Float32Array(steps * SLICE * size)];
  for (let r = 0; r < rowsOf(b); r++) {
    const done = new Map<number, number>();
    for (let at = b.starts[r]!; at < b.starts[r + 1]!; at++) {
      const c = Math.floor(b.columns[at]! / chunk);
      const step = starts[c * slices + Math.floor(r / SLICE)]! + (done.get(c) ?? 0);
      done.set(c, (done.get(c) ?? 0) + 1);
      columns[step * SLICE + (r % SLICE)] = b.columns[at]!;
      for (let e = 0; e < size; e++)
        values[((step * parts + Math.floor(e / part)) * SLICE + (r % SLICE)) * part + (e % part)] = b.values[at * size + e]!;
    }
  }
  return { chunk, chunks, slices, starts, counts, columns, values };
}

/** How results of four features of a token may be stored: as one vector. */
export interface FeatureStores {
  readonly vectors: boolean;
}

/** Blocks of 1 or 4 rows. Undefined where features or tokens have no common distance, or features do not lie side by side in the input. */
export function sparseFeatures(spec: ConstantMatmulSpec, blocks: Blocks, { vectors }: FeatureStores): Lowered | undefined {
  const { input, output, side } = spec;
  const rank = input.shape.length;
  const [from, to] = [collapse(input, rank - 1), collapse(output, rank - 1)];
  if (side !== "right" || !from || !to || spec.bias || input.strides[rank - 1] !== 4) return undefined;
  const [height, width] = blocks.shape;
  const [depth, features, tokens] = [input.shape[rank - 1]!, output.shape[rank - 1]!, to.extent];
  const groups = tokens > TOKENS / 2 ? TOKENS / 4 : 1;
  const most = Math.floor(spec.target.device!.sharedBytes / 16 / groups / width);
  const s = slicesOf(blocks, depth / width, most);
  const held = Math.min(s.chunk * width, depth);
  const across = depth / width;
  const steps = s.columns.length;
  const total = countOf(blocks);
  const streams: readonly (readonly [string, Packed])[] = [
    ["starts", { kind: "indices", columns: s.starts, expanded: "u32", bound: steps + 1, radix: [[steps + 1, 1]] }],
    ["counts", { kind: "counts", counts: narrow(s.counts, s.chunk + 1), expanded: "u32", total }],
    // Where the block's first column lies in shared memory.
    [
      "taps",
      {
        kind: "indices",
        columns: narrow(s.columns, across),
        expanded: "u32",
        bound: across,
        radix: [
          [s.chunks, 0],
          [s.chunk, width],
        ],
      },
    ],
    ["values", { kind: "bytes", bytes: new Uint8Array(s.values.buffer) }],
  ];

  const em = new Emitter();
  const [x, y, starts, counts, taps, values, tile] = ["x", "y", "starts", "counts", "taps", "values", "tile"].map((n) =>
    em.parameter(n, "ptr"),
  ) as [Expr, Expr, Expr, Expr, Expr, Expr, Expr];
  const word = (ptr: Expr, index: Expr): Expr => load("i32", advance(ptr, mul(index, i32(4))));
  const bands = rowsOf(blocks);
  const tokenGroups = Math.ceil(tokens / (4 * groups));
  const bandGroups = Math.ceil(bands / SIZE);
  const [rank0, group] = [em.named("thread", team("rank")), team("group")];
  // Workgroups that run at the same time had better read the same weights.
  const firstToken = em.named("token", mul(rem(group, i32(tokenGroups)), i32(4 * groups)));
  const band = em.named("band", add(mul(div(group, i32(tokenGroups)), i32(SIZE)), rank0));
  const slice = em.named("slice", div(band, i32(SLICE)));
  const lane = em.named("lane", rem(band, i32(SLICE)));
  const tokenAt = (t: number): Expr => {
    const wanted = t === 0 ? firstToken : add(firstToken, i32(t));
    return tokens % (4 * groups) === 0 ? wanted : min(wanted, i32(tokens - 1));
  };
  const each = Array.from({ length: 4 * groups }, (_, t) => t);
  const rows = each.map((t) => em.named("row", add(mul(tokenAt(t), i32(from.stride / 4)), i32(input.offset / 4))));

  // Vectors of tokens for one feature, of features for one token.
  const sums = Array.from({ length: height === 1 ? groups : 4 * groups }, () => em.mutable("sum", splat("f32x4", f32(0))));
  const place = (g: number, k: Expr): Expr => advance(tile, mul(g === 0 ? k : add(k, i32(g * held)), i32(16)));
  const stage = (chunk: Expr): void => {
    const first = em.named("first", mul(chunk, i32(s.chunk * width)));
    const end = depth % held === 0 ? i32(held) : em.named("end", min(i32(held), add(i32(depth), mul(first, i32(-1)))));
    em.loop("k", rank0, end, SIZE, (k) => {
      const column = em.named("column", add(first, k));
      for (let g = 0; g < groups; g++) {
        const read = rows.slice(4 * g, 4 * g + 4).map((row) => em.named("v", load("f32", advance(x, mul(add(row, column), i32(4))))));
        const vector = read.slice(1).reduce((v, e, l) => replace(v, l + 1, e), splat("f32x4", read[0]!));
        em.emit(store("f32x4", place(g, k), vector));
      }
    });
  };
  const multiply = (step: Expr): void => {
    const at = em.named("at", add(mul(step, i32(SLICE)), lane));
    const tap = em.named("tap", word(taps, at));
    /** Vector number `part` of the block: four rows of a column, or four columns of a row. */
    const weights = (part: Expr): Expr => {
      const index = add(mul(add(mul(step, i32((height * width) / 4)), part), i32(SLICE)), lane);
      return em.named("w", load("f32x4", advance(values, mul(index, i32(16)))));
    };
    const tokensOf = (column: Expr): Expr[] => {
      const k = column.kind === "const" && column.value === 0 ? tap : add(tap, column);
      return Array.from({ length: groups }, (_, g) => em.named("p", load("f32x4", place(g, k))));
    };
    if (height === 1) {
      const row = width === 1 ? [em.named("w", load("f32", advance(values, mul(at, i32(4)))))] : lanesOf(weights(i32(0)));
      row.forEach((w, column) => {
        const found = tokensOf(i32(column));
        sums.forEach((sum, g) => {
          sum.assign(fma(splat("f32x4", w), found[g]!, sum.read));
        });
      });
      return;
    }
    const step4 = (column: Expr): void => {
      const [w, found] = [weights(column), tokensOf(column)];
      sums.forEach((sum, t) => {
        sum.assign(fma(w, splat("f32x4", extract(found[Math.floor(t / 4)]!, t % 4)), sum.read));
      });
    };
    if (width >= WIDE) em.loop("column", i32(0), i32(width), 1, step4);
    else for (let column = 0; column < width; column++) step4(i32(column));
  };
  em.loop("chunk", i32(0), i32(s.chunks), 1, (chunk) => {
    if (s.chunks > 1) em.emit(barrier);
    stage(chunk);
    em.emit(barrier);
    // Threads past the last row of their slice find that it has no blocks; past the last slice there are none.
    const taken = (): void => {
      const here = em.named("here", add(mul(chunk, i32(s.slices)), slice));
      const begin = em.named("begin", word(starts, here));
      const count = em.named("count", word(counts, add(mul(here, i32(SLICE)), lane)));
      em.loop("step", begin, add(begin, count), 1, multiply);
    };
    if ((s.slices * SLICE) % SIZE === 0) taken();
    else em.branch(lt(slice, i32(s.slices)), taken);
  });

  const keep = (e: Expr): Expr => (e.kind === "const" || e.kind === "var" ? e : em.named("f", e));
  const totals = sums.map((sum) => em.freeze(sum.read));
  const leading = output.shape.slice(0, -1);
  const put = (t: number, m: Expr, value: Expr, lanes: 1 | 4): void => {
    const token = em.named("t", add(firstToken, i32(t)));
    const unit = 4 * lanes;
    const featureBytes = output.strides[rank - 1]!;
    const column = lanes === 4 ? band : mul(m, i32(featureBytes / 4));
    const offset = mul(em.named("to", add(add(mul(token, i32(to.stride / unit)), column), i32(output.offset / unit))), i32(unit));
    const site = { coords: [...unravel(token, leading), m], offset, displacement: 0, lanes };
    em.emit(store(lanes === 4 ? "f32x4" : "f32", advance(y, offset), spec.epilogue.apply(em.freeze(value), site, keep)));
  };
  const guarded = (conditions: readonly Expr[], then: () => void): void =>
    conditions.length === 0 ? then() : conditions.reduceRight((inner, cond) => () => em.branch(cond, inner), then)();
  guarded(bands % SIZE === 0 ? [] : [lt(band, i32(bands))], () => {
    for (const t of each)
      guarded(tokens % (4 * groups) === 0 ? [] : [lt(add(firstToken, i32(t)), i32(tokens))], () => {
        if (height === 1) return put(t, band, extract(totals[Math.floor(t / 4)]!, t % 4), 1);
        const m = em.named("m", mul(band, i32(height)));
        if (vectors) return put(t, m, totals[t]!, 4);
        for (let r = 0; r < height; r++)
          guarded(features % height === 0 ? [] : [lt(add(m, i32(r)), i32(features))], () =>
            put(t, em.named("m", add(m, i32(r))), extract(totals[t]!, r), 1),
          );
      });
  });

  const params: Param[] = [
    pointer("x", "read", input.bytes),
    pointer("y", "write", output.bytes),
    ...streams.map(([name, packed]) => pointer(name, "read", Math.max(4, packedBytes(packed)))),
    ...spec.epilogue.params,
  ];
  const grid = {
    workgroups: tokenGroups * bandGroups,
    size: SIZE,
    shared: [{ name: "tile", memory: "f32x4", length: groups * held } as const],
  };
  return {
    kernel: "matmul_f32_sparse",
    functions: [
      { name: spec.name, doc: `${tokens} tokens by ${total} blocks of ${height} x ${width} weights`, params, body: em.body, grid },
    ],
    entry: spec.name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
      ...streams.map(([, packed]): Binding => ({ kind: "packed", packed })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why: `threads along the features, which find ${4 * groups} tokens in shared memory`,
  };
}
