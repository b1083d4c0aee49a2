// Products of bytes against the reference, bit for bit: in the kernel interpreter, where accesses are checked, with and without dot products.

import { describe, expect, test } from "vitest";
import { wasm } from "../../backends/wasm/index.ts";
import type { Capabilities } from "../../compiler/backend.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import type { Step } from "../../compiler/lower/step.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import type { Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { difference } from "../support/equal.ts";
import { runLowered } from "../support/run-lowered.ts";
import { attrs, bytes, convOf, convs, product, requantized, sparse, sparseConvs, weights } from "./byte-cases.ts";
import { deviceCase } from "./device-cases.ts";

const targets: readonly (readonly [string, Capabilities])[] = wasm.variants.map((v) => [
  v.name,
  { ...v.can, fma: false, wholeFma: v.can.fma },
]);

function kernelsOf(steps: readonly Step[]): string[] {
  return steps.flatMap((s) => (s.kind === "kernel" ? [s.lowered.kernel] : []));
}

/** Expects the reference's bits from every target, by a kernel of that name. */
function check(build: (s: Sketch) => Value | readonly Value[], kernel: string): void {
  const { graph, inputs } = deviceCase(build);
  const fused = runPass(fuse, graph, passContext());
  const expected = interpret(graph, inputs);
  for (const [, can] of targets) {
    expect(kernelsOf(lowerGraph(fused, can).steps)).toContain(kernel);
    expect(difference(runLowered(fused, inputs, can), expected, "exact")).toBeUndefined();
  }
}

describe("convolutions of bytes", () => {
  for (const [name, k] of convs) {
    const kernel = name.startsWith("depthwise") ? "conv_u8_depthwise" : "conv_u8_dense";
    test(`${name}: sums`, () => check((s) => convOf(s, k), kernel));
    test(`${name}: requantized`, () => check((s) => requantized(s, convOf(s, k)), kernel));
  }

  // Inputs less 128 by such weights leave 16 bits on the way.
  const least = (s: Sketch, group: number): Value => {
    const of = (n: number, value: number): number[] => Array.from({ length: n }, () => value);
    const operands = [
      s.input("u8", [1, 12, 4, 9], of(12 * 36, 0)),
      s.constant("i8", [12, 12 / group, 3, 3], of((12 * 12 * 9) / group, -128)),
    ];
    return s.op("conv", operands, attrs(1, { group, fill: 3 }));
  };
  test("weights of -128 throughout", () => check((s) => least(s, 1), "conv_u8_dense"));
  test("depthwise, weights of -128 throughout", () => check((s) => least(s, 12), "conv_u8_depthwise"));

  test("what is added, and a second convolution that pads otherwise", () => {
    check((s) => {
      const sums = convOf(s, { c: 8, h: 6, w: 5, m: 12, attrs: { fill: 4 } });
      const y = requantized(s, sums, bytes(s, [1, 12, 6, 5]));
      const again = (fill: number): Value => s.op("conv", [y, weights(s, [5, 12, 3, 3])], attrs(1, { fill }));
      return [again(119), again(0), s.op("concat", [y, y], { axis: 1 })];
    }, "conv_u8_dense");
  });
});

describe("convolutions of bytes by sparse weights", () => {
  for (const [name, k] of sparseConvs) {
    test(`${name}: sums`, () => check((s) => convOf(s, k), "conv_u8_sparse"));
    test(`${name}: requantized`, () => check((s) => requantized(s, convOf(s, k)), "conv_u8_sparse"));
  }

  test("a bias that no float is, of an output without weights", () => {
    check((s) => {
      const operands = [bytes(s, [1, 8, 3, 4]), sparse(s, [5, 8, 1, 1], "csr", 5), s.constant("i32", [5], [3, -9, 2 ** 30 + 33, 7, 0])];
      return requantized(s, s.op("conv", operands, attrs(0)));
    }, "conv_u8_sparse");
  });

  test("what is added", () => {
    check((s) => {
      const sums = convOf(s, { c: 8, h: 6, w: 6, m: 12, kernel: 1, layout: "csr" });
      return requantized(s, sums, bytes(s, [1, 12, 6, 6]));
    }, "conv_u8_sparse");
  });

  test("lines of fewer than four pixels are dense", () =>
    check((s) => convOf(s, { c: 8, h: 1, w: 3, m: 8, kernel: 1, layout: "csr" }), "conv_u8_dense"));
});

test("channels of others beside a part of a concatenation stay as they are", () => {
  check((s) => {
    const x = bytes(s, [1, 8, 4, 5]);
    // Computed first, and put behind the six channels of the other.
    const other = s.op("gather", [bytes(s, [1, 2, 4, 5]), s.constant("i64", [2], [1, 0])], { axis: 1 });
    const sums = s.op("conv", [s.op("max", [x, s.constant("u8", [], [3])]), weights(s, [6, 8, 1, 1])], attrs(0));
    const before = s.op("reduce", [other], { op: "max", axes: [2, 3], keepdims: true });
    return [before, s.op("concat", [requantized(s, sums), other], { axis: 1 })];
  }, "conv_u8_dense");
});

describe("products of matrices of bytes", () => {
  for (const shape of [
    [1, 16, 10],
    [5, 24, 16],
    [7, 30, 33],
    [12, 4, 8],
  ] as const) {
    test(`${shape.join(" x ")}: sums`, () => check((s) => product(s, shape), "matmul_u8_dense"));
    test(`${shape.join(" x ")}: requantized`, () => check((s) => requantized(s, product(s, shape)), "matmul_u8_dense"));
  }
  test("a constant added to the sums is where they begin", () => {
    for (const layout of [undefined, "csc"])
      check(
        (s) => {
          const w = layout ? sparse(s, [30, 19], layout, 4) : weights(s, [30, 19]);
          const start = s.constant(
            "i32",
            [19],
            Array.from({ length: 19 }, (_, i) => 977 * i - 5000),
          );
          return requantized(s, s.op("add", [s.op("matmul", [bytes(s, [11, 30]), w]), start]));
        },
        layout ? "matmul_u8_sparse" : "matmul_u8_dense",
      );
  });
  for (const layout of ["csc", "bsc-1x4"])
    test(`sparse, ${layout}`, () =>
      check((s) => requantized(s, s.op("matmul", [bytes(s, [11, 30]), sparse(s, [30, 19], layout, 4)])), "matmul_u8_sparse"));
  for (const shape of [
    [1, 1024, 128],
    [2, 520, 256],
  ] as const) {
    test(`few rows, ${shape.join(" x ")}: sums`, () => check((s) => product(s, shape), "matmul_u8_lists"));
    test(`few rows, ${shape.join(" x ")}: requantized`, () => check((s) => requantized(s, product(s, shape)), "matmul_u8_lists"));
  }
  for (const layout of ["bsc-8x4", "bsc-4x4"])
    for (const rows of [1, 3])
      test(`few rows, ${rows}, sparse, ${layout}`, () => {
        const start = Array.from({ length: 20 }, (_, i) => 977 * i - 5000);
        const sums = (s: Sketch): Value => s.op("matmul", [bytes(s, [rows, 48]), sparse(s, [48, 20], layout, 9)]);
        check((s) => requantized(s, s.op("add", [sums(s), s.constant("i32", [20], start)])), "matmul_u8_lists");
        check((s) => s.op("cast", [sums(s)], { to: "f32" }), "matmul_u8_lists");
      });
  test("three rows by all weights, and one by few", () => {
    check((s) => product(s, [3, 1024, 128]), "matmul_u8_dense");
    check((s) => product(s, [1, 512, 128]), "matmul_u8_dense");
  });
  test("weights of 9 bits", () => check((s) => product(s, [6, 20, 12], "i16"), "matmul_u8_dense"));
  test("unsigned weights less 110", () => check((s) => requantized(s, product(s, [6, 19, 12], "i16", 110)), "matmul_u8_dense"));
});
