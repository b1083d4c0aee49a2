// Convolutions with constant weights on a device: tiled products of the weights with the pixels' neighbourhoods.

import { add, i32, load, lt, mul, variable } from "../../../ir/kernel/build.ts";
import type { Capabilities } from "../../backend.ts";
import { outer } from "../anchor.ts";
import { type GenericContext, kernelName } from "../generic/kernel.ts";
import type { Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { fits } from "./buffers.ts";
import { type ConvSpec, channelOf, convSpecOf, coordsOfQuad, isWide } from "./conv-spec.ts";
import { guarded, strided } from "./operand.ts";
import { pixels } from "./pixels.ts";
import { type Product, tiledProduct } from "./product.ts";
import { putOf, type Target } from "./put.ts";
import { axesOf, bytesAt, spanOf, unravel } from "./span.ts";
import { tilingFor, whyTiled } from "./tiling.ts";

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

/** [group][depth][output channels of the group, padded to whole vectors], and the bias as one more depth. */
function packWeights({ weights, bias, groups, inputs, outputs, axes }: ConvSpec) {
  const depth = inputs * product(axes.map((a) => a.taps));
  const pitch = Math.ceil(outputs / 4) * 4;
  const size = (depth + (bias ? 1 : 0)) * pitch;
  const values = new Float32Array(groups * size);
  for (let g = 0; g < groups; g++)
    for (let m = 0; m < outputs; m++) {
      const channel = g * outputs + m;
      for (let k = 0; k < depth; k++) values[g * size + k * pitch + m] = weights[channel * depth + k]!;
      if (bias) values[g * size + depth * pitch + m] = bias[channel]!;
    }
  return { depth, pitch, size, bytes: new Uint8Array(values.buffer) };
}

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
  if (!spec) return undefined;
  const { groups, outputs, axes } = spec;
  const name = kernelName(u);
  const packed = packWeights(spec);
  const [images] = spec.input.shape as [number];
  const columns = product(axes.map((a) => a.out));
  const tiling = plan(images * groups, outputs, columns, packed.depth);
  const batch = spanOf([images, groups], [0, 4 * packed.size]);
  const left = strided(
    "weights",
    { kind: "packed", packed: { kind: "bytes", bytes: packed.bytes } },
    {
      offset: 0,
      bytes: packed.bytes.length,
      batch,
      line: spanOf([packed.pitch], [4]),
      depth: spanOf([packed.depth], [4 * packed.pitch]),
    },
    { lines: tiling.rows, depth: tiling.depth },
  );
  const operand = u.operands.indexOf(outer(u, spec.node.inputs[0]!));
  const right = pixels("x", { kind: "operand", operand }, spec, { lines: tiling.columns, depth: tiling.depth });
  const put = putOf(`${name}_put`, targetOf(spec), spec.epilogue);
  const start: Product["start"] = (em, image, quad) =>
    guarded(em, packed.pitch % tiling.rows === 0 ? [] : [lt(quad, i32(packed.pitch / 4))], () => {
      const bytes = add(add(bytesAt(batch, image), mul(quad, i32(16))), i32(4 * packed.depth * packed.pitch));
      const { ptr, offset } = em.address(variable("weights", "ptr"), bytes);
      return load("f32x4", ptr, offset);
    });
  const functions = tiledProduct({
    name,
    doc: `convolution: ${outputs} x ${packed.depth} weights by ${columns} pixels${images * groups > 1 ? `, ${images * groups} times` : ""}`,
    batches: images * groups,
    rows: outputs,
    columns,
    depth: packed.depth,
    left,
    right,
    tiling,
    put,
    ...(spec.bias ? { start } : {}),
  });
  const bindings = [...left.bindings, ...right.bindings, ...put.bindings];
  return fits(bindings, u, c, can)
    ? { kernel: "conv_f32_tiled", functions, entry: name, bindings, faults: [], why: whyTiled(tiling) }
    : undefined;
}
