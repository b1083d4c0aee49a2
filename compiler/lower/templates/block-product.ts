// Products of few rows of small integers by constant ones, in blocks with scales of their own: four rows of weights lie in the lanes, and
// each word of an activation row is spread to all of them.

import {
  add,
  advance,
  and,
  barrier,
  binary,
  bitcast,
  callStmt,
  cast,
  compare,
  dot,
  dotPairs,
  extract,
  f32,
  for_,
  i32,
  let_,
  load,
  mul,
  or,
  pointer,
  repeat,
  set,
  shuffle,
  splat,
  store,
  sub,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt, VectorType } from "../../../ir/kernel/types.ts";
import { packedIntegers } from "../../../ir/quantized.ts";
import type { Capabilities } from "../../backend.ts";
import type { Storage } from "../storage.ts";
import type { Binding, Epilogue, Lowered, Packed, PanelRun } from "../template.ts";
import { floats, type Stream, stream } from "./conv-sweep.ts";

/** Elements of a row, of activations and of weights, that share a scale. */
export const BLOCK = 32;

/** Operand 0: x [T, K] i8; operand 1: its scales [T, K / BLOCK] f32; result 0: [T, M] f32. See the operator `block_product`. */
export interface BlockProductSpec {
  readonly name: string;
  readonly x: Storage;
  readonly scale: Storage;
  readonly output: Storage;
  readonly bits: 4 | 8;
  /** [M, K], from 0 on. */
  readonly weights: Uint8Array;
  /** [M, K / BLOCK], or [M]. */
  readonly scales: Float32Array;
  /** One for all, or [M], or [M, K / BLOCK]. */
  readonly zeros: Uint8Array;
  /** Largest magnitude in x. */
  readonly limit: number;
  readonly epilogue: Epilogue;
  readonly target: Capabilities;
}

interface Shape {
  readonly rows: number;
  readonly depth: number;
  readonly features: number;
  readonly blocks: number;
  /** Bytes of a block of one row's weights. */
  readonly blockBytes: number;
  /** Whether signed bytes by unsigned ones are taken in pairs; else two 16-bit products are, of activations widened before. */
  readonly pairs: boolean;
  /** Whether weights have a scale for each block. */
  readonly scaled: boolean;
  /** Whose zero points differ. */
  readonly centred: "rows" | "blocks" | undefined;
}

const count = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
const v = (name: string, type: VectorType | "ptr" | "i32" = "i32"): Expr => variable(name, type);
const ptr = (name: string): Expr => v(name, "ptr");
const all = (type: VectorType, x: number): Expr => splat(type, i32(x));
/** A word in all four lanes, seen as lanes of another width. */
const spread = (type: "i8x16" | "i16x8" | "i32x4", at: Expr, offset = 0): Expr => {
  const word = splat("i32x4", load("i32", at, offset));
  return type === "i32x4" ? word : bitcast(type, word);
};

/** Sums of products of two bytes stay within 16 bits for activations up to this. */
const MOST_BY_BYTES = 64;

/** Two by four bits never leave 16 bits, however many of a block are added; those of 8 may be above 127. */
const inPairs = ({ target: { bytePairs }, bits, limit }: BlockProductSpec): boolean =>
  bits === 4 ? bytePairs !== undefined : bytePairs === "unsigned" && limit <= MOST_BY_BYTES;

