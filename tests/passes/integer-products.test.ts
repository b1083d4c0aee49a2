// Products of bytes are for hosts: where a device is to run the graph, too, products stay those of floats, for which it has kernels.

import { expect, test } from "vitest";
import { webgpu } from "../../backends/webgpu/index.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { integerProducts } from "../../compiler/passes/integer-products.ts";
import { topological } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";

const TEXT = `graph @g(%x: u8[2,2]) {
  %s = const() {data: [0.5]} : f32[]
  %r = dequantize(%x, %s) {axis: 0, block: 0} : f32[2,2]
  %q = const() {data: [1, 2, 3, 4]} : i8[2,2]
  %w = dequantize(%q, %s) {axis: 0, block: 0} : f32[2,2]
  %y = matmul(%r, %w) : f32[2,2]
  return %y
}`;

test("products of bytes where only hosts run, of floats where devices do, too", () => {
  const context = passContext();
  const device = webgpu.variants.at(-1)!.can.device!;
  const product = (devices: readonly (typeof device)[]) => {
    const g = parse(TEXT, standardOps, { file: "g.ir" });
    const after = runPass(integerProducts, g, { ...context, targets: { ...context.targets, devices } });
    return topological(after.outputs)
      .find((n) => n.op === "matmul")!
      .inputs.map((v) => v.type.dtype);
  };
  expect(product([])).toEqual(["u8", "i8"]);
  expect(product([device])).toEqual(["f32", "f32"]);
});
