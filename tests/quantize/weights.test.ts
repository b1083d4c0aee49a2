// Weights as small integers: their levels, what shares a scale, zeros, and how that is written into a graph.

import { describe, expect, test } from "vitest";
import { roundCompensated } from "../../compiler/quantize/compensate.ts";
import { levelsOf, type Rounded, roundToNearest } from "../../compiler/quantize/grid.ts";
import { quantize } from "../../compiler/quantize/quantize.ts";
import { applyRecipe } from "../../compiler/quantize/recipe.ts";
import type { SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { inverseFactor } from "../../compiler/quantize/solve.ts";
import { interpret } from "../../ir/interpret.ts";
import { noise } from "../support/noise.ts";
import { constantOf, network, nodesOf, open, residual } from "./networks.ts";

const f64 = (shape: readonly number[], seed: number, zeros = 0): Float64Array =>
  Float64Array.from(noise(shape, seed, zeros).data as Float32Array);

/** What the integers stand for. */
function valuesOf({ rows, columns, block, integers, steps }: Rounded): Float64Array {
  const blocks = Math.ceil(columns / block);
  return Float64Array.from(integers, (q, i) => {
    const { scale, zero } = steps[Math.floor(i / columns) * blocks + Math.floor((i % columns) / block)]!;
    return rows > 0 ? (q - zero) * scale : 0;
  });
}

const largestError = (a: Float64Array, b: Float64Array): number => a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0);

describe("levels", () => {
  test("of symmetric integers leave the lowest out", () => {
    expect(levelsOf(8, true)).toEqual({ low: -127, high: 127 });
    expect(levelsOf(4, true)).toEqual({ low: -7, high: 7 });
    expect(levelsOf(4, false)).toEqual({ low: 0, high: 15 });
  });

  test.each([8, 4] as const)("of %i bits are half a step from every weight at most, and zeros stay", (bits) => {
    for (const symmetric of [true, false])
      for (const block of ["tensor", "channel", 32] as const) {
        const xs = f64([6, 80], 3, 0.4);
        const w = roundToNearest(xs, 6, { bits, symmetric, block });
        const ys = valuesOf(w);
        expect(largestError(xs, ys)).toBeLessThanOrEqual(0.501 * Math.max(...w.steps.map((s) => s.scale)));
        expect(xs.every((x, i) => (x === 0) === (ys[i] === 0) || x !== 0)).toBe(true);
        expect(w.steps).toHaveLength(block === 32 ? 18 : 6);
        expect(Math.min(...w.integers)).toBeGreaterThanOrEqual(w.levels.low);
      }
  });

  test("of rows that are all zero, or next to it, have a scale that is a normal number", () => {
    const w = roundToNearest(Float64Array.of(0, 0, 1e-44, -1e-44), 2, { bits: 8, symmetric: true, block: "channel" });
    expect(w.steps.every((s) => s.scale >= 2 ** -126)).toBe(true);
    expect([...w.integers]).toEqual([0, 0, 0, 0]);
  });
});

describe("rounding that makes up for its errors", () => {
  /** Inputs of which neighbours are alike. */
  const columns = 48;
  const rows = 8;
  const inputs = Array.from({ length: 200 }, (_, k) => {
    const x = f64([columns], k + 1);
    return x.map((v, i) => v + 2 * (x[i - (i % 4)] ?? 0));
  });
  const products = new Float64Array(columns * columns);
  for (const x of inputs) for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) products[i * columns + j]! += x[i]! * x[j]!;
  const xs = f64([rows, columns], 9, 0.3);
  const outputError = (ys: Float64Array): number =>
    inputs.reduce((sum, x) => {
      for (let r = 0; r < rows; r++) sum += x.reduce((d, v, k) => d + v * (ys[r * columns + k]! - xs[r * columns + k]!), 0) ** 2;
      return sum;
    }, 0);

  test("errs less in what layers give than rounding to nearest, and keeps zeros", () => {
    for (const block of ["tensor", "channel", 32] as const) {
      const how = { bits: 4, symmetric: true, block } as const;
      const nearest = valuesOf(roundToNearest(xs, rows, how));
      const made = valuesOf(roundCompensated(xs, rows, [{ from: 0, size: columns, products }], how));
      expect(outputError(made)).toBeLessThan(0.7 * outputError(nearest));
      expect(xs.every((x, i) => x !== 0 || made[i] === 0)).toBe(true);
    }
  });

  test("of inputs that were never anything but zero is rounding to nearest", () => {
    const how = { bits: 4, symmetric: true, block: "channel" } as const;
    const none = [{ from: 0, size: columns, products: new Float64Array(columns * columns) }];
    expect(roundCompensated(xs, rows, none, how).integers).toEqual(roundToNearest(xs, rows, how).integers);
  });

  test("uses a factor of the inverse", () => {
    const u = inverseFactor(products.slice(), columns);
    // (U^T U) H is the identity.
    const at = (i: number, j: number): number => {
      let sum = 0;
      for (let k = 0; k < columns; k++) {
        let inverse = 0;
        for (let m = 0; m <= Math.min(i, k); m++) inverse += u[m * columns + i]! * u[m * columns + k]!;
        sum += inverse * products[k * columns + j]!;
      }
      return sum;
    };
    for (let i = 0; i < columns; i += 5) for (let j = 0; j < columns; j += 7) expect(at(i, j)).toBeCloseTo(i === j ? 1 : 0, 6);
  });
});

