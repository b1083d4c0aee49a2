// Products with constant weights as 1x1 convolutions: features are channels, and vectors run along the tokens.

import { add, advance, callStmt, for_, i32, let_, load, mul, pointer, set, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { Storage } from "../storage.ts";
import type { Binding, Lowered } from "../template.ts";
import { convDense } from "./conv-dense.ts";
import { convPixel } from "./conv-pixel.ts";
import { convSparse } from "./conv-sparse.ts";
import type { ConvSpec } from "./conv-spec.ts";
import { floats, stream } from "./conv-sweep.ts";
import { type ConstantMatmulSpec, collapse, unravel, viewed } from "./matmul-spec.ts";
import { planProduct, product } from "./matmul-tile.ts";
import type { Segment } from "./tiles.ts";

interface Axes {
  readonly feature: number;
  readonly token: number;
}

/** A matrix of tokens and features as an image of one row, whose channels are the features. */
function image(
  storage: Storage,
  axes: Axes,
  tokens: { readonly extent: number; readonly stride: number },
  images: number,
  apart: number,
): Storage {
  const features = storage.shape[axes.feature]!;
  return {
    ...storage,
    shape: [images, features, 1, tokens.extent],
    strides: [apart, storage.strides[axes.feature]!, features * storage.strides[axes.feature]!, tokens.stride],
  };
}

/** The convolution that a product is, or undefined where its leading axes have no common distance. */
export function asConvolution(spec: ConstantMatmulSpec): ConvSpec | undefined {
  const { input, output } = spec;
  const rank = output.shape.length;
  if (rank < 2 || input.shape.length !== rank) return undefined;
  const axes: Axes = spec.side === "left" ? { feature: rank - 2, token: rank - 1 } : { feature: rank - 1, token: rank - 2 };
  const shared = {
    name: spec.name,
    weights: spec.weights,
    kernel: [1, 1],
    strides: [1, 1],
    dilations: [1, 1],
    pads: [0, 0, 0, 0],
    groups: 1,
    ...(spec.block ? { block: spec.block } : {}),
    ...(spec.bias ? { bias: spec.bias } : {}),
    target: spec.target,
  } as const;
  if (spec.side === "right") {
    // All leading axes are tokens.
    const [from, to] = [collapse(input, rank - 1), collapse(output, rank - 1)];
    if (!from || !to) return undefined;
    const leading = output.shape.slice(0, -1);
    // Four tokens are neighbours along the last of the leading axes that is longer than 1, unless they go on to the next row of it.
    const tokens = leading.findLastIndex((d) => d > 1);
    if (to.stride === 4 && tokens >= 0 && to.extent !== leading[tokens] && leading[tokens]! % 4 !== 0) return undefined;
    return {
      ...shared,
      input: image(input, axes, from, 1, 0),
      output: image(output, axes, to, 1, 0),
      epilogue: viewed(spec.epilogue, tokens, ([, m, , t]) => [...unravel(t!, leading), m!]),
    };
  }
  const [from, to] = [collapse(input, rank - 2), collapse(output, rank - 2)];
  if (!from || !to) return undefined;
  const leading = output.shape.slice(0, -2);
  const tokens = (s: Storage) => ({ extent: s.shape[rank - 1]!, stride: s.strides[rank - 1]! });
  return {
    ...shared,
    input: image(input, axes, tokens(input), from.extent, from.stride),
    output: image(output, axes, tokens(output), to.extent, to.stride),
    epilogue: viewed(spec.epilogue, rank - 1, ([n, m, , t]) => [...unravel(n!, leading), m!, t!]),
  };
}

/** Sparse weights. Where tokens are not contiguous, the activation is copied to scratch and results are stored one by one. */
export function matmulSparse(spec: ConstantMatmulSpec): Lowered | undefined {
  const conv = asConvolution(spec);
  const lowered = conv && (convPixel(conv) ?? convSparse(conv));
  return lowered && { ...lowered, kernel: "matmul_f32_sparse" };
}

/** Bytes of weights that stay in the cache while all tokens pass. */
const WEIGHTS_AT_ONCE = 256 * 1024;
/** Weights are taken in multiples of so many rows: tiles have up to that. */
const MOST_ROWS = 6;
/** Up to so many bytes between features, whole lines are used and a copy gains nothing. */
const CLOSE = 128;

/** Copies [K][tokens] to [tile of tokens][K][tokens of the tile]: what a tile reads fits in the cache, and nothing else does. */
function packTokens(name: string, x: Storage, channel: number, depth: number, tiles: readonly Segment[]): Func {
  const to = variable("to", "ptr");
  const from = (i: number): Expr => variable(`from${i}`, "ptr");
  return {
    name,
    doc: `copies ${depth} features, tile by tile of their tokens`,
    params: [pointer("x", "read", x.bytes), pointer("panels", "write", depth * panelBytes(tiles))],
    body: [
      let_("to", variable("panels", "ptr")),
      ...tiles.map((tile, i) =>
        for_(
          `v${i}`,
          i32(tile.start),
          i32(tile.start + tile.size * tile.count),
          [
            let_(`from${i}`, advance(variable("x", "ptr"), mul(variable(`v${i}`), i32(16)))),
            for_(`k${i}`, i32(0), i32(depth), [
              ...Array.from({ length: tile.size }, (_, v) => store("f32x4", to, load("f32x4", from(i), 16 * v), 16 * v)),
              set(`from${i}`, advance(from(i), i32(channel))),
              set("to", advance(to, i32(16 * tile.size))),
            ]),
          ],
          tile.size,
        ),
      ),
    ],
  };
}

const panelBytes = (tiles: readonly Segment[]): number => tiles.reduce((sum, t) => sum + 16 * t.size * t.count, 0);

/**
 * Dense weights, for activations and results whose tokens are contiguous; others are better served by `matmulDense`. Weights are splat, as many
 * rows of them at once as stay in the cache.
 */
export function matmulFeatures(spec: ConstantMatmulSpec): Lowered | undefined {
  const conv = asConvolution(spec);
  if (conv?.input.strides[3] !== 4 || conv.output.strides[3] !== 4) return undefined;
  const why = "dense weights: vectors along the tokens";
  const [images, depth, , tokens] = conv.input.shape as [number, number, number, number];
  if (images > 1 || spec.bias) {
    const lowered = convDense(conv);
    return lowered && { ...lowered, kernel: "matmul_f32_features", why };
  }
  const { input, output, name } = conv;
  const features = output.shape[1]!;
  const most = Math.ceil(features / Math.ceil((4 * features * depth) / WEIGHTS_AT_ONCE));
  const at = Math.min(features, Math.ceil(most / MOST_ROWS) * MOST_ROWS);
  const weights = stream("weights", floats(spec.weights));
  const tiles = planProduct(at, tokens, depth, spec.target).vectors;
  const channel = input.strides[1]!;
  const pack = channel > CLOSE ? packTokens(`${name}_pack`, input, channel, depth, tiles) : undefined;
  const part = (rows: number): Func[] =>
    product({
      name: `${name}_rows${rows}`,
      rows,
      depth,
      left: { bytes: weights.param.bytes, row: 4 * depth, depth: 4 },
      right: pack
        ? { bytes: depth * panelBytes(tiles), vector: 16 * depth, row: (size) => 16 * size }
        : { bytes: input.bytes, vector: 16, row: () => channel },
      output: { ...output, shape: [1, rows, 1, tokens], strides: [0, output.strides[1]!, 0, 4] },
      epilogue: viewed(conv.epilogue, 3, ([first, m, , t]) => [i32(0), add(first!, m!), i32(0), t!]),
      plan: { ...planProduct(rows, tokens, depth, spec.target), vectors: tiles },
    });
  const left = features % at;
  const x = advance(variable("x", "ptr"), i32(input.offset));
  const argument = (p: Param): Expr => variable(p.name, p.type);
  const run = (rows: number, m: Expr): Stmt =>
    callStmt(`${name}_rows${rows}`, [
      advance(variable("weights", "ptr"), mul(m, i32(4 * depth))),
      pack ? variable("panels", "ptr") : x,
      variable("y", "ptr"),
      add(mul(m, i32(output.strides[1]!)), i32(output.offset)),
      m,
      ...spec.epilogue.params.map(argument),
    ]);
  const scratch: readonly PointerParam[] = pack
    ? [{ name: "panels", type: "ptr", access: "readwrite", bytes: depth * panelBytes(tiles) }]
    : [];
  const params: readonly Param[] = [
    pointer("x", "read", input.bytes),
    pointer("y", "readwrite", output.bytes),
    weights.param,
    ...scratch,
    ...spec.epilogue.params,
  ];
  const body: readonly Stmt[] = [
    ...(pack ? [callStmt(pack.name, [x, variable("panels", "ptr")])] : []),
    for_("m", i32(0), i32(features - left), [run(at, variable("m"))], at),
    ...(left > 0 ? [run(left, i32(features - left))] : []),
  ];
  const doc = `product of ${depth} features of ${tokens} tokens with constant ${features} x ${depth}`;
  return {
    kernel: "matmul_f32_features",
    functions: [...(pack ? [pack] : []), ...part(at), ...(left > 0 ? part(left) : []), { name, doc, params, body }],
    entry: name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
      { kind: "packed", packed: weights.packed },
      ...scratch.map((p): Binding => ({ kind: "scratch", bytes: p.bytes })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why,
  };
}
