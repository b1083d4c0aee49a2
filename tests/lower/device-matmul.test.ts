// Matrix products on a device: tiled and by vectors, every arrangement of operands and result, against the reference.

import { describe, expect, test } from "vitest";
import { deviceMatmul } from "../../compiler/lower/device/matmul.ts";
import { TILINGS, whyTiled } from "../../compiler/lower/device/tiling.ts";
import type { Value } from "../../ir/graph.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { can, checkDevice, checkKernel, deviceCase, kernelsOf, lowerLast, runKernel, testOnDriver } from "./device-cases.ts";

type Operand = "input" | "weight" | "transposed";
type Shape = readonly number[];

const swapped = (shape: Shape): number[] => [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!];

function operand(s: Sketch, how: Operand, shape: Shape): Value {
  if (how === "weight") return s.weight("f32", shape);
  if (how === "input") return s.input("f32", shape);
  const perm = shape.map((_, axis) => axis);
  return s.op("transpose", [s.input("f32", swapped(shape))], { perm: swapped(perm) });
}

type After = (s: Sketch, y: Value) => Value;
const build =
  (a: Shape, b: Shape, left: Operand = "input", right: Operand = "input", after: After = (_, y) => y) =>
  (s: Sketch): Value =>
    after(s, s.op("matmul", [operand(s, left, a), operand(s, right, b)]));
const product = (...of: Parameters<typeof build>) => deviceCase(build(...of));

const TILED = ["matmul_f32_tiled"];
const VECTOR = ["matvec_f32"];

describe("tiled products", () => {
  const CASES: readonly (readonly [string, Shape, Shape])[] = [
    ["whole tiles", [32, 32], [32, 32]],
    ["odd", [5, 3], [3, 7]],
    ["several tiles, odd", [37, 41], [41, 35]],
    ["whole vectors at odd ends", [36, 20], [20, 44]],
    ["few rows", [9, 44], [44, 130]],
    ["few columns", [70, 44], [44, 9]],
    ["heads", [2, 3, 5, 8], [2, 3, 8, 12]],
    ["right broadcast", [2, 3, 5, 4], [2, 1, 4, 6]],
    ["left broadcast", [5, 4], [2, 3, 4, 8]],
    ["one right for a batch", [3, 5, 4], [4, 8]],
    ["depth 1", [6, 1], [1, 9]],
  ];
  for (const [name, a, b] of CASES)
    for (const left of ["input", "transposed"] as const)
      for (const right of ["input", "transposed"] as const)
        test(`${name}, ${left} x ${right}`, () => checkDevice(product(a, b, left, right), TILED));
  for (const [name, a, b] of CASES.filter(([, a, b]) => a.length === 2 || b.length === 2)) {
    if (b.length === 2) test(`${name}, constant right`, () => checkDevice(product(a, b, "input", "weight"), TILED));
    if (a.length === 2) test(`${name}, constant left`, () => checkDevice(product(a, b, "weight", "input"), TILED));
  }

  for (const tiling of TILINGS)
    for (const how of ["input", "transposed"] as const)
      test(`${whyTiled(tiling)}, ${how}`, () => {
        const [m, n, k] = [tiling.rows + 5, tiling.columns + 3, 2 * tiling.depth + 4];
        const c = how === "input" ? product([m, k], [k, n], "input", "weight") : product([m, k], [k, n], "weight", "input");
        checkKernel(
          c,
          lowerLast(c, (u, context) => deviceMatmul(u, context, can, () => tiling)),
        );
      });
  test("one global load for at least sixteen multiply-adds", () => {
    for (const tiling of TILINGS.filter((t) => t.rows >= 32 && t.columns >= 32))
      for (const right of ["input", "weight"] as const) {
        const [m, n, k] = [tiling.rows, tiling.columns, tiling.depth];
        const c = product([m, k], [k, n], "input", right);
        const { loads, multiplyAdds } = checkKernel(
          c,
          lowerLast(c, (u, context) => deviceMatmul(u, context, can, () => tiling)),
        );
        expect(multiplyAdds).toBe(m * n * k);
        expect(loads * 16).toBeLessThanOrEqual(multiplyAdds);
      }
    for (const [m, n, k] of [
      [64, 96, 32],
      [96, 64, 64],
    ] as const) {
      const [kernel] = kernelsOf(product([m, k], [k, n]).graph);
      const { loads, multiplyAdds } = runKernel(kernel!);
      expect(loads * 16).toBeLessThanOrEqual(multiplyAdds);
    }
  });
  testOnDriver(
    CASES.filter((_, k) => k % 4 === 1).map(([, a, b], k) => build(a, b, k % 2 ? "input" : "transposed", k % 3 ? "input" : "transposed")),
  );
  testOnDriver([
    build([1300, 9], [9, 1100]),
    build([70, 9], [9, 600], "input", "weight"),
    build([9, 261], [261, 10], "transposed", "weight"),
  ]);
});