/** Words of sums of x, from which each block's product begins: what the zero point makes of them, or they themselves where it varies. */
function prepareFunction(spec: BlockProductSpec, s: Shape): Func {
  const [x, at] = [ptr("x"), v("at")];
  const parts = count(BLOCK / 8).map((j) => v(`x${j}`, "i16x8"));
  const [d, even, odd] = [v("d", "i32x4"), v("even"), v("odd")];
  const from = i32(-spec.zeros[0]!);
  const sum = add(even, odd);
  const start = s.centred
    ? sum
    : spec.bits === 4 && s.pairs
      ? or(and(mul(even, from), i32(0xffff)), binary("shl", mul(odd, from), i32(16)))
      : mul(sum, from);
  const body: Stmt[] = [
    let_("at", mul(v("b"), i32(BLOCK))),
    ...parts.map((_, j) => let_(`x${j}`, load("i8x8", advance(x, at), 8 * j))),
    ...(s.pairs
      ? []
      : parts.map((part, j) =>
          store("i16x8", advance(ptr("wide"), mul(at, i32(2))), shuffle(part, part, [0, 2, 1, 3, 4, 6, 5, 7]), 16 * j),
        )),
    let_(
      "d",
      dot(
        parts.reduce((a, b) => add(a, b)),
        all("i16x8", 1),
      ),
    ),
    let_("even", add(extract(d, 0), extract(d, 2))),
    let_("odd", add(extract(d, 1), extract(d, 3))),
    store("i32", advance(ptr("sums"), mul(v("b"), i32(4))), start),
  ];
  const total = s.rows * s.blocks;
  return {
    name: `${spec.name}_prepare`,
    doc: "sums of blocks of activations",
    params: [
      pointer("x", "read", s.rows * s.depth),
      pointer("sums", "write", 4 * total),
      ...(s.pairs ? [] : [pointer("wide", "write", 2 * s.rows * s.depth)]),
    ],
    body: [for_("b", i32(0), i32(total), body, 1, 1)],
  };
}

/** Adds a block's products to `sums` (i16x8 of 4 bits in pairs, else i32x4), one for each four rows of weights. */
function blockProducts(spec: BlockProductSpec, s: Shape, groups: number): Stmt[] {
  const [x, w] = [ptr("xp"), ptr("wp")];
  const four = spec.bits === 4;
  const words = s.blockBytes / 4;
  const mask = v("mask", "i16x8");
  const sums = count(groups).map((g) => v(`s${g}`, four && s.pairs ? "i16x8" : "i32x4"));
  const shifted = (e: Expr, by: number): Expr => (by === 0 ? e : binary("shr", e, all("i16x8", by)));
  return count(words).flatMap((word): Stmt[] => {
    const weights = (g: number, type: "i8x16" | "i16x8"): Expr => load(type, w, 16 * (word * groups + g));
    // Activations that meet the first, second, ... part of a word of weights.
    const spreads = count(s.pairs ? (four ? 2 : 1) : four ? 4 : 2);
    const name = (k: number): string => `x${word}_${k}`;
    const type = s.pairs ? "i8x16" : "i16x8";
    const loads = spreads.map((k) => let_(name(k), spread(type, x, 4 * (spreads.length * word + k))));
    const xs = spreads.map((k) => v(name(k), type));
    const products = sums.flatMap((sum, g): Stmt[] => {
      const n = `w${word}_${g}`;
      if (s.pairs && !four) return [set(`s${g}`, add(sum, dot(dotPairs(xs[0]!, weights(g, "i8x16")), v("ones", "i16x8"))))];
      const own = v(n, "i16x8");
      const shifts = s.pairs ? [0, 4] : four ? [0, 8, 4, 12] : [0, 8];
      const parts = shifts.map((by) => and(shifted(own, by), mask));
      const terms = parts.map((part, k) => (s.pairs ? dotPairs(xs[k]!, bitcast("i8x16", part), four) : dot(part, xs[k]!)));
      return [
        let_(n, weights(g, "i16x8")),
        set(
          `s${g}`,
          terms.reduce((a, b) => add(a, b), sum),
        ),
      ];
    });
    return [...loads, ...products];
  });
}

