// Dense products of bytes: tiles of a few pixels by outputs side by side in lanes; each word of four inputs is spread to all lanes.

import { add, advance, barrier, callStmt, for_, i32, let_, load, mul, pointer, store, variable } from "../../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES, type PointerParam, type Stmt } from "../../../ir/kernel/types.ts";
import { mostEven } from "../split.ts";
import { memoryOf, type Storage } from "../storage.ts";
import { type Lowered, noEpilogue, type Packed } from "../template.ts";
import { byteDots, pairDots, type Start, sumsOf, type Tile } from "./bytes-dots.ts";
import { framed, type Streams, streamsOf, sweepCall, sweepFunction } from "./bytes-frame.ts";
import { asSummed, type BytesShape, type BytesSpec, bytesShape } from "./bytes-spec.ts";
import { cut, GROUP, type Group, type Runs, runsOf, stored } from "./bytes-weights.ts";
import { balanced } from "./tiles.ts";

export type { BytesSpec } from "./bytes-spec.ts";

/** The loop that a team shares: groups of outputs, rows, or tiles of a row. */
type Shared = "groups" | "rows" | "tiles";

/**
 * Weights of more than a byte, as bytes less an excess that all of them have: what the excess adds to the sums of a pixel is the same for
 * all outputs, and taken before, i32x4 of four equal lanes for each pixel.
 */
interface Excess {
  readonly sums: PointerParam;
  readonly weights: Packed;
  readonly product: Lowered;
}

const EXCESS = { sums: "excess_sums", weights: "excess" } as const;

function excessOfSums(spec: BytesSpec, s: BytesShape, excess: number): Excess {
  const places = s.n * s.ho * s.wo;
  const name = `${spec.name}_excess`;
  const strides = s.matrix ? [16, 4] : [16 * s.ho * s.wo, 4, 16 * s.wo, 16];
  const shape = spec.output.shape.map((d, k) => (k === 1 ? 4 : d));
  const output: Storage = { name: "pixels", dtype: "i32", shape, strides, offset: 0, bytes: 16 * places, zeroed: false };
  const weights = new Int16Array((4 * spec.weights.length) / s.m).fill(excess);
  const { bias: _, block: __, ...own } = spec;
  const product = bytesDense({ ...own, name, output, weights, saturates: false, epilogue: noEpilogue }, excess)!;
  const [packed] = product.bindings.flatMap((b) => (b.kind === "packed" ? [b.packed] : []));
  return { sums: pointer(EXCESS.sums, "readwrite", 16 * places) as PointerParam, weights: packed!, product };
}

/** What the sums of a tile begin with, and the statements that find it. */
function startOf(
  spec: BytesSpec,
  s: BytesShape,
  t: Tile,
  excess: Excess | undefined,
): { readonly start: Start; readonly find: readonly Stmt[] } {
  const bias = (v: number): Expr | undefined => (spec.bias ? load("i32x4", variable("bp", "ptr"), 16 * (t.from + v)) : undefined);
  if (!excess) return { start: (_, v) => bias(v), find: [] };
  const pixel = add(mul(add(mul(variable("n"), i32(s.ho)), variable("oy")), i32(s.wo)), variable("ox"));
  const own = (p: number): Expr => load("i32x4", variable("ep", "ptr"), 16 * p);
  return {
    start: (p, v) => {
      const first = bias(v);
      return first ? add(first, own(p)) : own(p);
    },
    find: [let_("ep", advance(variable(EXCESS.sums, "ptr"), mul(pixel, i32(16))))],
  };
}

/** How a product takes its sums: dots of bytes, where the target has them and the weights, less an excess, fit. */
interface Way {
  readonly bytes: boolean;
  readonly excess: Excess | undefined;
}

/** The function of a tile; a team shares its loops where they are what is `shared`. */
function tileFunction(
  spec: BytesSpec,
  s: BytesShape,
  runs: Runs,
  t: Tile,
  streams: Streams,
  name: string,
  shared: Shared,
  { bytes, excess }: Way,
): Func {
  const { start, find } = startOf(spec, s, t, excess);
  const d = bytes ? byteDots(spec, t, start) : pairDots(t, start);
  const { pixels, size, lanes } = t;
  return sweepFunction(spec, s, streams, {
    ...{ name, pixels, size, lanes },
    shared: shared === "groups" ? undefined : shared,
    beside: excess ? [excess.sums] : [],
    before: [],
    sum: [...find, ...sumsOf(d, runs, t)],
    sums: d.sums,
  });
}

/** Copies `bytes` unsigned bytes (of whole eights) as i16: products in 16 bits then load their operands as they are. */
function widenFunction(name: string, bytes: number): Func {
  const at = variable("v");
  return {
    name,
    doc: "bytes as 16 bits",
    params: [pointer("x", "read", bytes), pointer("wide", "write", 2 * bytes)],
    body: [
      for_(
        "v",
        i32(0),
        i32(bytes & ~7),
        [store("i16x8", advance(variable("wide", "ptr"), mul(at, i32(2))), load("u8x8", advance(variable("x", "ptr"), at)))],
        8,
        bytes >= FEW_BYTES ? 1 : undefined,
      ),
    ],
  };
}

