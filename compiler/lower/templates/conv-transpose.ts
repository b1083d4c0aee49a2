// Transposed convolution as convolutions: outputs whose places agree modulo the stride read the same taps, so each such phase is one.

import { add, callStmt, i32, mul, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, PointerParam } from "../../../ir/kernel/types.ts";
import type { Margin, Storage } from "../storage.ts";
import type { Binding, Lowered } from "../template.ts";
import { convDense } from "./conv-dense.ts";
import { convDepthwise } from "./conv-depthwise.ts";
import type { ConvSpec, Pair } from "./conv-spec.ts";
import { viewed } from "./matmul-spec.ts";

/** As a convolution's, but `weights` are [C, M / groups, KH, KW]; dilations are 1. */
export type ConvTransposeSpec = Omit<ConvSpec, "dilations" | "plan">;

/** Outputs `first`, `first + stride`, ... of an axis, as a convolution of stride 1 over the input. */
interface Phase {
  readonly first: number;
  readonly outputs: number;
  /** The tap `from + stride * j` of the kernel, for j < `taps`; the last one is read first. */
  readonly from: number;
  readonly taps: number;
  /** Zeros before and behind the input. */
  readonly pads: Pair;
}

/** An output o sums the input i at tap k wherever i * stride + k = o + pad. Phases without a tap have one beyond the kernel, a zero. */
export function phasesOf(input: number, outputs: number, kernel: number, stride: number, pad: number): Phase[] {
  return Array.from({ length: Math.min(stride, outputs) }, (_, first) => {
    const from = (first + pad) % stride;
    const taps = Math.max(1, Math.ceil((kernel - from) / stride));
    const count = Math.ceil((outputs - first) / stride);
    const before = taps - 1 - (first + pad - from) / stride;
    return { first, outputs: count, from, taps, pads: [before, count - input - before + taps - 1] as const };
  });
}

type Transposed = Pick<ConvTransposeSpec, "kernel" | "strides" | "pads">;

const phases2 = (s: Transposed, input: readonly number[], output: readonly number[]): readonly (readonly [Phase, Phase])[] => {
  const along = (axis: 0 | 1): Phase[] => phasesOf(input[2 + axis]!, output[2 + axis]!, s.kernel[axis], s.strides[axis], s.pads[axis]);
  const columns = along(1);
  return along(0).flatMap((y) => columns.map((x) => [y, x] as const));
};

/** The zero margin in which all phases read their input in place. */
export function marginOfPhases(s: Transposed, input: readonly number[], output: readonly number[]): Margin {
  const most = (axis: 0 | 1): number => Math.max(0, ...phases2(s, input, output).flatMap((p) => p[axis].pads));
  return { rows: most(0), columns: most(1) };
}

function weightsOf(s: ConvTransposeSpec, y: Phase, x: Phase): Float32Array {
  const [c, m] = [s.input.shape[1]!, s.output.shape[1]!];
  const [kh, kw] = s.kernel;
  const [perIn, perOut] = [c / s.groups, m / s.groups];
  const weights = new Float32Array(m * perIn * y.taps * x.taps);
  let at = 0;
  for (let o = 0; o < m; o++)
    for (let i = 0; i < perIn; i++)
      for (let j = y.taps - 1; j >= 0; j--)
        for (let l = x.taps - 1; l >= 0; l--) {
          const [ky, kx] = [y.from + s.strides[0] * j, x.from + s.strides[1] * l];
          const channel = Math.floor(o / perOut) * perIn + i;
          weights[at++] = ky < kh && kx < kw ? s.weights[((channel * perOut + (o % perOut)) * kh + ky) * kw + kx]! : 0;
        }
  return weights;
}

/** The outputs of a phase as a tensor of their own, in place. */
function viewOf({ output, strides }: ConvTransposeSpec, y: Phase, x: Phase): Storage {
  const [n, m, row, element] = output.strides as [number, number, number, number];
  return {
    ...output,
    shape: [output.shape[0]!, output.shape[1]!, y.outputs, x.outputs],
    strides: [n, m, row * strides[0], element * strides[1]],
    offset: output.offset + y.first * row + x.first * element,
    zeroed: output.zeroed && strides[1] === 1,
  };
}

/** Kernels one after the other, as one. */
function inSequence(name: string, doc: string, parts: readonly Lowered[]): Pick<Lowered, "functions" | "entry" | "bindings"> {
  const params: PointerParam[] = [];
  const bindings: Binding[] = [];
  const calls = parts.map((part, k) => {
    const entry = part.functions.find((f) => f.name === part.entry)!;
    const own = (entry.params as readonly PointerParam[]).map((p) => ({ ...p, name: `${p.name}_${k}` }));
    params.push(...own);
    bindings.push(...part.bindings);
    return callStmt(
      part.entry,
      own.map((p) => variable(p.name, "ptr")),
    );
  });
  const entry: Func = { name, doc, params, body: calls };
  return { functions: [...parts.flatMap((p) => p.functions), entry], entry: name, bindings };
}

/** Undefined where `convDense` is. */
export function convTranspose(spec: ConvTransposeSpec): Lowered | undefined {
  const { name, input, output, strides, kernel } = spec;
  const parts: Lowered[] = [];
  for (const [y, x] of phases2(spec, input.shape, output.shape)) {
    const place = (at: Expr, axis: 0 | 1, phase: Phase): Expr => add(mul(at, i32(strides[axis])), i32(phase.first));
    const part: ConvSpec = {
      ...spec,
      name: `${name}_${y.first}_${x.first}`,
      output: viewOf(spec, y, x),
      weights: weightsOf(spec, y, x),
      kernel: [y.taps, x.taps],
      strides: [1, 1],
      dilations: [1, 1],
      pads: [y.pads[0], x.pads[0], y.pads[1], x.pads[1]],
      epilogue: viewed(spec.epilogue, 3, ([n, m, row, column]) => [n!, m!, place(row!, 0, y), place(column!, 1, x)]),
    };
    const lowered = convDepthwise(part) ?? convDense(part);
    if (!lowered) return undefined;
    parts.push(lowered);
  }
  if (parts.length === 0) return undefined;
  const doc = `transposed convolution ${input.shape.slice(1).join(" x ")} to ${output.shape.slice(1).join(" x ")}, ${kernel.join(" x ")} taps`;
  return {
    ...inSequence(name, doc, parts),
    kernel: "conv_transpose_f32",
    faults: [],
    why: `a convolution for each of ${parts.length} phases of outputs`,
  };
}