describe("in a graph", () => {
  const input = noise([1, 4, 8, 8], 2);
  const run = async (options: SchemeOptions, g = residual()) => {
    const { recipe, report } = await quantize(g, options, {}, open);
    const { graph } = applyRecipe(recipe);
    const [expected, actual] = [g, graph].map((x) => Float64Array.from(interpret(x, [input])[0]!.data as Float32Array)) as [
      Float64Array,
      Float64Array,
    ];
    const size = Math.sqrt(expected.reduce((s, x) => s + x * x, 0));
    const error = Math.sqrt(expected.reduce((s, x, i) => s + (x - actual[i]!) ** 2, 0));
    return { graph, report, error: error / size };
  };

  test.each<[SchemeOptions, number]>([
    [{ scheme: "int8-weights" }, 0.02],
    [{ scheme: "int8-weights", block: "tensor" }, 0.03],
    [{ scheme: "int8-weights", block: 32, symmetric: false }, 0.02],
    [{ scheme: "int8" }, 0.04],
    [{ scheme: "int4-weights" }, 0.3],
    [{ scheme: "int4-weights", block: "channel", symmetric: false }, 0.3],
  ])("%o lies near the float graph", async (options, limit) => {
    const { error } = await run(options);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(limit);
  });

  test("a scale is a scalar, one for each channel, or one for each block of the axis that is summed over", async () => {
    const wide = () =>
      network([1, 40, 4, 4], (x, { b, conv, dense }) => {
        const y = conv(conv(conv(x, [40, 40, 1, 1]), [40, 40, 1, 1]), [40, 40, 3, 3]);
        return dense(dense(b.value("reshape", [y], { shape: [16, 40] }), 40), 6);
      });
    const scales = async (options: SchemeOptions) =>
      nodesOf(applyRecipe((await quantize(wide(), options, {}, open)).recipe).graph, "dequantize").map((n) => [
        n.inputs[0]!.type.dtype,
        n.inputs[0]!.type.shape,
        n.inputs[1]!.type.shape,
        n.attrs["axis"],
        n.attrs["block"],
      ]);
    expect(await scales({ scheme: "int8-weights", block: "tensor" })).toContainEqual(["i8", [40, 40, 3, 3], [], 0, 0]);
    const channels = await scales({ scheme: "int8-weights" });
    expect(channels).toContainEqual(["i8", [40, 40, 3, 3], [40], 0, 0]);
    expect(channels).toContainEqual(["i8", [40, 6], [6], 1, 0]);
    // The first and the last product keep 8 bits.
    expect(await scales({ scheme: "int4-weights" })).toEqual([
      ["i8", [40, 40, 1, 1], [40], 0, 0],
      ["i4", [40, 40, 1, 1], [40, 2, 1, 1], 1, 32],
      ["i4", [40, 360], [40, 12], 1, 32],
      ["i4", [40, 40], [2, 40], 0, 32],
      ["i8", [40, 6], [6], 1, 0],
    ]);
  });

  test("zeros among weights are zeros among integers", async () => {
    const g = residual();
    const { recipe } = await quantize(g, { scheme: "int8-weights" }, {}, open);
    const { graph } = applyRecipe(recipe);
    const [before, after] = [g, graph].map((x) => nodesOf(x, "conv").map((n) => n.inputs[1]!));
    before!.forEach((v, k) => {
      const [w, q] = [constantOf(g, v), constantOf(graph, after![k]!.node.inputs[0]!)];
      expect(w.data.filter((x) => x === 0).length).toBeGreaterThan(0);
      expect(w.data.every((x, i) => x !== 0 || q.data[i] === 0)).toBe(true);
    });
  });

  test("the report tells the noise of the rounding itself", async () => {
    const g = residual();
    const { recipe, report } = await quantize(g, { scheme: "int4-weights", block: 32 }, {}, open);
    const [before, after] = [g, applyRecipe(recipe).graph].map((x) => nodesOf(x, "conv").map((n) => n.inputs[1]!));
    const rounded = interpret({ ...applyRecipe(recipe).graph, params: [], outputs: after! }, []);
    expect(report.layers.filter((l) => l.op === "conv").map((l) => l.rounding)).toEqual(
      before!.map((v, k) => {
        const [w, q] = [constantOf(g, v).data as Float32Array, rounded[k]!.data as Float32Array];
        const noiseOf = w.reduce((sum, x, i) => sum + (x - q[i]!) ** 2, 0);
        return expect.closeTo(10 * Math.log10(w.reduce((sum, x) => sum + x * x, 0) / noiseOf), 3);
      }),
    );
  });

  test("depthwise convolutions and both ends keep 8 bits", async () => {
    const { report } = await run({ scheme: "int4-weights" });
    expect(report.layers.map((l) => l.dtype)).toEqual(["i8", "i4", "i8", "i4", "i8"]);
  });
});
