// Dense products of bytes: tiles of a few pixels by outputs side by side in lanes; each word of four inputs is spread to all lanes.

import { add, advance, barrier, callStmt, for_, i32, let_, load, mul, pointer, store, variable } from "../../../ir/kernel/build.ts";
import { type Func, MEMORY_BYTES, type Param, type PointerParam, type Stmt } from "../../../ir/kernel/types.ts";
import { mostEven } from "../split.ts";
import { memoryOf } from "../storage.ts";
import { type Binding, type Lowered, type Packed, packedBytes } from "../template.ts";
import { type Bias, byteDots, count, pairDots, sumsOf, type Tile } from "./bytes-dots.ts";
import { type BytesShape, type BytesSpec, bytesShape, usesBytes } from "./bytes-spec.ts";
import { storeChannels } from "./bytes-store.ts";
import { cut, GROUP, type Group, type Runs, runsOf } from "./bytes-weights.ts";
import { names } from "./store-tile.ts";
import { balanced } from "./tiles.ts";

export type { BytesSpec } from "./bytes-spec.ts";

/** The loop that a team shares: groups of outputs, rows, or tiles of a row. */
type Shared = "groups" | "rows" | "tiles";

const PLACE = ["at0", "n", "m", "ox0", "tiles"] as const;

/** A function that computes a group's outputs for `tiles` tiles of every row, from `x` and byte `at0` of the result on. */
function tileFunction(spec: BytesSpec, s: BytesShape, runs: Runs, t: Tile, name: string, shared: Shared, weights: number): Func {
  const bias: Bias = (v) => (spec.bias ? load("i32x4", variable("bp", "ptr"), 16 * (t.from + v)) : undefined);
  const d = (usesBytes(spec, s) ? byteDots : pairDots)(t, bias);
  const [x, y, at, tile, oy] = [variable("x", "ptr"), variable("y", "ptr"), variable("at"), variable("tile"), variable("oy")];
  const scope = names();
  const stores = count(t.pixels).flatMap((p) =>
    storeChannels(
      spec,
      s,
      {
        dst: variable("dst", "ptr"),
        at,
        displacement: p * s.to.pixel,
        n: variable("n"),
        channel: variable("m"),
        y: oy,
        x: p === 0 ? variable("ox") : add(variable("ox"), i32(p)),
      },
      d.sums(p),
      t.lanes,
      scope,
    ),
  );
  const cost = (which: Shared): number | undefined => (shared === which ? 1 : undefined);
  const params: Param[] = [
    pointer("x", "read", t.size * spec.input.bytes),
    pointer("y", "readwrite", spec.output.bytes),
    { name: "wg", type: "ptr", access: "read", bytes: weights },
    ...(spec.bias ? [{ name: "bp", type: "ptr", access: "read", bytes: 16 * Math.ceil(s.m / 4) } as const] : []),
    ...PLACE.map((p): Param => ({ name: p, type: "i32" })),
    ...spec.epilogue.params,
  ];
  const row = [
    let_("xrow", advance(x, mul(oy, i32(t.size * s.from.row)))),
    let_("atrow", add(variable("at0"), mul(oy, i32(s.to.row)))),
    for_(
      "tile",
      i32(0),
      variable("tiles"),
      [
        let_("xt", advance(variable("xrow", "ptr"), mul(tile, i32(t.size * t.pixels * s.from.pixel)))),
        let_("at", add(variable("atrow"), mul(tile, i32(t.pixels * s.to.pixel)))),
        let_("dst", advance(y, at)),
        let_("ox", add(variable("ox0"), mul(tile, i32(t.pixels)))),
        ...sumsOf(d, runs, t),
        ...stores,
      ],
      1,
      cost("tiles"),
    ),
  ];
  return { name, params, body: [for_("oy", i32(0), i32(s.ho), row, 1, cost("rows"))] };
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
function chunksOf(spec: BytesSpec, s: BytesShape, vectors: number): readonly { readonly from: number; readonly vectors: number }[] {
  if (usesBytes(spec, s) || vectors < GROUP) return [{ from: 0, vectors }];
  return [
    { from: 0, vectors: vectors / 2 },
    { from: vectors / 2, vectors: vectors / 2 },
  ];
}

/** Registers for accumulators beside inputs, a weight and, in 16 bits, a product. */
const registersOf = (spec: BytesSpec, bytes: boolean): number => spec.target.accumulators + (bytes ? 2 : 0);

/** Dense products of bytes with one group. Undefined where the layout or the padding of the operand is another. */
export function bytesDense(spec: BytesSpec): Lowered | undefined {
  const s = bytesShape(spec);
  const size = MEMORY_BYTES[memoryOf(spec.output.dtype)];
  if (!s || spec.groups !== 1 || s.to.channel !== size) return undefined;
  const runs = runsOf(spec, s);
  const { groups, weights } = cut(spec, s, runs);
  const shared = mostEven<Shared>([
    ["rows", [{ count: s.ho, cost: 1 }]],
    ["groups", groups.map((g) => ({ count: g.count, cost: g.vectors }))],
    ["tiles", [{ count: Math.ceil(s.wo / 3), cost: 1 }]],
  ]);
  const bytes = usesBytes(spec, s);
  const width = bytes ? 1 : 2;
  const functions: Func[] = [];
  const body: Stmt[] = [];
  const source = variable(bytes ? "x" : "wide", "ptr");
  const epilogue = spec.epilogue.params.map((p) => variable(p.name, "ptr"));
  const groupBytes = (g: Group): number => 16 * g.vectors * (usesBytes(spec, s) ? 1 : 2) * (runs.length / 4) * runs.down * runs.across;
  for (const g of groups) {
    const calls = chunksOf(spec, s, g.vectors).flatMap(({ from, vectors }) => {
      const perPixel = usesBytes(spec, s) ? vectors : 2 * vectors;
      return balanced(s.wo, Math.max(1, Math.floor(registersOf(spec, bytes) / perPixel))).map((xs) => {
        const name = `${spec.name}_${xs.size}x${4 * vectors}_of${4 * g.vectors}_from${4 * from}${g.lanes < 4 ? `_${g.lanes}` : ""}`;
        const t = { pixels: xs.size, vectors, from, of: g.vectors, lanes: g.lanes, step: s.from.pixel, size: width } as const;
        if (!functions.some((f) => f.name === name)) functions.push(tileFunction(spec, s, runs, t, name, shared, packedBytes(weights)));
        const [i, n, m] = [variable(`g${g.first}`), variable("n"), variable(`m${g.first}`)];
        const channel = from === 0 ? m : add(m, i32(4 * from));
        const offset = i32(spec.output.offset + xs.start * s.to.pixel);
        const at = add(add(mul(n, i32(s.to.image)), mul(channel, i32(s.to.channel))), offset);
        return callStmt(name, [
          advance(advance(source, mul(n, i32(width * s.from.image))), i32(width * (s.from.base + xs.start * s.from.pixel))),
          variable("y", "ptr"),
          advance(variable("weights", "ptr"), add(i32(g.at), mul(i, i32(groupBytes(g))))),
          ...(spec.bias ? [advance(variable("bias", "ptr"), mul(m, i32(4)))] : []),
          ...[at, n, channel, i32(xs.start), i32(xs.count)],
          ...epilogue,
        ]);
      });
    });
    const each = [let_(`m${g.first}`, add(i32(g.first), mul(variable(`g${g.first}`), i32(4 * g.vectors)))), ...calls];
    body.push(for_(`g${g.first}`, i32(0), i32(g.count), each, 1, shared === "groups" ? g.vectors : undefined));
  }
  const bias = spec.bias && new Int32Array(Math.ceil(s.m / 4) * 4);
  if (spec.bias) bias!.set(spec.bias);
  const streams: [PointerParam, Packed][] = [[pointer("weights", "read", packedBytes(weights)) as PointerParam, weights]];
  if (bias) {
    const bytes = new Uint8Array(bias.buffer);
    streams.push([pointer("bias", "read", bytes.length) as PointerParam, { kind: "bytes", bytes }]);
  }
  const scratch = bytes ? [] : [pointer("wide", "readwrite", 2 * spec.input.bytes) as PointerParam];
  const widen = widenFunction(`${spec.name}_widen`, spec.input.bytes);
  const [kh, kw] = spec.kernel;
  const entry: Func = {
    name: spec.name,
    doc: s.matrix ? `bytes ${s.wo} x ${s.c} by ${s.c} x ${s.m}` : `convolution of bytes, ${s.c} channels to ${s.m}, ${kh} x ${kw} taps`,
    params: [
      pointer("x", "read", spec.input.bytes),
      pointer("y", "readwrite", spec.output.bytes),
      ...scratch,
      ...streams.map(([p]) => p),
      ...spec.epilogue.params,
    ],
    body: [
      ...(bytes ? [] : [callStmt(widen.name, [variable("x", "ptr"), source]), barrier]),
      ...(s.n === 1 ? [let_("n", i32(0)), ...body] : [for_("n", i32(0), i32(s.n), body)]),
    ],
  };
  const bindings: Binding[] = [
    { kind: "operand", operand: 0 },
    { kind: "result", result: 0 },
    ...scratch.map((p): Binding => ({ kind: "scratch", bytes: p.bytes, each: false })),
    ...streams.map(([, packed]): Binding => ({ kind: "packed", packed })),
    ...spec.epilogue.bindings,
  ];
  return {
    kernel: `${s.matrix ? "matmul" : "conv"}_u8_dense`,
    functions: [...(bytes ? [] : [widen]), ...functions, entry],
    entry: spec.name,
    bindings,
    faults: [],
    why: `small integers, ${usesBytes(spec, s) ? "four bytes" : "two 16-bit products"} to a sum at once`,
  };
}
