// ONNX's activation functions, with the defaults of their parameters.

import { defineOnnxOp, type OnnxOp } from "../op.ts";

/** `params` pairs our attribute with ONNX's and its default. */
function activation(name: string, op: string, params: readonly (readonly [string, string, number])[] = []): OnnxOp {
  return defineOnnxOp({
    name,
    import: (c) =>
      c.add(op, [c.input(0)], Object.fromEntries(params.map(([ours, theirs, otherwise]) => [ours, c.float(theirs, otherwise)]))),
  });
}

const gelu = defineOnnxOp({
  name: "Gelu",
  import(c) {
    const approximate = c.string("approximate", "none");
    if (approximate !== "none" && approximate !== "tanh") c.bad(`attribute 'approximate' is ${JSON.stringify(approximate)}`);
    return c.add("gelu", [c.input(0)], { approximate });
  },
});

export const activationTable: readonly OnnxOp[] = [
  activation("Relu", "relu"),
  activation("Sigmoid", "sigmoid"),
  activation("LeakyRelu", "leaky_relu", [["alpha", "alpha", 0.01]]),
  activation("Elu", "elu", [["alpha", "alpha", 1]]),
  activation("Selu", "selu", [
    ["alpha", "alpha", 1.6732631921768188],
    ["gamma", "gamma", 1.0507010221481323],
  ]),
  activation("Celu", "celu", [["alpha", "alpha", 1]]),
  activation("HardSigmoid", "hard_sigmoid", [
    ["alpha", "alpha", 0.2],
    ["beta", "beta", 0.5],
  ]),
  activation("HardSwish", "hard_swish"),
  activation("Softplus", "softplus"),
  activation("Softsign", "softsign"),
  activation("Mish", "mish"),
  gelu,
  activation("ThresholdedRelu", "thresholded_relu", [["alpha", "alpha", 1]]),
  activation("Shrink", "shrink", [
    ["bias", "bias", 0],
    ["lambda", "lambd", 0.5],
  ]),
  activation("Swish", "swish", [["alpha", "alpha", 1]]),
];
