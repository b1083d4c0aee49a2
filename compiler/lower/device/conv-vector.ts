// Convolutions with one pixel of result on a device (after global pooling, say): the weights times a vector, for each group of each image.

import { i32, mul } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import { outer } from "../anchor.ts";
import { type GenericContext, kernelName } from "../generic/kernel.ts";
import type { Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { fits } from "./buffers.ts";
import { type ConvSpec, channelOf, convSpecOf, depthOf, isPadded } from "./conv-spec.ts";
import { weightSide } from "./conv-weights.ts";
import { reachOf, vectorProduct, vectorTilingFor, whyVector } from "./matvec.ts";
import { strided } from "./operand.ts";
import { isLaneSafe, putOf, type Target } from "./put.ts";
import { spanOf, unravel } from "./span.ts";

/** The result as a row of channels for each group of each image. */
function targetOf(spec: ConvSpec): Target {
  const { output, groups, outputs, operands } = spec;
  const [images] = output.shape as [number];
  const [perImage, perChannel] = output.strides as [number, number];
  const coords = (batch: Expr, channel: Expr): Expr[] => {
    const [n, g] = unravel(batch, [images, groups]) as [Expr, Expr];
    return [n, groups === 1 ? channel : channelOf(spec, g, channel), ...spec.axes.map(() => i32(0))];
  };
  const wide = outputs % 4 === 0 && [output, ...operands].every((s) => isLaneSafe(s, output.shape.length, 1));
  return {
    storage: output,
    batch: spanOf([images, groups], [perImage, outputs * perChannel]),
    row: spanOf([], []),
    column: spanOf([outputs], [perChannel]),
    coords: (batch, _, channel) => coords(batch, channel),
    ...(wide ? { wide: { axis: 1, coords: (batch, _, quad) => coords(batch, mul(quad, i32(4))) } } : {}),
  };
}

export function deviceConvVector(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const spec = convSpecOf(u, c);
  if (!spec?.axes.every((a) => a.out === 1 && !isPadded(a))) return undefined;
  const { node, input, groups, inputs, outputs, axes } = spec;
  const name = kernelName(u);
  const [images] = input.shape as [number];
  const [perImage, perChannel] = input.strides as [number, number];
  const depth = depthOf(spec);
  const tiling = vectorTilingFor(outputs, depth, false);
  const reach = reachOf(tiling);
  const matrix = weightSide(spec, reach);
  const at = {
    offset: input.offset,
    bytes: input.bytes,
    batch: spanOf([images, groups], [perImage, inputs * perChannel]),
    line: spanOf([], []),
    depth: spanOf([inputs, ...axes.map((a) => a.taps)], [perChannel, ...axes.map((a) => a.dilation * a.pitch)]),
  };
  const operand = u.operands.indexOf(outer(u, node.inputs[0]!));
  const vector = strided("x", { kind: "operand", operand }, at, { ...reach, lines: 1 }, "deep");
  const put = putOf(`${name}_put`, targetOf(spec), spec.epilogue);
  const batches = images * groups;
  const doc = `convolution with one pixel: ${outputs} x ${depth}${batches > 1 ? `, ${batches} times` : ""}`;
  const functions = vectorProduct({
    ...{ name, doc, batches, results: outputs, depth, matrix, vector, tiling, put },
    swaps: can.device?.swaps ?? false,
    ...(matrix.bias ? { start: matrix.bias } : {}),
  });
  const bindings = [...matrix.bindings, ...vector.bindings, ...put.bindings];
  return fits(bindings, u, c, can)
    ? { kernel: "conv_f32_vector", functions, entry: name, bindings, faults: [], why: whyVector(tiling) }
    : undefined;
}
