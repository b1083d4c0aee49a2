// ONNX's signal operators: DFT, STFT, windows, mel weights.

import type { Value } from "../../../ir/graph.ts";
import { composer } from "../../../ir/ops/compose.ts";
import { tensorOf } from "../../../ir/tensor.ts";
import { axisOf, checkConstant, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { dtypeNumbered } from "./convert.ts";

interface Transform {
  readonly axis: number;
  readonly length: number;
  readonly inverse: boolean;
  readonly onesided: boolean;
}

/** Above this, products of positions in the transform would leave 32 bits. */
const LONGEST = 46340;

function transform(c: ImportContext, x: Value, { axis, length, inverse, onesided }: Transform): Value {
  const e = composer(c.b, c.loc);
  const { dtype } = x.type;
  const wide = dtype === "f64" ? "f64" : "f32";
  if (length < 1 || length > LONGEST) c.unsupported(`a transform of length ${length}; 1 to ${LONGEST} are built`);
  const angles = Array.from({ length }, (_, n) => (2 * Math.PI * n) / length);
  const twiddle = c.constant(
    tensorOf(
      wide,
      [length, 2],
      angles.flatMap((a) => [Math.cos(a), Math.sin(a)]),
    ),
  );
  const half = onesided && !inverse;
  const real = onesided && inverse;
  const bins = half ? Math.floor(length / 2) + 1 : length;
  const y = e.op("dft", [e.cast(x, wide), twiddle], { axis, length, bins, inverse, real, hermitian: real });
  return e.cast(y, dtype);
}

const dft = defineOnnxOp({
  name: "DFT",
  shapeOperands: [1, 2],
  import(c) {
    const x = c.input(0);
    const shape = shapeOf(c, x);
    const axis = axisOf(c, c.opset >= 20 ? c.numbers(2, [-2])[0]! : c.int("axis", 1), shape.length);
    if (axis === shape.length - 1) c.bad("the last axis holds real and imaginary parts");
    const [inverse, onesided] = [c.int("inverse", 0) !== 0, c.int("onesided", 0) !== 0];
    // Half a spectrum of n bins is that of an even signal of 2 (n - 1) samples.
    const natural = inverse && onesided ? 2 * (shape[axis]! - 1) : shape[axis]!;
    return transform(c, x, { axis, length: c.numbers(1, [natural])[0]!, inverse, onesided });
  },
});

const stft = defineOnnxOp({
  name: "STFT",
  shapeOperands: [1, 3],
  import(c) {
    const e = composer(c.b, c.loc);
    const shape = shapeOf(c, c.input(0));
    const signal = shape.length === 2 ? e.reshape(c.input(0), [...shape, 1]) : c.input(0);
    const samples = shape[1] ?? c.bad(`a signal of shape [${shape}]`);
    const window = c.inputs[2];
    const step = c.numbers(1)[0]!;
    const length = c.numbers(3, window ? [shapeOf(c, window)[0]!] : [samples])[0]!;
    if (step < 1 || length < 1 || length > samples) c.bad(`frames of ${length} every ${step} samples from ${samples}`);
    const onesided = c.int("onesided", 1) !== 0;
    if (onesided && shape[2] === 2) c.bad("a complex signal has no one-sided spectrum");
    const frames = Math.floor((samples - length) / step) + 1;
    checkConstant(c, frames * length);
    const at = Array.from({ length: frames * length }, (_, p) => Math.floor(p / length) * step + (p % length));
    const framed = e.op("gather", [signal, c.constant(tensorOf("i32", [frames, length], at))], { axis: 1 });
    const weighted = window ? e.op("mul", [framed, e.reshape(window, [length, 1])]) : framed;
    return transform(c, weighted, { axis: 2, length, inverse: false, onesided });
  },
});

/** The element type that `output_datatype` names, as a constant of f64 values cast to it. */
function constantOf(c: ImportContext, shape: readonly number[], values: readonly number[]): Value {
  return composer(c.b, c.loc).cast(c.constant(tensorOf("f64", shape, values)), dtypeNumbered(c, c.int("output_datatype", 1)));
}

/** A sum of cosines: `terms[k]` cos(2 pi k n / N). */
const window = (name: string, terms: readonly number[]): OnnxOp =>
  defineOnnxOp({
    name,
    shapeOperands: [0],
    import(c) {
      const size = c.numbers(0)[0]!;
      checkConstant(c, size);
      const period = c.int("periodic", 1) !== 0 ? size : size - 1;
      const values = Array.from({ length: size }, (_, n) =>
        terms.reduce((sum, a, k) => sum + a * (period === 0 ? 1 : Math.cos((2 * Math.PI * k * n) / period)), 0),
      );
      return constantOf(c, [size], values);
    },
  });

const melWeightMatrix = defineOnnxOp({
  name: "MelWeightMatrix",
  shapeOperands: [0, 1, 2, 3, 4],
  import(c) {
    const [bands, length, rate, lower, upper] = [0, 1, 2, 3, 4].map((k) => c.numbers(k)[0]!) as [number, number, number, number, number];
    const bins = Math.floor(length / 2) + 1;
    const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
    checkConstant(c, bins * bands);
    const stepMel = (mel(upper) - mel(lower)) / (bands + 2);
    const edges = Array.from({ length: bands + 2 }, (_, k) => {
      const hertz = 700 * (10 ** ((k * stepMel + mel(lower)) / 2595) - 1);
      return Math.floor(((length + 1) * hertz) / rate);
    });
    const weights = new Float64Array(bins * bands);
    for (let band = 0; band < bands; band++) {
      const [left, centre, right] = edges.slice(band, band + 3) as [number, number, number];
      if (centre === left && centre < bins) weights[centre * bands + band] = 1;
      for (let j = left; j <= centre && centre > left && j < bins; j++) weights[j * bands + band] = (j - left) / (centre - left);
      for (let j = centre; j < right && j < bins; j++) weights[j * bands + band] = (right - j) / (right - centre);
    }
    return constantOf(c, [bins, bands], [...weights]);
  },
});

export const signalTable = [
  dft,
  stft,
  window("HannWindow", [0.5, -0.5]),
  window("HammingWindow", [25 / 46, -21 / 46]),
  window("BlackmanWindow", [0.42, -0.5, 0.08]),
  melWeightMatrix,
] as const;
