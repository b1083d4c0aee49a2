// What the templates for products of bytes share: a function that sweeps tiles over rows of pixels, calls of it, and the entry around them.

import { add, advance, callStmt, for_, i32, let_, mul, pointer, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import { type Binding, type Lowered, type Packed, packedBytes } from "../template.ts";
import type { BytesShape, BytesSpec } from "./bytes-spec.ts";
import { storeChannels } from "./bytes-store.ts";
import { names } from "./store-tile.ts";
import type { Segment } from "./tiles.ts";

export const count = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

/** A tile of so many pixels of a row, and the loops around it that a team shares. */
export interface Sweep {
  readonly name: string;
  readonly pixels: number;
  /** Bytes of an input: two, where they were widened. */
  readonly size: 1 | 2;
  /** Lanes of the last vector of channels that are stored. */
  readonly lanes: number;
  readonly shared: "rows" | "tiles" | undefined;
  /** What tiles read besides their inputs. */
  readonly beside?: readonly PointerParam[];
  /** Statements before all loops, and those that take the sums of the tile whose first input is at pointer `xt`. */
  readonly before: readonly Stmt[];
  readonly sum: readonly Stmt[];
  /** The sums of a pixel, i32x4 of neighbouring channels from `m` on. */
  sums(pixel: number): readonly Expr[];
}

/** The streams of a kernel: weights behind the pointer `wg` of tiles, and biases, of whole groups of `group` channels, behind `bp`. */
export interface Streams {
  readonly weights: Packed;
  readonly bias: Packed | undefined;
}

export function streamsOf(spec: BytesSpec, s: BytesShape, weights: Packed, group: number): Streams {
  if (!spec.bias) return { weights, bias: undefined };
  const padded = new Int32Array(group * Math.ceil(s.m / group));
  padded.set(spec.bias);
  return { weights, bias: { kind: "bytes", bytes: new Uint8Array(padded.buffer) } };
}

const named = ({ weights, bias }: Streams): readonly (readonly [name: string, inside: string, packed: Packed])[] => [
  ["weights", "wg", weights],
  ...(bias ? [["bias", "bp", bias] as const] : []),
];

const PLACE = ["at0", "n", "m", "ox0", "tiles"] as const;

/** A function that computes channels from `m` on for `tiles` tiles of every row, from `x` and byte `at0` of the result on. */
export function sweepFunction(spec: BytesSpec, s: BytesShape, streams: Streams, w: Sweep): Func {
  const [x, y, at, tile, oy] = [variable("x", "ptr"), variable("y", "ptr"), variable("at"), variable("tile"), variable("oy")];
  const scope = names();
  const stores = count(w.pixels).flatMap((p) => {
    const column = p === 0 ? variable("ox") : add(variable("ox"), i32(p));
    const place = {
      dst: variable("dst", "ptr"),
      at,
      displacement: p * s.to.pixel,
      n: variable("n"),
      channel: variable("m"),
      y: oy,
      x: column,
    };
    return storeChannels(spec, s, place, w.sums(p), w.lanes, scope);
  });
  const tiles = [
    let_("xt", advance(variable("xrow", "ptr"), mul(tile, i32(w.size * w.pixels * s.from.pixel)))),
    let_("at", add(variable("atrow"), mul(tile, i32(w.pixels * s.to.pixel)))),
    let_("dst", advance(y, at)),
    let_("ox", add(variable("ox0"), mul(tile, i32(w.pixels)))),
    ...w.sum,
    ...stores,
  ];
  const row = [
    let_("xrow", advance(x, mul(oy, i32(w.size * s.from.row)))),
    let_("atrow", add(variable("at0"), mul(oy, i32(s.to.row)))),
    for_("tile", i32(0), variable("tiles"), tiles, 1, w.shared === "tiles" ? 1 : undefined),
  ];
  const params: Param[] = [
    pointer("x", "read", w.size * spec.input.bytes),
    pointer("y", "readwrite", spec.output.bytes),
    ...named(streams).map(([, inside, packed]) => pointer(inside, "read", packedBytes(packed))),
    ...(w.beside ?? []),
    ...PLACE.map((p): Param => ({ name: p, type: "i32" })),
    ...spec.epilogue.params,
  ];
  return { name: w.name, params, body: [...w.before, for_("oy", i32(0), i32(s.ho), row, 1, w.shared === "rows" ? 1 : undefined)] };
}

/** Where a call's group of channels begins: channel `m`, for weights and biases channel `of`, whose weights are at byte `weights`. */
export interface Group {
  readonly m: Expr;
  readonly of: Expr;
  readonly weights: Expr;
}

/** A call of such a function for tiles `xs` of each row, reading `from` on, of image `n`. */
export function sweepCall(
  spec: BytesSpec,
  s: BytesShape,
  w: Pick<Sweep, "name" | "size" | "beside">,
  from: Expr,
  xs: Segment,
  g: Group,
): Stmt {
  const n = variable("n");
  const offset = i32(spec.output.offset + xs.start * s.to.pixel);
  return callStmt(w.name, [
    advance(from, i32(w.size * (s.from.base + xs.start * s.from.pixel))),
    variable("y", "ptr"),
    advance(variable("weights", "ptr"), g.weights),
    ...(spec.bias ? [advance(variable("bias", "ptr"), mul(g.of, i32(4)))] : []),
    ...(w.beside ?? []).map((p) => variable(p.name, "ptr")),
    ...[add(add(mul(n, i32(s.to.image)), mul(g.m, i32(s.to.channel))), offset), n, g.m, i32(xs.start), i32(xs.count)],
    ...spec.epilogue.params.map((p) => variable(p.name, "ptr")),
  ]);
}

/** The whole kernel: `before` once, `body` for each image `n`. */
export function framed(
  spec: BytesSpec,
  s: BytesShape,
  streams: Streams,
  parts: Pick<Lowered, "kernel" | "functions" | "why"> & {
    readonly doc: string;
    readonly scratch: readonly PointerParam[];
    /** Constants besides the streams, by the names of their pointers. */
    readonly constants?: readonly (readonly [name: string, packed: Packed])[];
    readonly before: readonly Stmt[];
    readonly body: readonly Stmt[];
  },
): Lowered {
  const constants = [...named(streams).map(([name, , packed]) => [name, packed] as const), ...(parts.constants ?? [])];
  const entry: Func = {
    name: spec.name,
    doc: parts.doc,
    params: [
      pointer("x", "read", spec.input.bytes),
      pointer("y", "readwrite", spec.output.bytes),
      ...parts.scratch,
      ...constants.map(([name, packed]) => pointer(name, "read", packedBytes(packed))),
      ...spec.epilogue.params,
    ],
    body: [...parts.before, ...(s.n === 1 ? [let_("n", i32(0)), ...parts.body] : [for_("n", i32(0), i32(s.n), parts.body)])],
  };
  const bindings: Binding[] = [
    { kind: "operand", operand: 0 },
    { kind: "result", result: 0 },
    ...parts.scratch.map((p): Binding => ({ kind: "scratch", bytes: p.bytes, each: false })),
    ...constants.map(([, packed]): Binding => ({ kind: "packed", packed })),
    ...spec.epilogue.bindings,
  ];
  const { kernel, functions, why } = parts;
  return { kernel, functions: [...functions, entry], entry: spec.name, bindings, faults: [], why };
}
