// Builds networks as ONNX models with seeded weights. Batch normalisation is taken as folded into the convolutions, as exporters do.

import { encodeModel } from "../../dist/compiler/onnx/proto/encode.js";
import { prune, random } from "./prune.mjs";

/**
 * @param {{ zeros?: number, block?: [number, number], seed?: number, opset?: number }} options how pruned layers are pruned
 *
 * Values are { name, shape }, with a dtype where they are none of f32. Layers are pruned unless they say `dense`. `gain` is the ratio of the variances of outputs and inputs:
 * 2 before a ReLU.
 */
export function createGraph({ zeros = 0, block = [1, 1], seed = 1, opset = 17 } = {}) {
  const next = random(seed);
  const [nodes, inputs, initializers] = [[], [], []];
  let count = 0;

  /** Adds a node with one output of the shape. */
  const node = (op, operands, shape, attributes = {}, domain = "") => {
    const name = `${op.toLowerCase()}_${count++}`;
    nodes.push({ op, domain, inputs: operands.map((v) => v.name ?? v), outputs: [name], name, attributes });
    return { name, shape };
  };
  const input = (name, shape, dtype = "f32") => {
    inputs.push({ name, dtype, shape });
    return { name, shape, dtype };
  };
  const constant = (data, shape, dtype = "f32") => {
    const name = `constant_${count++}`;
    initializers.push({ name, dtype, shape, data });
    return { name, shape };
  };
  const scalar = (x) => constant([x], []);

  /** Weights [m, k] for a product over k. */
  const matrix = (m, k, { gain = 1, dense = false, pattern } = {}) => {
    const weights = new Float32Array(m * k);
    const scale = Math.sqrt((3 * gain) / k);
    for (let i = 0; i < weights.length; i++) weights[i] = next() * scale;
    if (pattern) return pattern.apply(weights);
    return dense ? weights : prune(weights, [m, k], zeros, block);
  };
  const bias = (m) =>
    constant(
      Float32Array.from({ length: m }, () => next() / 10),
      [m],
    );

  const activate = (x, activation) => {
    if (activation === undefined) return x;
    if (activation === "relu") return node("Relu", [x], x.shape);
    if (activation === "relu6") return node("Clip", [x, scalar(0), scalar(6)], x.shape);
    throw new Error(`no activation '${activation}'`);
  };

  /** Convolution with bias, and its activation. */
  const conv = (x, m, { kernel = 1, stride = 1, pad = (kernel - 1) >> 1, groups = 1, activation, biased = true, ...how } = {}) => {
    const [n, c, h, w] = x.shape;
    const out = (size) => Math.floor((size + 2 * pad - kernel) / stride) + 1;
    const k = (c / groups) * kernel * kernel;
    const weights = constant(matrix(m, k, { gain: activation ? 2 : 1, ...how, dense: how.dense || groups > 1 }), [
      m,
      c / groups,
      kernel,
      kernel,
    ]);
    const y = node("Conv", [x, weights, ...(biased ? [bias(m)] : [])], [n, m, out(h), out(w)], {
      kernel_shape: { ints: [kernel, kernel] },
      strides: { ints: [stride, stride] },
      pads: { ints: [pad, pad, pad, pad] },
      group: { int: groups },
    });
    return activate(y, activation);
  };

  /** Fully connected layer on [n, k]: Gemm. */
  const gemm = (x, m, { activation, ...how } = {}) => {
    const k = x.shape.at(-1);
    const weights = constant(matrix(m, k, { gain: activation ? 2 : 1, ...how }), [m, k]);
    return activate(node("Gemm", [x, weights, bias(m)], [x.shape[0], m], { transB: { int: 1 } }), activation);
  };

  /** Product of [..., k] with weights [k, m], as transformers have it; with a bias unless told otherwise. */
  const linear = (x, m, { biased = true, ...how } = {}) => {
    const k = x.shape.at(-1);
    const rows = matrix(m, k, how);
    const columns = new Float32Array(k * m);
    for (let i = 0; i < m; i++) for (let j = 0; j < k; j++) columns[j * m + i] = rows[i * k + j];
    const y = node("MatMul", [x, constant(columns, [k, m])], [...x.shape.slice(0, -1), m]);
    return biased ? node("Add", [y, bias(m)], y.shape) : y;
  };

  const maxPool = (x, kernel, stride, pad = 0) => {
    const [n, c, h, w] = x.shape;
    const out = (size) => Math.floor((size + 2 * pad - kernel) / stride) + 1;
    const attributes = {
      kernel_shape: { ints: [kernel, kernel] },
      strides: { ints: [stride, stride] },
      pads: { ints: [pad, pad, pad, pad] },
    };
    return node("MaxPool", [x], [n, c, out(h), out(w)], attributes);
  };
  const averagePool = (x) => node("GlobalAveragePool", [x], [x.shape[0], x.shape[1], 1, 1]);
  const flatten = (x) => node("Flatten", [x], [x.shape[0], x.shape.slice(1).reduce((a, b) => a * b, 1)]);
  const add = (a, b) => node("Add", [a, b], a.shape);
  const reshape = (x, shape) => node("Reshape", [x, constant(shape.map(BigInt), [shape.length], "i64")], shape);
  const transpose = (x, perm) =>
    node(
      "Transpose",
      [x],
      perm.map((axis) => x.shape[axis]),
      { perm: { ints: perm } },
    );

  /** The bytes of the model, of which the values are the outputs, by name. */
  const finish = (outputs) => {
    for (const [name, value] of Object.entries(outputs)) nodes.push({ op: "Identity", inputs: [value.name], outputs: [name] });
    return encodeModel({
      opset,
      nodes,
      inputs,
      initializers,
      outputs: Object.entries(outputs).map(([name, { shape, dtype = "f32" }]) => ({ name, dtype, shape })),
    });
  };

  return {
    /** What weights and other constants there are, in order. */
    constants: initializers,
    next,
    matrix,
    node,
    input,
    constant,
    scalar,
    activate,
    conv,
    gemm,
    linear,
    maxPool,
    averagePool,
    flatten,
    add,
    reshape,
    transpose,
    finish,
  };
}

/** Two feeds for inputs of f32 by name and shape. */
export const randomFeeds = (shapes) =>
  [1, 2].map((seed) => {
    const next = random(100 + seed);
    return Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        { data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next), shape },
      ]),
    );
  });