/** The function of `groups` times four rows of weights at once, which a team shares. */
function rowsFunction(spec: BlockProductSpec, s: Shape, groups: number, params: readonly Param[], name: string): Func {
  const { output, bits } = spec;
  const four = bits === 4;
  const many = count(groups);
  const acc = many.map((g) => v(`a${g}`, "f32x4"));
  const wide = s.pairs ? 1 : 2;
  const narrow = four && s.pairs;
  const zero = (type: "i16x8" | "i32x4"): Expr => all(type, 0);
  const type = narrow ? "i16x8" : "i32x4";
  const whole = (g: number): Expr => {
    const sum = v(`s${g}`, type);
    const total = narrow ? dot(sum, v("ones", "i16x8")) : sum;
    return s.centred ? sub(total, mul(load("u8x4", ptr("zp"), 4 * g), spread("i32x4", ptr("sp")))) : total;
  };
  const product = (g: number): Expr => {
    const sx = v("sx", "f32x4");
    return mul(cast("f32x4", whole(g)), s.scaled ? mul(sx, load("f32x4", ptr("fp"), 16 * g)) : sx);
  };
  const step = (p: string, bytes: number): Stmt => set(p, advance(ptr(p), i32(bytes)));
  const block: Stmt[] = [
    ...(s.centred ? [] : [let_("start", spread(type, ptr("sp")))]),
    ...many.map((g) => let_(`s${g}`, s.centred ? zero(type) : v("start", type))),
    ...blockProducts(spec, s, groups),
    let_("sx", splat("f32x4", load("f32", ptr("qp")))),
    ...many.map((g) => set(`a${g}`, add(acc[g]!, product(g)))),
    step("wp", 4 * groups * s.blockBytes),
    step("xp", wide * BLOCK),
    step("sp", 4),
    step("qp", 4),
    ...(s.scaled ? [step("fp", 16 * groups)] : []),
    ...(s.centred === "blocks" ? [step("zp", 4 * groups)] : []),
  ];
  let kept = 0;
  const stores = many.flatMap((g): Stmt[] => {
    const body: Stmt[] = [];
    const keep = (e: Expr): Expr => {
      if (e.kind === "var" || e.kind === "const") return e;
      const n = `t${kept++}`;
      body.push(let_(n, e));
      return variable(n, e.type);
    };
    const site = { coords: [v("t"), add(v("m"), i32(4 * g))], offset: v("to"), displacement: 16 * g, lanes: 4, axis: 1 } as const;
    const sum = s.scaled ? acc[g]! : keep(mul(acc[g]!, load("f32x4", advance(ptr("scales"), mul(v("m"), i32(4))), 16 * g)));
    const value = spec.epilogue.apply(sum, site, keep);
    return [...body, store("f32x4", advance(ptr("y"), v("to")), value, 16 * g)];
  });
  const at = (p: string, each: number): Expr => advance(ptr(p), mul(v("m"), i32(each)));
  const row: Stmt[] = [
    let_("to", add(add(mul(v("t"), i32(output.strides[0]!)), mul(v("m"), i32(4))), i32(output.offset))),
    let_("wp", at("weights", s.blocks * s.blockBytes)),
    let_("xp", advance(ptr(s.pairs ? "x" : "wide"), mul(v("t"), i32(wide * s.depth)))),
    let_("end", advance(ptr("xp"), i32(wide * s.depth))),
    let_("sp", advance(ptr("sums"), mul(v("t"), i32(4 * s.blocks)))),
    let_("qp", advance(ptr("scale"), mul(v("t"), i32(4 * s.blocks)))),
    ...(s.scaled ? [let_("fp", at("scales", 4 * s.blocks))] : []),
    ...(s.centred ? [let_("zp", at("zeros", s.centred === "rows" ? 1 : s.blocks))] : []),
    ...many.map((g) => let_(`a${g}`, splat("f32x4", f32(0)))),
    repeat(block, compare("ne", ptr("xp"), ptr("end"))),
    ...stores,
  ];
  const masked = four || !s.pairs;
  const maskOf = s.pairs ? 0x0f0f : four ? 0x000f : 0x00ff;
  const round: Stmt[] = [let_("m", add(v("first"), mul(v("g"), i32(4 * groups)))), for_("t", i32(0), i32(s.rows), row)];
  return {
    name,
    params: [...params, { name: "first", type: "i32" }, { name: "count", type: "i32" }, ...spec.epilogue.params],
    body: [
      ...(s.pairs ? [let_("ones", all("i16x8", 1))] : []),
      ...(masked ? [let_("mask", all("i16x8", maskOf))] : []),
      for_("g", i32(0), v("count"), round, 1, groups),
    ],
  };
}

/** Runs of features that are taken together, and the rest four at a time. */
function runsOf(features: number, groups: number): readonly { readonly first: number; readonly rows: number; readonly groups: number }[] {
  const most = Math.floor(features / (4 * groups)) * 4 * groups;
  return [
    { first: 0, rows: most, groups },
    { first: most, rows: features - most, groups: 1 },
  ].filter((r) => r.rows > 0);
}

