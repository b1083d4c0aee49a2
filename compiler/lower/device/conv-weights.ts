// The weights of a convolution as one side of a product on a device.

import { add, i32, load, lt, mul, variable } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Emitter } from "../generic/emitter.ts";
import { type ConvSpec, depthOf } from "./conv-spec.ts";
import { guarded, type Reach, type Side, strided } from "./operand.ts";
import { bytesAt, spanOf } from "./span.ts";

export interface WeightSide extends Side {
  /** Reads the bias of four output channels. */
  readonly bias?: (em: Emitter, batch: Expr, quad: Expr) => Expr;
}

/** [group][depth][output channels of the group, padded to whole vectors], and the bias as one more depth. */
function pack({ weights, bias, groups, outputs }: ConvSpec, depth: number, pitch: number): Float32Array {
  const size = (depth + (bias ? 1 : 0)) * pitch;
  const values = new Float32Array(groups * size);
  for (let g = 0; g < groups; g++)
    for (let m = 0; m < outputs; m++) {
      const channel = g * outputs + m;
      for (let k = 0; k < depth; k++) values[g * size + k * pitch + m] = weights[channel * depth + k]!;
      if (bias) values[g * size + depth * pitch + m] = bias[channel]!;
    }
  return values;
}

/** A line for each output channel of a group; the batch is of images, and of groups within. */
export function weightSide(spec: ConvSpec, reach: Reach): WeightSide {
  const depth = depthOf(spec);
  const pitch = Math.ceil(spec.outputs / 4) * 4;
  const values = pack(spec, depth, pitch);
  const batch = spanOf([spec.input.shape[0]!, spec.groups], [0, values.byteLength / spec.groups]);
  const side = strided(
    "weights",
    { kind: "packed", packed: { kind: "bytes", bytes: new Uint8Array(values.buffer) } },
    { offset: 0, bytes: values.byteLength, batch, line: spanOf([pitch], [4]), depth: spanOf([depth], [4 * pitch]) },
    reach,
  );
  const bias: WeightSide["bias"] = (em, image, quad) =>
    guarded(em, pitch % reach.lines === 0 ? [] : [lt(quad, i32(pitch / 4))], () => {
      const at = add(add(bytesAt(batch, image), mul(quad, i32(16))), i32(4 * depth * pitch));
      const { ptr, offset } = em.address(variable("weights", "ptr"), at);
      return load("f32x4", ptr, offset);
    });
  return spec.bias ? { ...side, bias } : side;
}
