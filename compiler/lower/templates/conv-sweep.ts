// The loops that all convolution templates share: images, ranges of output channels, tiles of rows and vectors; and the entry around them.

import { add, advance, barrier, callStmt, for_, i32, let_, mul, pointer, section, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import { mostEven, PIECES, type Rounds, type Split } from "../split.ts";
import { type Binding, type Lowered, type Packed, packedBytes } from "../template.ts";
import type { TapSource } from "./conv-input.ts";
import type { ConvShape, ConvSpec } from "./conv-spec.ts";
import { type Target, type TilePlace, targetOf } from "./store-tile.ts";
import { balanced, type Segment, type TilePlan } from "./tiles.ts";

/** Everything that the parts of one convolution's code agree on. */
export interface ConvFrame {
  readonly spec: ConvSpec;
  readonly shape: ConvShape;
  readonly source: TapSource;
  readonly target: Target;
}

export const frameOf = (spec: ConvSpec, shape: ConvShape, source: TapSource): ConvFrame => ({
  spec,
  shape,
  source,
  target: targetOf(spec.output),
});

/** A tile of known size, to be written by a template as the body of a function. */
export interface TileShape {
  readonly rows: number;
  readonly vectors: number;
  /** Whether it ends its rows. */
  readonly last: boolean;
}

/** Parameters of a tile's function that a body reads: `x` at tap 0, channels `first` to `end`, streams by name. */
export const tileX = variable("x", "ptr");
export const tileFirst = variable("first");
export const tileEnd = variable("end");

export const tilePlace = (dst: Expr, at: Expr, channel: Expr, last: boolean): TilePlace => ({
  dst,
  at,
  n: variable("n"),
  channel,
  y: variable("oy"),
  x: variable("ox"),
  last,
});

const PLACE: readonly Param[] = ["at", "n", "first", "end", "oy", "ox"].map((name) => ({ name, type: "i32" }));
const argument = (p: Param): Expr => variable(p.name, p.type);

/** Loads of one tap's vectors: displacement of row y, vector v of a tile. */
export const tapDisplacement = (f: ConvFrame, y: number, v: number): number => y * f.source.row + v * f.source.vector;

const rounds = (segments: readonly Segment[]): Rounds[] => segments.map(({ size, count }) => ({ count, cost: size }));

const byTiles = (plan: TilePlan): [Split, Rounds[]][] => [
  ["rows", rounds(plan.rows)],
  ["vectors", rounds(plan.vectors)],
];

/** What threads share of a convolution by these tiles: its calls, of these costs, where that is as even as its tiles and `preferred`. */
export const splitOf = (plan: TilePlan, costs: readonly number[], preferred: boolean): Split =>
  mostEven([...(preferred ? [["calls", costs.map((cost) => ({ count: 1, cost }))] as const] : []), ...byTiles(plan)]);

/** The same where each output channel is worked out by itself, and the ranges of channels to call for: one, unless they are shared out. */
export function splitChannels(
  plan: TilePlan,
  channels: number,
): { readonly split: Split; readonly ranges: readonly (readonly [first: number, end: number])[] } {
  const pieces = balanced(channels, Math.ceil(channels / PIECES)).flatMap(({ start, size, count }) =>
    Array.from({ length: count }, (_, i) => [start + i * size, start + (i + 1) * size] as const),
  );
  const split = mostEven<Split>([...byTiles(plan), ["calls", pieces.map(([first, end]) => ({ count: 1, cost: end - first }))]]);
  return { split, ranges: split === "calls" ? pieces : [[0, channels]] };
}

export interface SweepParts {
  readonly name: string;
  readonly plan: TilePlan;
  readonly split: Split;
  /** Pointers that tiles read besides the input, passed down as they are. */
  readonly streams: readonly PointerParam[];
  tile(shape: TileShape): readonly Stmt[];
}

/** The functions of all kinds of tiles, and last the one that calls them for output channels `first` to `end` of image `n`. */
export function sweep(f: ConvFrame, parts: SweepParts): Func[] {
  const { spec, source, target } = f;
  const buffers: readonly Param[] = [pointer("x", "read", source.bytes), pointer("y", "readwrite", spec.output.bytes)];
  const passed: readonly Param[] = [...parts.streams, ...spec.epilogue.params];
  const tiles = new Map<string, Func>();
  const tileName = (shape: TileShape): string => {
    const name = `${parts.name}_${shape.rows}x${shape.vectors}${shape.last ? "_end" : ""}`;
    if (!tiles.has(name)) tiles.set(name, { name, params: [...buffers, ...PLACE, ...passed], body: parts.tile(shape) });
    return name;
  };
  const [image, channel, row] = spec.output.strides as [number, number, number, number];

  const [n, y] = [variable("n"), variable("y", "ptr")];

  /** Tiles of one kind along a row, of which there are `s.count`. */
  const across = (kind: TileShape, s: Segment, row: { readonly y: Expr; readonly x: Expr; readonly at: Expr }, id: string): Stmt => {
    const v = variable(`v${id}`);
    const at = variable(`at${id}`);
    return for_(
      `v${id}`,
      i32(s.start),
      i32(s.start + s.size * s.count),
      [
        let_(`at${id}`, add(row.at, mul(v, i32(4 * target.lane)))),
        callStmt(tileName(kind), [
          advance(row.x, mul(v, i32(source.vector))),
          advance(y, at),
          ...[at, n, tileFirst, tileEnd, row.y, mul(v, i32(4))],
          ...passed.map(argument),
        ]),
      ],
      s.size,
      parts.split === "vectors" ? s.size : undefined,
    );
  };

  const body = parts.plan.rows.map((ys, i) => {
    const oy = variable(`y${i}`);
    const at = add(mul(n, i32(image)), add(mul(tileFirst, i32(channel)), add(mul(oy, i32(row)), i32(spec.output.offset))));
    const here = { y: oy, x: variable(`row${i}`, "ptr"), at: variable(`at${i}`) };
    const inner = parts.plan.vectors.flatMap((xs, j) => {
      // Only the last vector of a row may be cut; its tile is a kind of its own where that is so.
      const ends = j === parts.plan.vectors.length - 1 && target.ends;
      const before = ends ? xs.count - 1 : xs.count;
      const kind = { rows: ys.size, vectors: xs.size };
      const id = `${i}_${j}`;
      const whole = before > 0 ? [across({ ...kind, last: false }, { ...xs, count: before }, here, id)] : [];
      const rest = { start: xs.start + xs.size * before, size: xs.size, count: 1 };
      return ends ? [...whole, across({ ...kind, last: true }, rest, here, `${id}_end`)] : whole;
    });
    const start = [let_(`row${i}`, advance(tileX, mul(oy, i32(source.row)))), let_(`at${i}`, at)];
    const cost = parts.split === "rows" ? ys.size : undefined;
    return for_(`y${i}`, i32(ys.start), i32(ys.start + ys.size * ys.count), [...start, ...inner], ys.size, cost);
  });
  const range: readonly Param[] = ["n", "first", "end"].map((name) => ({ name, type: "i32" }));
  return [...tiles.values(), { name: parts.name, params: [...buffers, ...range, ...passed], body }];
}

/** A stream of a kernel: constant data and the name of the entry's parameter for it. */
export interface Stream {
  readonly param: PointerParam;
  readonly packed: Packed;
}

export const stream = (name: string, packed: Packed): Stream => ({
  param: { name, type: "ptr", access: "read", bytes: packedBytes(packed) },
  packed,
});

export const floats = (values: Float32Array): Packed => ({
  kind: "bytes",
  bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

/** One call of a sweep: for a range of output channels, from input channel `from` on, with these pointers as its streams. */
export interface SweepCall {
  readonly name: string;
  readonly from: number;
  readonly first: number;
  readonly end: number;
  readonly streams: readonly Expr[];
  /** Work, in proportion to other calls; a positive integer. */
  readonly cost: number;
}

/** The whole kernel: for every image, the copy of its rows where one is needed, then the sweeps. */
export function convolution(
  f: ConvFrame,
  parts: {
    readonly functions: readonly Func[];
    readonly calls: readonly SweepCall[];
    readonly split: Split;
    readonly streams: readonly Stream[];
    /** Further memory for the kernel alone, for each thread its own. */
    readonly scratch?: readonly PointerParam[];
    readonly kernel: string;
    /** What it is, where not a convolution. */
    readonly doc?: string;
    readonly why: string;
    readonly format?: string;
  },
): Lowered {
  const { spec, shape, source } = f;
  const { pack } = source;
  const [x, y, n] = [variable("x", "ptr"), variable("y", "ptr"), variable("image")];
  const from = pack ? variable("scratch", "ptr") : advance(x, mul(n, i32(source.image)));
  const epilogue = spec.epilogue.params.map(argument);
  const body: Stmt[] = [
    for_("image", i32(0), i32(shape.n), [
      ...(pack ? [callStmt(pack.name, [advance(x, mul(n, i32(spec.input.strides[0]!))), from]), barrier] : []),
      ...parts.calls.map((c, i) => {
        const call = callStmt(c.name, [
          advance(from, i32(source.base + c.from * source.channel)),
          y,
          ...[n, i32(c.first), i32(c.end)],
          ...c.streams,
          ...epilogue,
        ]);
        return parts.split === "calls" ? section(`call${i}`, [call], c.cost) : call;
      }),
      ...(pack && shape.n > 1 ? [barrier] : []),
    ]),
  ];
  const copy: PointerParam = { name: "scratch", type: "ptr", access: "readwrite", bytes: source.bytes };
  const scratch: readonly PointerParam[] = [...(pack ? [copy] : []), ...(parts.scratch ?? [])];
  const params: readonly Param[] = [
    pointer("x", "read", spec.input.bytes),
    pointer("y", "readwrite", spec.output.bytes),
    ...scratch,
    ...parts.streams.map((s) => s.param),
    ...spec.epilogue.params,
  ];
  const bindings: readonly Binding[] = [
    { kind: "operand", operand: 0 },
    { kind: "result", result: 0 },
    ...scratch.map((s): Binding => ({ kind: "scratch", bytes: s.bytes, each: s !== copy })),
    ...parts.streams.map((s): Binding => ({ kind: "packed", packed: s.packed })),
    ...spec.epilogue.bindings,
  ];
  const { c, h, w, m } = shape;
  const doc =
    parts.doc ??
    `convolution ${c} x ${h} x ${w} to ${m}, ${spec.kernel.join(" x ")} taps${spec.groups > 1 ? `, ${spec.groups} groups` : ""}`;
  const entry: Func = { name: spec.name, doc, params, body };
  const { kernel, why, format } = parts;
  return {
    kernel,
    functions: [...(pack ? [pack] : []), ...parts.functions, entry],
    entry: spec.name,
    bindings,
    faults: [],
    why,
    ...(f.target.padded && f.target.lane === 4 ? { zeroes: true } : {}),
    ...(format === undefined ? {} : { format }),
  };
}