/** Zero points as [run of features][block][feature of the run]. */
function zerosOf(spec: BlockProductSpec, s: Shape, runs: ReturnType<typeof runsOf>): Packed {
  if (s.centred === "rows") return { kind: "bytes", bytes: spec.zeros };
  const bytes = new Uint8Array(s.features * s.blocks);
  let to = 0;
  for (const { first, rows, groups } of runs)
    for (let m = first; m < first + rows; m += 4 * groups)
      for (let b = 0; b < s.blocks; b++) for (let r = 0; r < 4 * groups; r++) bytes[to++] = spec.zeros[(m + r) * s.blocks + b]!;
  return { kind: "bytes", bytes };
}

/** Undefined where rows are no whole blocks, features no whole fours, or values lie in another way than row by row. */
export function blockProductTemplate(spec: BlockProductSpec): Lowered | undefined {
  const { x, scale, output, name } = spec;
  const [rows, depth] = x.shape as [number, number];
  const features = output.shape[1]!;
  const blocks = depth / BLOCK;
  const packed = (s: Storage): boolean => s.strides[1] === s.strides[0]! / s.shape[1]! && s.offset === 0;
  if (depth % BLOCK !== 0 || features % 4 !== 0 || !packed(x) || !packed(scale) || output.strides[1] !== 4) return undefined;
  const s: Shape = {
    rows,
    depth,
    features,
    blocks,
    blockBytes: (BLOCK * spec.bits) / 8,
    pairs: inPairs(spec),
    scaled: spec.scales.length > features,
    centred: spec.zeros.length === 1 ? undefined : spec.zeros.length > features ? "blocks" : "rows",
  };
  // As many as there are registers for.
  const runs = runsOf(features, s.pairs ? 4 : 2);
  const panels = (values: Float32Array, columns: number): Packed => ({
    kind: "panels",
    values,
    columns,
    runs: runs.map(({ first, rows, groups }): PanelRun => ({ first, rows, group: 4 * groups, block: columns })),
  });
  const words = new Float32Array(packedIntegers(spec.weights, spec.bits).buffer);
  const streams: readonly Stream[] = [
    stream("weights", panels(words, (blocks * s.blockBytes) / 4)),
    stream("scales", s.scaled ? panels(spec.scales, blocks) : floats(spec.scales)),
    ...(s.centred ? [stream("zeros", zerosOf(spec, s, runs))] : []),
  ];
  const scratch: readonly PointerParam[] = [
    { name: "sums", type: "ptr", access: "readwrite", bytes: 4 * rows * blocks },
    ...(s.pairs ? [] : [{ name: "wide", type: "ptr", access: "readwrite", bytes: 2 * rows * depth } as const]),
  ];
  const params: readonly Param[] = [
    pointer("x", "read", x.bytes),
    pointer("scale", "read", scale.bytes),
    pointer("y", "readwrite", output.bytes),
    ...scratch,
    ...streams.map((p) => p.param),
  ];
  const prepare = prepareFunction(spec, s);
  const functions = runs.map(({ groups }) => rowsFunction(spec, s, groups, params, `${name}_rows${4 * groups}`));
  const argument = (p: Param): Expr => variable(p.name, p.type);
  const calls = runs.map(({ first, rows: n, groups }, k) =>
    callStmt(functions[k]!.name, [...params.map(argument), i32(first), i32(n / (4 * groups)), ...spec.epilogue.params.map(argument)]),
  );
  return {
    kernel: `matmul_i8_u${spec.bits}_blocks`,
    functions: [
      prepare,
      ...functions,
      {
        name,
        doc: `${rows} x ${depth} by ${features} rows of ${spec.bits} bits`,
        params: [...params, ...spec.epilogue.params],
        body: [callStmt(prepare.name, prepare.params.map(argument)), barrier, ...calls],
      },
    ],
    entry: name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "operand", operand: 1 },
      { kind: "result", result: 0 },
      ...scratch.map((p): Binding => ({ kind: "scratch", bytes: p.bytes, each: false })),
      ...streams.map((p): Binding => ({ kind: "packed", packed: p.packed })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why: `weights of ${spec.bits} bits, ${s.pairs ? "pairs of bytes" : "two 16-bit products"} to a sum at once`,
  };
}