describe("products with vectors", () => {
  const CASES: readonly (readonly [string, Shape, Shape])[] = [
    ["a row", [1, 36], [36, 40]],
    ["an odd row", [1, 37], [37, 41]],
    ["a short row", [1, 3], [3, 5]],
    ["a long row", [1, 515], [515, 6]],
    ["a row for each of a batch", [3, 1, 8], [3, 8, 12]],
    ["a column", [36, 40], [40, 1]],
    ["an odd column", [37, 41], [41, 1]],
    ["a column for each of a batch", [2, 8, 12], [2, 12, 1]],
    ["one element", [1, 70], [70, 1]],
  ];
  for (const [name, a, b] of CASES) {
    for (const left of ["input", "transposed"] as const)
      for (const right of ["input", "transposed"] as const)
        test(`${name}, ${left} x ${right}`, () => checkDevice(product(a, b, left, right), VECTOR));
    if (b.length === 2) test(`${name}, constant right`, () => checkDevice(product(a, b, "input", "weight"), VECTOR));
    if (a.length === 2) test(`${name}, constant left`, () => checkDevice(product(a, b, "weight", "input"), VECTOR));
  }
  testOnDriver(
    CASES.filter((_, k) => k % 4 === 1).map(([, a, b], k) => build(a, b, k % 2 ? "input" : "transposed", k % 3 ? "input" : "transposed")),
  );
});

describe("what follows a product", () => {
  const CASES: readonly (readonly [string, Shape, Shape])[] = [
    ["whole vectors", [2, 9, 12], [12, 16]],
    ["odd", [2, 9, 12], [12, 17]],
    ["a row", [1, 9], [9, 16]],
    ["a column", [16, 9], [9, 1]],
    ["an odd column", [17, 9], [9, 1]],
  ];
  for (const [name, a, b] of CASES) {
    const out = [...a.slice(0, -1), b.at(-1)!];
    const kernels = out.at(-1) === 1 || out.at(-2) === 1 ? VECTOR : TILED;
    const then = (how: After, expected: readonly string[] = kernels) => checkDevice(product(a, b, "input", "weight", how), expected);
    test(`${name}: bias, activation, residual`, () =>
      then((s, y) => s.op("add", [s.op("relu", [s.op("add", [y, s.weight("f32", [out.at(-1)!])])]), s.input("f32", out)])));
    const one = out.map((d, axis) => (axis === out.length - 2 ? d : 1));
    test(`${name}: a number for each row`, () => then((s, y) => s.op("mul", [y, s.input("f32", one)])));
    test(`${name}: a mask`, () => then((s, y) => s.op("where", [s.input("bool", out), y, s.constant("f32", [], [-1e4])])));
    test(`${name}: a choice`, () =>
      then((s, y) => s.op("where", [s.op("lt", [y, s.input("f32", out)]), y, s.weight("f32", [out.at(-1)!])])));
  }
  test("a result that lies in a slice", () =>
    checkDevice(
      deviceCase((s) => {
        const parts = [5, 8, 3].map((n) => s.op("matmul", [s.input("f32", [6, 9]), s.weight("f32", [9, n])]));
        return s.op("concat", parts, { axis: 1 });
      }),
      [...TILED, ...TILED, ...TILED],
    ));
  test("more operands than can be bound are fused nowhere", () => {
    const { graph } = product([8, 8], [8, 8], "input", "input", (s, y) =>
      Array.from({ length: 7 }, () => s.input("f32", [8, 8])).reduce((sum, x) => s.op("add", [sum, x]), y),
    );
    expect(kernelsOf(graph).every((k) => k.bindings.length <= 8)).toBe(true);
  });
});
