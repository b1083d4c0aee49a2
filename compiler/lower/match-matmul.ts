// Matrix products: with constant weights on either side, sparse or dense, or of two activations.

import type { Value } from "../../ir/graph.ts";
import { blockOf } from "../../ir/layouts/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Capabilities } from "../backend.ts";
import { anchorOf, bound, constantOperand, hostLayout, outer } from "./anchor.ts";
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

/** A product with constant weights on one side, as templates are asked for it. */
export interface MatchedMatmul {
  readonly spec: ConstantMatmulSpec;
  /** The layout of the weights, where they have one. */
  readonly layout: string | undefined;
  /** Operand 0 of the template. */
  readonly activation: Value;
}

/** The unit as a product with constant weights of two axes, or undefined where it is none. */
export function matchMatmul(u: Unit, c: GenericContext, can: Capabilities): MatchedMatmul | undefined {
  const matmul = anchorOf(u, "matmul", c.ops);
  if (!matmul) return undefined;
  const [a, b] = matmul.inputs.map((v) => outer(u, v)) as [Value, Value];
  const [left, right] = [constantOperand(u, a, c), constantOperand(u, b, c)];
  const weights = right ?? left;
  if (weights?.shape.length !== 2 || (left && right)) return undefined;
  const [side, activation, constant] = right ? (["right", a, b] as const) : (["left", b, a] as const);
  const layout = can.device ? constant.type.layout : hostLayout(constant);
  const spec: ConstantMatmulSpec = {
    name: kernelName(u),
    side,
    input: c.storageOf(activation),
    output: c.storageOf(u.node.results[0]!),
    weights: right ? transposed(right) : (left!.data as Float32Array),
    ...(layout ? { block: blockOf(layout, right ? "last" : "first") } : {}),
    epilogue: epilogueOf(u, matmul.results[0]!, c),
    target: can,
  };
  return { spec, layout, activation };
}

export function lowerMatmul(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const found = matchMatmul(u, c, can);
  if (found) {
    const { spec, layout, activation } = found;
    const sparse = layout ? matmulSparse(spec) : undefined;
    return bound(u, (sparse && { ...sparse, format: layout! }) ?? matmulFeatures(spec) ?? matmulDense(spec), [activation], spec.epilogue);
  }
  const matmul = anchorOf(u, "matmul", c.ops);
  const operands = matmul?.inputs.map((v) => outer(u, v));
  if (!matmul || operands!.some((v) => c.constantOf(v))) return undefined;
  const [a, b] = operands as [Value, Value];
  const epilogue = epilogueOf(u, matmul.results[0]!, c);
  const output = c.storageOf(u.node.results[0]!);
  return bound(
    u,
    matmulDynamic({ name: kernelName(u), a: c.storageOf(a), b: c.storageOf(b), output, epilogue, target: can }),
    [a, b],
    epilogue,
  );
}
