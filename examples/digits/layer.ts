// One layer with weights: a 3x3 convolution or a fully connected layer, then ReLU and 2x2 max pooling where asked; forward, backward, prune.
import { between, type Random } from "./random.ts";
import { accumulate, multiply, type Rows } from "./sparse-loops.ts";

/** What a layer computes. `zeros` is the part of its weights that pruning ends at. */
export interface LayerSpec {
  readonly name: string;
  readonly kind: "convolution" | "fully-connected";
  readonly inputs: number;
  readonly outputs: number;
  /** Pixels along each edge of a convolution's planes, 1 for a fully connected layer. */
  readonly side: number;
  readonly relu: boolean;
  readonly pool: boolean;
  readonly zeros: number;
}

/** Where a batch of planes lies in a buffer: element (b, c, y, x) is at start + b * batch + c * channel + y * row + x * column. */
export interface View {
  readonly data: Float64Array;
  readonly start: number;
  readonly batch: number;
  readonly channel: number;
  readonly row: number;
  readonly column: number;
}

/** A layer in training for one batch size; `weight` is row-major [outputs, inputs * taps] and exactly 0 where pruned. */
export interface Layer {
  readonly spec: LayerSpec;
  readonly weight: Float64Array;
  readonly bias: Float64Array;
  readonly weightGradient: Float64Array;
  readonly biasGradient: Float64Array;
  /** Dense positions of the kept weights, ascending. */
  readonly kept: () => Int32Array;
  readonly input: View;
  readonly inputGradient: View;
  /** Computes the layer on `input`, into `to` (the next layer's input, or the logits). */
  readonly forward: (to: View) => void;
  /** Fills the weights' and, when `further`, the input's gradient from the gradient of what `forward` wrote. */
  readonly backward: (toGradient: View, further: boolean) => void;
  /** Sets the smallest weights to zero until exactly `count` are; those already zero stay so. */
  readonly prune: (count: number) => void;
}

/** 3x3 with padding 1, or the single weight of a fully connected layer. */
const tapsOf = (spec: LayerSpec): number => (spec.kind === "convolution" ? 9 : 1);

/** A zeroed buffer for a layer's planes. Convolutions keep a border of zeros around each plane; fully connected layers keep the batch innermost. */
export function planes(kind: LayerSpec["kind"], channels: number, side: number, batch: number): View {
  if (kind === "fully-connected") {
    const size = side * side * batch;
    return { data: new Float64Array(channels * size), start: 0, batch: 1, channel: size, row: side * batch, column: batch };
  }
  const pitch = side + 2;
  const size = pitch * pitch;
  // The loops work in steps of 8 positions and may run over the last plane's end.
  const data = new Float64Array(batch * channels * size + 8);
  return { data, start: pitch + 1, batch: channels * size, channel: size, row: pitch, column: 1 };
}

