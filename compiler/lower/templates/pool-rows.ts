// Pooling over rows of channels: the largest or the average of each window, four neighbouring outputs at once.

import { add, advance, binary, f32, for_, i32, let_, load, max, mul, set, splat, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import type { Lowered } from "../template.ts";
import { accumulators } from "./conv-blocks.ts";
import { accessOf, tapSource } from "./conv-input.ts";
import { type ConvShape, type ConvSpec, convShape } from "./conv-spec.ts";
import {
  type ConvFrame,
  convolution,
  floats,
  frameOf,
  type Stream,
  splitChannels,
  stream,
  sweep,
  type TileShape,
  tileEnd,
  tileFirst,
  tilePlace,
  tileX,
} from "./conv-sweep.ts";
import { storeTile } from "./store-tile.ts";
import { planSingle } from "./tiles.ts";
import { type TapOf, windowAccumulators, windowTaps } from "./window.ts";

/** Operand 0 is the input, [N, C, H, W], result 0 the output, [N, C, Ho, Wo]; both f32. */
export interface PoolSpec
  extends Pick<ConvSpec, "name" | "input" | "output" | "kernel" | "strides" | "dilations" | "pads" | "epilogue" | "target"> {
  readonly op: "max" | "avg";
  /** Whether averages count the padding, though not what lies beyond it. */
  readonly countPads: boolean;
}

/** Larger windows are not written out. */
const MOST_TAPS = 49;

/** Elements of each output's window that an average counts, by row and column of outputs. */
function countsOf(spec: PoolSpec, s: ConvShape): { readonly rows: number[]; readonly columns: number[] } {
  const along = (
    outputs: number,
    taps: number,
    extent: number,
    stride: number,
    dilation: number,
    before: number,
    after: number,
  ): number[] => {
    const [low, high] = spec.countPads ? [-before, extent + after] : [0, extent];
    return Array.from({ length: outputs }, (_, o) => {
      const first = o * stride - before;
      return Array.from({ length: taps }, (_, k) => first + k * dilation).filter((at) => at >= low && at < high).length;
    });
  };
  const [top, left, bottom, right] = spec.pads;
  return {
    rows: along(s.ho, s.kh, s.h, spec.strides[0], spec.dilations[0], top, bottom),
    columns: along(s.wo, s.kw, s.w, spec.strides[1], spec.dilations[1], left, right),
  };
}

/** The divisor of an average: one number, or a table of one for each output of an image, in whole vectors of a row. */
function divisorOf(spec: PoolSpec, s: ConvShape): number | Stream {
  const { rows, columns } = countsOf(spec, s);
  const same = [...rows, ...columns].every((n, i) => n === (i < rows.length ? rows[0] : columns[0]));
  if (same) return rows[0]! * columns[0]!;
  const width = Math.ceil(s.wo / 4) * 4;
  // Past a row's end, anything that divides.
  const table = Float32Array.from({ length: s.ho * width }, (_, i) => rows[Math.floor(i / width)]! * (columns[i % width] ?? 1));
  return stream("counts", floats(table));
}

function tileBody(f: ConvFrame, spec: PoolSpec, divisor: number | Stream | undefined, tile: TileShape): Stmt[] {
  const [xc, dst, to] = [variable("xc", "ptr"), variable("dst", "ptr"), variable("to")];
  const [acc] = accumulators(1, tile.rows, tile.vectors);
  const start = splat("f32x4", f32(spec.op === "max" ? Number.NEGATIVE_INFINITY : 0));
  const taps: TapOf = {
    before: () => ({ body: [], value: undefined }),
    combine: (a, value) => (spec.op === "max" ? max(a, value) : add(a, value)),
    next: [],
  };
  const width = Math.ceil(f.shape.wo / 4) * 16;
  const body: Stmt[] = [];
  const count = (y: number, v: number): Expr | undefined => {
    if (divisor === undefined) return undefined;
    if (typeof divisor === "number") return splat("f32x4", f32(divisor));
    return load(
      "f32x4",
      advance(variable("counts", "ptr"), add(mul(variable("oy"), i32(width)), mul(variable("ox"), i32(4)))),
      y * width + 16 * v,
    );
  };
  const values = acc!.map((row, y) =>
    row.map((a, v) => {
      const n = count(y, v);
      if (n) body.push(set(a.name, binary("div", a, n)));
      return a;
    }),
  );
  const channel = i32(f.spec.output.strides[1]!);
  return [
    let_("xc", tileX),
    let_("dst", variable("y", "ptr")),
    let_("to", variable("at")),
    for_("m", tileFirst, tileEnd, [
      ...acc!.flat().map((a) => let_(a.name, start)),
      ...windowTaps(f, tile, acc!, xc, taps),
      ...body,
      ...storeTile(f.target, tilePlace(dst, to, variable("m"), tile.last), [values], f.spec.epilogue),
      set("xc", advance(xc, i32(f.source.channel))),
      set("dst", advance(dst, channel)),
      set("to", add(to, channel)),
    ]),
  ];
}

/** Pooling by windows of at most 49 elements. Undefined for larger ones, dtypes other than f32, and averages of nothing. */
export function poolRows(spec: PoolSpec): Lowered | undefined {
  const channels = spec.input.shape[1];
  const conv: ConvSpec = { ...spec, weights: new Float32Array(0), groups: channels ?? 1 };
  const shape = convShape(conv);
  if (!shape || shape.m !== shape.c || shape.kh * shape.kw > MOST_TAPS) return undefined;
  if (spec.op === "avg" && [countsOf(spec, shape)].some((n) => [...n.rows, ...n.columns].includes(0))) return undefined;
  const source = tapSource(conv, shape, { everyOther: true, fill: spec.op === "max" ? Number.NEGATIVE_INFINITY : 0 });
  const f = frameOf(conv, shape, source);
  const divisor = spec.op === "avg" ? divisorOf(spec, shape) : undefined;
  const access = accessOf(conv, shape, source, { outputs: 1, channels: 1, taps: shape.kh * shape.kw });
  const plan = planSingle(access, { ...spec.target, vectors: ["f32x4"], accumulators: windowAccumulators(f) });
  const streams = typeof divisor === "object" ? [divisor] : [];
  const name = `${spec.name}_channels`;
  const { split, ranges } = splitChannels(plan, shape.m);
  const functions = sweep(f, { name, plan, split, streams: streams.map((s) => s.param), tile: (t) => tileBody(f, spec, divisor, t) });
  const [kh, kw] = spec.kernel;
  return convolution(f, {
    functions,
    calls: ranges.map(([first, end]) => ({
      name,
      from: first,
      first,
      end,
      streams: streams.map((s) => variable(s.param.name, "ptr")),
      cost: end - first,
    })),
    split,
    streams,
    kernel: `pool_f32_${spec.op}`,
    doc: `${spec.op === "max" ? "largest" : "average"} of windows of ${kh} x ${kw} over ${shape.c} x ${shape.h} x ${shape.w}`,
    why: "windows written out, four outputs of a row at once",
  });
}