/** Copies of fewer bytes are one thread's work. */
const FEW_BYTES = 4096;

/** Outputs whose sums are taken at once, of a group: as many as a tile of two or three pixels has registers for. */
function chunksOf(bytes: boolean, vectors: number): readonly { readonly from: number; readonly vectors: number }[] {
  if (bytes || vectors < GROUP) return [{ from: 0, vectors }];
  return [
    { from: 0, vectors: vectors / 2 },
    { from: vectors / 2, vectors: vectors / 2 },
  ];
}

/** Registers for accumulators beside inputs, a weight and, in 16 bits, a product. */
const registersOf = (spec: BytesSpec, bytes: boolean): number => spec.target.accumulators + (bytes ? 2 : 0);

/**
 * Dense products of bytes with one group. Undefined where the layout or the padding of the operand is another. `own`: all weights
 * are the excess of another product, as is what bytes between channels are multiplied by; that one's first summands make up for how they are read.
 */
export function bytesDense(given: BytesSpec, own?: number): Lowered | undefined {
  const s = bytesShape(given);
  const size = MEMORY_BYTES[memoryOf(given.output.dtype)];
  if (!s || given.groups !== 1 || s.to.channel !== size) return undefined;
  const runs = runsOf(given, s);
  const { groups, values, sums } = cut(given, s, runs, own ?? 0);
  const { packed: weights, excess: off, bytes } = stored(given, values);
  const spec = bytes && own === undefined ? asSummed(given, sums) : given;
  const excess = bytes && off ? excessOfSums(given, s, off) : undefined;
  const shared = mostEven<Shared>([
    ["rows", [{ count: s.ho, cost: 1 }]],
    ["groups", groups.map((g) => ({ count: g.count, cost: g.vectors }))],
    ["tiles", [{ count: Math.ceil(s.wo / 3), cost: 1 }]],
  ]);
  const width = bytes ? 1 : 2;
  const streams = streamsOf(spec, s, weights, 4);
  const functions: Func[] = [];
  const body: Stmt[] = [];
  const source = variable(bytes ? "x" : "wide", "ptr");
  const image = advance(source, mul(variable("n"), i32(width * s.from.image)));
  const groupBytes = (g: Group): number => 16 * g.vectors * width * (runs.length / 4) * runs.down * runs.across;
  for (const g of groups) {
    const [i, of] = [variable(`g${g.first}`), variable(`m${g.first}`)];
    const calls = chunksOf(bytes, g.vectors).flatMap(({ from, vectors }) => {
      const perPixel = bytes ? vectors : 2 * vectors;
      return balanced(s.wo, Math.max(1, Math.floor(registersOf(spec, bytes) / perPixel))).map((xs) => {
        const name = `${spec.name}_${xs.size}x${4 * vectors}_of${4 * g.vectors}_from${4 * from}${g.lanes < 4 ? `_${g.lanes}` : ""}`;
        const t = { pixels: xs.size, vectors, from, of: g.vectors, lanes: g.lanes, step: s.from.pixel, size: width } as const;
        if (!functions.some((f) => f.name === name))
          functions.push(tileFunction(spec, s, runs, t, streams, name, shared, { bytes, excess }));
        const m = from === 0 ? of : add(of, i32(4 * from));
        const tile = { name, size: width, beside: excess ? [excess.sums] : [] } as const;
        return sweepCall(spec, s, tile, image, xs, { m, of, weights: add(i32(g.at * width), mul(i, i32(groupBytes(g)))) });
      });
    });
    const each = [let_(`m${g.first}`, add(i32(g.first), mul(i, i32(4 * g.vectors)))), ...calls];
    body.push(for_(`g${g.first}`, i32(0), i32(g.count), each, 1, shared === "groups" ? g.vectors : undefined));
  }
  const widen = widenFunction(`${spec.name}_widen`, spec.input.bytes);
  const [kh, kw] = spec.kernel;
  const x = variable("x", "ptr");
  const call = (name: string, ...args: string[]): Stmt[] => [callStmt(name, [x, ...args.map((a) => variable(a, "ptr"))]), barrier];
  return framed(spec, s, streams, {
    kernel: `${s.matrix ? "matmul" : "conv"}_u8_dense`,
    doc: s.matrix ? `bytes ${s.wo} x ${s.c} by ${s.c} x ${s.m}` : `convolution of bytes, ${s.c} channels to ${s.m}, ${kh} x ${kw} taps`,
    functions: [...(bytes ? [] : [widen]), ...(excess?.product.functions ?? []), ...functions],
    scratch: bytes ? (excess ? [excess.sums] : []) : [pointer("wide", "readwrite", 2 * spec.input.bytes) as PointerParam],
    constants: excess ? [[EXCESS.weights, excess.weights]] : [],
    before: bytes ? (excess ? call(excess.product.entry, EXCESS.sums, EXCESS.weights) : []) : call(widen.name, "wide"),
    body,
    why: `small integers, ${bytes ? "four bytes" : "two 16-bit products"} to a sum at once${excess ? ", weights less what they have in excess" : ""}`,
  });
}
