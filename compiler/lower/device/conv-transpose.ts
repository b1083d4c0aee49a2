// Transposed convolutions on a device: results that lie a stride apart take the same taps, so that those of one phase are a convolution with stride 1
// of their own, and all phases together one with as many times the output channels, whose pixels are scattered (sub-pixel convolution: Shi et
// al., 2016).

import { add, i32, lt, mul } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import { anchorOf, constantOperand, outer } from "../anchor.ts";
import { epilogueOf } from "../epilogue.ts";
import type { GenericContext } from "../generic/kernel.ts";
import type { Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { tiledConv } from "./conv.ts";
import { type Axis, type ConvSpec, channelOf } from "./conv-spec.ts";
import { epilogueStorages, type Target } from "./put.ts";
import { spanOf, unravel } from "./span.ts";
import { tilingFor } from "./tiling.ts";

/** One spatial axis: result `phase + stride * q` takes tap `k` of input `q + offsets[phase][k]`, or does not where that is undefined. */
interface Phases {
  readonly axis: Axis;
  readonly stride: number;
  readonly offsets: readonly (readonly (number | undefined)[])[];
  readonly least: number;
}

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

function phasesOf(extent: number, pitch: number, out: number, taps: number, stride: number, dilation: number, pad: number): Phases {
  const offsets = Array.from({ length: stride }, (_, phase) =>
    Array.from({ length: taps }, (_, k) => {
      const from = phase + pad - k * dilation;
      return from % stride === 0 ? from / stride : undefined;
    }),
  );
  const used = offsets.flat().filter((o) => o !== undefined);
  const [least, most] = [Math.min(...used), Math.max(...used)];
  const axis = { extent, pitch, out: Math.ceil(out / stride), taps: most - least + 1, stride: 1, dilation: 1, pad: -least };
  return { axis, stride, offsets, least };
}

/** [C, M / groups, ...] as [M, each phase][C / groups, ...], zeros where a phase has no tap. */
function rearranged(w: Float32Array, groups: number, inputs: number, outputs: number, phases: readonly Phases[]): Float32Array {
  const each = product(phases.map((p) => p.stride));
  const [from, to] = [product(phases.map((p) => p.offsets[0]!.length)), product(phases.map((p) => p.axis.taps))];
  const out = new Float32Array(groups * outputs * each * inputs * to);
  for (let g = 0; g < groups; g++)
    for (let m = 0; m < outputs; m++)
      for (let e = 0; e < each; e++)
        for (let k = 0; k < from; k++) {
          let [tap, rest, phase, apart] = [0, k, e, 1];
          for (const p of [...phases].reverse()) {
            const count = p.offsets[0]!.length;
            const offset = p.offsets[phase % p.stride]![rest % count];
            tap = offset === undefined ? Number.NaN : tap + (offset - p.least) * apart;
            [rest, phase, apart] = [Math.floor(rest / count), Math.floor(phase / p.stride), apart * p.axis.taps];
          }
          if (Number.isNaN(tap)) continue;
          for (let c = 0; c < inputs; c++)
            out[(((g * outputs + m) * each + e) * inputs + c) * to + tap] = w[((g * inputs + c) * outputs + m) * from + k]!;
        }
  return out;
}

/** The result as a matrix of channels' phases and pixels of a phase, for each group of each image. */
function targetOf(spec: ConvSpec, outputs: number, phases: readonly Phases[]): Target {
  const { output, groups } = spec;
  const [images] = output.shape as [number];
  const [perImage, perChannel, ...pitches] = output.strides as [number, number, ...number[]];
  const strides = phases.map((p) => p.stride);
  const pixels = phases.map((p) => p.axis.out);
  const grouped = { ...spec, outputs };
  return {
    storage: output,
    batch: spanOf([images, groups], [perImage, outputs * perChannel]),
    row: spanOf([outputs, ...strides], [perChannel, ...pitches]),
    column: spanOf(
      pixels,
      pitches.map((pitch, k) => pitch * strides[k]!),
    ),
    coords(batch, row, column) {
      const [n, g] = unravel(batch, [images, groups]) as [Expr, Expr];
      const [m, ...phase] = unravel(row, [outputs, ...strides]) as [Expr, ...Expr[]];
      const at = unravel(column, pixels).map((q, k) => add(mul(q, i32(strides[k]!)), phase[k]!));
      return [n, groups === 1 ? m : channelOf(grouped, g, m), ...at];
    },
    // The last results of some phases may be missing.
    within: ([, , ...at]) => at.flatMap((x, k) => (output.shape[k + 2]! % strides[k]! === 0 ? [] : [lt(x, i32(output.shape[k + 2]!))])),
  };
}

/** With constant weights. `plan` is for tests. */
export function deviceConvTranspose(u: Unit, c: GenericContext, can: Capabilities, plan = tilingFor): Lowered | undefined {
  const node = anchorOf(u, "conv_transpose", c.ops);
  if (!node) return undefined;
  const [x, w, b] = node.inputs;
  const [weights, bias] = [constantOperand(u, w, c), constantOperand(u, b, c)];
  if (!weights || (b && !bias)) return undefined;
  const [input, output] = [c.storageOf(outer(u, x!)), c.storageOf(u.node.results[0]!)];
  const attr = (name: string): readonly number[] => node.attrs[name] as readonly number[];
  const phases = weights.shape.slice(2).map((taps, k) => {
    const [stride, dilation, pad] = ["strides", "dilations", "pads"].map((name) => attr(name)[k]!) as [number, number, number];
    return phasesOf(input.shape[k + 2]!, input.strides[k + 2]!, output.shape[k + 2]!, taps, stride, dilation, pad);
  });
  const groups = node.attrs["group"] as number;
  const [inputs, outputs] = [weights.shape[0]! / groups, weights.shape[1]!];
  const each = product(phases.map((p) => p.stride));
  const epilogue = epilogueOf(u, node.results[0]!, c);
  const spec: ConvSpec = {
    node,
    input,
    output,
    weights: rearranged(weights.data as Float32Array, groups, inputs, outputs, phases),
    bias: bias && Float32Array.from({ length: bias.data.length * each }, (_, i) => bias.data[Math.floor(i / each)] as number),
    axes: phases.map((p) => p.axis),
    groups,
    inputs,
    outputs: outputs * each,
    epilogue,
    operands: epilogueStorages(u, epilogue, c),
  };
  const lowered = tiledConv(u, c, can, spec, targetOf(spec, outputs, phases), plan);
  return lowered && { ...lowered, kernel: "conv_transpose_f32_tiled", why: `${each} phases of each channel, ${lowered.why}` };
}
