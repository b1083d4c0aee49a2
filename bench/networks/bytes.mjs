// Chains of eight layers on bytes, as quantized models have them, and the same in floats, with the same zeros.

import { createGraph } from "./graph.mjs";
import { random } from "./prune.mjs";

/** Of every activation: 40 steps are a standard deviation, so that hardly anything lies beyond the limits. */
const [STEP, MIDDLE] = [1 / 40, 121];

/** Symmetric integers for rows of weights, and a scale for each. */
function rounded(weights, rows) {
  const columns = weights.length / rows;
  const scales = new Float32Array(rows);
  const integers = new Int8Array(weights.length);
  for (let r = 0; r < rows; r++) {
    const row = weights.subarray(r * columns, (r + 1) * columns);
    scales[r] = row.reduce((m, w) => Math.max(m, Math.abs(w)), 0) / 127 || 1;
    row.forEach((w, i) => {
      integers[r * columns + i] = Math.round(w / scales[r]);
    });
  }
  return { integers, scales };
}

const transposed = (data, rows) => {
  const columns = data.length / rows;
  return data.map((_, at) => data[(at % rows) * columns + Math.floor(at / rows)]);
};

/**
 * Eight layers that turn k features into m and back, or filter each of k channels: `kind` depthwise. A model of bytes has unsigned ones
 * between layers, and signed weights with a scale for each output; its input and output are bytes, too.
 *
 * @param {{ kind: "product" | "depthwise", m: number, k: number, size: readonly number[] }} layer the size of images
 * @param {{ form: "conv" | "matmul", floats?: boolean, zeros?: number, block?: [number, number] }} how
 * @returns the bytes of the model, and the shape of its input `x`
 */
export function byteChain({ kind, m, k, size }, { form, floats = false, ...pruning }) {
  const g = createGraph(pruning);
  const places = size.reduce((a, b) => a * b, 1);
  const shapeOf = (channels) => (form === "matmul" ? [places, channels] : [1, channels, ...size]);
  const step = g.constant([STEP], []);
  const middle = g.constant(Uint8Array.of(MIDDLE), [], "u8");
  const axis = form === "matmul" ? 1 : 0;

  let x = g.input("x", shapeOf(k), floats ? "f32" : "u8");
  for (let layer = 0; layer < 8; layer++) {
    const [inputs, outputs] = layer % 2 === 0 ? [k, m] : [m, k];
    const kernel = kind === "depthwise" ? 3 : 1;
    const columns = kind === "depthwise" ? 9 : inputs;
    const { integers, scales } = rounded(g.matrix(outputs, columns, { dense: kind === "depthwise" }), outputs);
    const shape = form === "matmul" ? [inputs, outputs] : [outputs, columns / kernel ** 2, kernel, kernel];
    const lie = (data) => (form === "matmul" ? transposed(data, outputs) : data);
    let weights;
    if (floats) weights = g.constant(lie(Float32Array.from(integers, (q, i) => q * scales[Math.floor(i / columns)])), shape);
    else {
      const parts = [
        g.constant(lie(integers), shape, "i8"),
        g.constant(scales, [outputs]),
        g.constant(new Int8Array(outputs), [outputs], "i8"),
      ];
      weights = g.node("DequantizeLinear", parts, shape, { axis: { int: axis } });
      x = g.node("DequantizeLinear", [x, step, middle], x.shape);
    }
    const pad = (kernel - 1) >> 1;
    const attributes = {
      kernel_shape: { ints: [kernel, kernel] },
      pads: { ints: [pad, pad, pad, pad] },
      group: { int: kind === "depthwise" ? k : 1 },
    };
    x = g.node(form === "matmul" ? "MatMul" : "Conv", [x, weights], shapeOf(outputs), form === "matmul" ? {} : attributes);
    if (!floats) x = { ...g.node("QuantizeLinear", [x, step, middle], x.shape), dtype: "u8" };
  }
  return { bytes: g.finish({ y: x }), shape: shapeOf(k) };
}

/** Weights that share a scale in products of one row. */
const BLOCK = 32;

/**
 * Eight products of one row by weights [size, size] of 4 or 8 bits in blocks, as onnxruntime's MatMulNBits; or, with 32 bits, of the floats
 * that those of `as` bits stand for.
 */
export function vectorChain(size, bits, as = bits) {
  const g = createGraph({ opset: { "": 21, "com.microsoft": 1 } });
  const blocks = size / BLOCK;
  const [most, middle] = [2 ** (as - 1) - 1, 2 ** (as - 1)];
  let x = g.input("x", [1, size]);
  for (let layer = 0; layer < 8; layer++) {
    const rows = g.matrix(size, size);
    const scales = new Float32Array(size * blocks);
    const integers = new Uint8Array(size * size);
    for (let b = 0; b < scales.length; b++) {
      const own = rows.subarray(b * BLOCK, (b + 1) * BLOCK);
      scales[b] = own.reduce((m, w) => Math.max(m, Math.abs(w)), 0) / most;
      own.forEach((w, i) => {
        integers[b * BLOCK + i] = Math.round(w / scales[b]) + middle;
      });
    }
    if (bits === 32) {
      const floats = Float32Array.from(integers, (q, i) => (q - middle) * scales[Math.floor(i / BLOCK)]);
      x = g.node("MatMul", [x, g.constant(transposed(floats, size), [size, size])], [1, size]);
      continue;
    }
    const packed =
      bits === 8 ? integers : Uint8Array.from({ length: integers.length / 2 }, (_, i) => integers[2 * i] | (integers[2 * i + 1] << 4));
    const operands = [x, g.constant(packed, [size, blocks, (BLOCK * bits) / 8], "u8"), g.constant(scales, [size * blocks])];
    // Level 4: activations may be rounded to 8 bits.
    const attributes = { K: size, N: size, bits, block_size: BLOCK, accuracy_level: 4 };
    const ints = Object.fromEntries(Object.entries(attributes).map(([name, int]) => [name, { int }]));
    x = g.node("MatMulNBits", operands, [1, size], ints, "com.microsoft");
  }
  return { bytes: g.finish({ y: x }), shape: [1, size] };
}

/** Two feeds for a chain: normal numbers, as bytes or as the floats that those stand for. */
export const byteFeeds = (shape, floats) =>
  [1, 2].map((seed) => {
    const next = random(200 + seed);
    // The sum of three uniform numbers has a variance of one.
    const bytes = Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => MIDDLE + 40 * (next() + next() + next()));
    return { x: { data: floats ? Float32Array.from(bytes, (b) => (b - MIDDLE) * STEP) : bytes, shape } };
  });
