// Convolutions with constant weights on a device: tiled products of the weights with the pixels' neighbourhoods.

import type { i32 } from "../../../ir/kernel/build.ts";
import type { Capabilities } from "../../backend.ts";
import { outer } from "../anchor.ts";
import { type GenericContext, kernelName } from "../generic/kernel.ts";
import type { Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { fits } from "./buffers.ts";
import { type ConvSpec, channelOf, convSpecOf, coordsOfQuad, depthOf, isWide } from "./conv-spec.ts";
import { weightSide } from "./conv-weights.ts";
import { pixels } from "./pixels.ts";
import { tiledProduct } from "./product.ts";
import { putOf, type Target } from "./put.ts";
import { axesOf, spanOf, unravel } from "./span.ts";
import { tilingFor, whyTiled } from "./tiling.ts";

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

/** The result as a matrix of channels and pixels for each group of each image. */
function targetOf(spec: ConvSpec): Target {
  const { output, groups, outputs, axes } = spec;
  const [images] = output.shape as [number];
  const [perImage, perChannel] = output.strides as [number, number];
  const shape = axes.map((a) => a.out);
  const coords = (pixel: readonly ReturnType<typeof i32>[], batch: ReturnType<typeof i32>, row: ReturnType<typeof i32>) => {
    const [n, g] = unravel(batch, [images, groups]) as [typeof row, typeof row];
    return [n, groups === 1 ? row : channelOf(spec, g, row), ...pixel];
  };
  return {
    storage: output,
    batch: spanOf([images, groups], [perImage, outputs * perChannel]),
    row: spanOf([outputs], [perChannel]),
    column: axesOf(output, 2, output.shape.length),
    coords: (batch, row, column) => coords(unravel(column, shape), batch, row),
    ...(isWide(spec)
      ? { wide: { axis: output.shape.length - 1, coords: (batch, row, quad) => coords(coordsOfQuad(spec, quad), batch, row) } }
      : {}),
  };
}

/** Convolutions of any number of spatial axes. `plan` is for tests. */
export function deviceConv(u: Unit, c: GenericContext, can: Capabilities, plan = tilingFor): Lowered | undefined {
  const spec = convSpecOf(u, c);
  return spec && tiledConv(u, c, can, spec, targetOf(spec), plan);
}

/** A convolution whose result goes to a target: a row for each output channel of a group, a column for each pixel. */
export function tiledConv(
  u: Unit,
  c: GenericContext,
  can: Capabilities,
  spec: ConvSpec,
  target: Target,
  plan: typeof tilingFor,
): Lowered | undefined {
  const { groups, outputs, axes } = spec;
  const name = kernelName(u);
  const [images] = spec.input.shape as [number];
  const columns = product(axes.map((a) => a.out));
  const depth = depthOf(spec);
  const tiling = plan(images * groups, outputs, columns, depth);
  const left = weightSide(spec, { lines: tiling.rows, depth: tiling.depth });
  const operand = u.operands.indexOf(outer(u, spec.node.inputs[0]!));
  const right = pixels("x", { kind: "operand", operand }, spec, { lines: tiling.columns, depth: tiling.depth });
  const put = putOf(`${name}_put`, target, spec.epilogue);
  const functions = tiledProduct({
    name,
    doc: `convolution: ${outputs} x ${depth} weights by ${columns} pixels${images * groups > 1 ? `, ${images * groups} times` : ""}`,
    batches: images * groups,
    rows: outputs,
    columns,
    depth,
    left,
    right,
    tiling,
    put,
    ...(left.bias ? { start: left.bias } : {}),
  });
  const bindings = [...left.bindings, ...right.bindings, ...put.bindings];
  return fits(bindings, u, c, can)
    ? { kernel: "conv_f32_tiled", functions, entry: name, bindings, faults: [], why: whyTiled(tiling) }
    : undefined;
}
