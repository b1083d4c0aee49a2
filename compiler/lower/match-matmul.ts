// Matrix products: with constant weights on either side, sparse or dense, or of two activations.

import { blockOf } from "../../ir/layouts/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, constantOperand, outer } from "./anchor.ts";
import { epilogueOf } from "./epilogue.ts";
import { type GenericContext, kernelName } from "./generic/kernel.ts";
import type { Lowered } from "./template.ts";
import { matmulDense, matmulDynamic } from "./templates/matmul-dense.ts";
import { matmulFeatures, matmulSparse } from "./templates/matmul-features.ts";
import type { ConstantMatmulSpec } from "./templates/matmul-spec.ts";
import type { Unit } from "./unit.ts";

/** [K, M] as [M, K]: a row of weights for each output feature. */
function transposed(t: Tensor): Float32Array {
  const [k, m] = t.shape as [number, number];
  const [from, to] = [t.data as Float32Array, new Float32Array(t.data.length)];
  for (let i = 0; i < k; i++) for (let j = 0; j < m; j++) to[j * k + i] = from[i * m + j]!;
  return to;
}

export function lowerMatmul(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const matmul = anchorOf(u, "matmul", c.ops);
  if (!matmul) return undefined;
  const [a, b] = matmul.inputs.map((v) => outer(u, v)) as [(typeof u.operands)[number], (typeof u.operands)[number]];
  const [left, right] = [constantOperand(u, a, c), constantOperand(u, b, c)];
  const epilogue = epilogueOf(u, matmul.results[0]!, c);
  const output = c.storageOf(u.node.results[0]!);
  const name = kernelName(u);
  const weights = right ?? left;
  if (!weights)
    return bound(u, matmulDynamic({ name, a: c.storageOf(a), b: c.storageOf(b), output, epilogue, target: can }), [a, b], epilogue);
  if (weights.shape.length !== 2 || (left && right)) return undefined;
  const [side, activation, constant] = right ? (["right", a, b] as const) : (["left", b, a] as const);
  const { layout } = constant.type;
  const spec: ConstantMatmulSpec = {
    name,
    side,
    input: c.storageOf(activation),
    output,
    weights: right ? transposed(right) : (left!.data as Float32Array),
    ...(layout ? { block: blockOf(layout, right ? "last" : "first") } : {}),
    epilogue,
    target: can,
  };
  const sparse = layout ? matmulSparse(spec) : undefined;
  return bound(u, (sparse && { ...sparse, format: layout! }) ?? matmulFeatures(spec) ?? matmulDense(spec), [activation], epilogue);
}
