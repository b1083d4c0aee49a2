// Products with constant weights as 1x1 convolutions: features are channels, and vectors run along the tokens.

import type { Storage } from "../storage.ts";
import type { Lowered } from "../template.ts";
import { convDense } from "./conv-dense.ts";
import { convPixel } from "./conv-pixel.ts";
import { convSparse } from "./conv-sparse.ts";
import type { ConvSpec } from "./conv-spec.ts";
import { type ConstantMatmulSpec, collapse, unravel, viewed } from "./matmul-spec.ts";

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

/** Dense weights, for activations and results whose tokens are contiguous; others are better served by `matmulDense`. */
export function matmulFeatures(spec: ConstantMatmulSpec): Lowered | undefined {
  const conv = asConvolution(spec);
  if (conv?.input.strides[3] !== 4 || conv.output.strides[3] !== 4) return undefined;
  const lowered = convDense(conv);
  return lowered && { ...lowered, kernel: "matmul_f32_features", why: "dense weights: vectors along the tokens" };
}