/** Builds a layer with random weights (uniform, variance 2 / fan-in: He et al. 2015). `batch` is a multiple of 8. */
export function createLayer(spec: LayerSpec, batch: number, random: Random): Layer {
  const { inputs, outputs, side, kind } = spec;
  const convolution = kind === "convolution";
  const taps = tapsOf(spec);
  const columns = inputs * taps;
  const limit = Math.sqrt(6 / columns);
  const weight = Float64Array.from({ length: outputs * columns }, () => between(random, -limit, limit));
  const bias = new Float64Array(outputs);
  const weightGradient = new Float64Array(weight.length);
  const biasGradient = new Float64Array(outputs);

  const input = planes(kind, inputs, side, batch);
  const inputGradient = planes(kind, inputs, side, batch);
  const sum = planes(kind, outputs, side, batch);
  const sumGradient = planes(kind, outputs, side, batch);
  // Where in `sum` each output came from, for the gradient's way back.
  const outSide = spec.pool ? Math.floor(side / 2) : side;
  const origin = new Int32Array(batch * outputs * outSide * outSide);

  const pitch = side + 2;
  const span = convolution ? Math.ceil((side * pitch) / 8) * 8 : batch;
  const calls = convolution ? batch : 1;
  let index = indexWeights(spec, weight, input.channel, sum.channel);
  let value = new Float64Array(0);
  let valueTransposed = new Float64Array(0);

  const forward = (to: View): void => {
    value = gather(weight, index.slots);
    for (let call = 0; call < calls; call++) {
      multiply(index.byOutput, value, bias, input.data, call * input.batch, sum.data, sum.start + call * sum.batch, sum.channel, span);
    }
    const window = spec.pool ? 2 : 1;
    let k = 0;
    for (let b = 0; b < batch; b++) {
      for (let c = 0; c < outputs; c++) {
        for (let y = 0; y < outSide; y++) {
          for (let x = 0; x < outSide; x++) {
            let at = place(sum, b, c, y * window, x * window);
            if (spec.pool) at = largestOfFour(sum, at);
            origin[k++] = at;
            const v = sum.data[at]!;
            to.data[place(to, b, c, y, x)] = spec.relu && v < 0 ? 0 : v;
          }
        }
      }
    }
  };

  const backward = (toGradient: View, further: boolean): void => {
    sumGradient.data.fill(0);
    biasGradient.fill(0);
    let k = 0;
    for (let b = 0; b < batch; b++) {
      for (let c = 0; c < outputs; c++) {
        for (let y = 0; y < outSide; y++) {
          for (let x = 0; x < outSide; x++) {
            const at = origin[k++]!;
            if (spec.relu && sum.data[at]! <= 0) continue;
            const d = toGradient.data[place(toGradient, b, c, y, x)]!;
            sumGradient.data[at] = d;
            biasGradient[c] = biasGradient[c]! + d;
          }
        }
      }
    }
    const gradient = new Float64Array(index.slots.length);
    for (let call = 0; call < calls; call++) {
      const from = sum.start + call * sum.batch;
      accumulate(index.byOutput, gradient, input.data, call * input.batch, sumGradient.data, from, sum.channel, span);
    }
    index.slots.forEach((slot, t) => {
      weightGradient[slot] = gradient[t]!;
    });
    if (!further) return;
    valueTransposed = gather(weight, index.slotsTransposed);
    for (let call = 0; call < calls; call++) {
      const to = inputGradient.start + call * input.batch;
      multiply(index.byInput, valueTransposed, undefined, sumGradient.data, call * sum.batch, inputGradient.data, to, input.channel, span);
    }
  };

  const prune = (count: number): void => {
    const order = Int32Array.from(weight.keys()).sort((p, q) => Math.abs(weight[p]!) - Math.abs(weight[q]!) || p - q);
    for (const slot of order.subarray(0, count)) weight[slot] = 0;
    index = indexWeights(spec, weight, input.channel, sum.channel);
  };

  const kept = (): Int32Array => index.slots;
  return { spec, weight, bias, weightGradient, biasGradient, kept, input, inputGradient, forward, backward, prune };
}

const place = (view: View, b: number, c: number, y: number, x: number): number =>
  view.start + b * view.batch + c * view.channel + y * view.row + x * view.column;

/** The place of the largest among the four elements right of and below `at`, the first one where several are. */
function largestOfFour({ data, row, column }: View, at: number): number {
  let best = at;
  if (data[at + column]! > data[best]!) best = at + column;
  if (data[at + row]! > data[best]!) best = at + row;
  if (data[at + row + column]! > data[best]!) best = at + row + column;
  return best;
}

interface WeightIndex {
  readonly slots: Int32Array;
  readonly byOutput: Rows;
  readonly slotsTransposed: Int32Array;
  readonly byInput: Rows;
}

/** Lists the non-zero weights by output channel, with where each reads the input, and by input channel, with where it reads the output's gradient. */
function indexWeights(spec: LayerSpec, weight: Float64Array, inputChannel: number, outputChannel: number): WeightIndex {
  const taps = tapsOf(spec);
  const pitch = spec.kind === "convolution" ? spec.side + 2 : 0;
  const columns = spec.inputs * taps;
  const list = (rows: number, perRow: number, slotAt: (row: number, k: number) => number, offsetOf: (slot: number) => number) => {
    const pointer = new Int32Array(rows + 1);
    const slots: number[] = [];
    for (let row = 0; row < rows; row++) {
      for (let k = 0; k < perRow; k++) {
        const slot = slotAt(row, k);
        if (weight[slot] !== 0) slots.push(slot);
      }
      pointer[row + 1] = slots.length;
    }
    return { slots: Int32Array.from(slots), rows: { pointer, offset: Int32Array.from(slots, offsetOf) } };
  };
  const tapOf = (slot: number): number => slot % taps;
  const forward = list(
    spec.outputs,
    columns,
    (row, k) => row * columns + k,
    (slot) =>
      Math.floor((slot % columns) / taps) * inputChannel + Math.floor(tapOf(slot) / 3) * pitch + (tapOf(slot) % 3) * Math.sign(pitch),
  );
  const backward = list(
    spec.inputs,
    spec.outputs * taps,
    (row, k) => Math.floor(k / taps) * columns + row * taps + (k % taps),
    (slot) =>
      Math.floor(slot / columns) * outputChannel + (2 - Math.floor(tapOf(slot) / 3)) * pitch + (2 - (tapOf(slot) % 3)) * Math.sign(pitch),
  );
  return { slots: forward.slots, byOutput: forward.rows, slotsTransposed: backward.slots, byInput: backward.rows };
}

const gather = (from: Float64Array, slots: Int32Array): Float64Array<ArrayBuffer> => Float64Array.from(slots, (slot) => from[slot]!);
