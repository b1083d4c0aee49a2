// Which activations become integers, with which limits; corrections; layers that stay floats.

import { describe, expect, test } from "vitest";
import { passContext, runPass } from "../../compiler/pass.ts";
import { quantizeBlocks } from "../../compiler/passes/quantize-blocks.ts";
import { activationGroups } from "../../compiler/quantize/activations.ts";
import { layersOf } from "../../compiler/quantize/layers.ts";
import { distance } from "../../compiler/quantize/measure.ts";
import { observe } from "../../compiler/quantize/observe.ts";
import { quantize } from "../../compiler/quantize/quantize.ts";
import { limitsOf, stepOver } from "../../compiler/quantize/ranges.ts";
import { applyRecipe } from "../../compiler/quantize/recipe.ts";
import type { SchemeOptions } from "../../compiler/quantize/scheme.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { network, nodesOf, open, residual, samplesFor } from "./networks.ts";

describe("values that become integers", () => {
  test("lie between products, and what only moves or takes the largest shares a scale", () => {
    const g = residual();
    const groups = activationGroups(g, layersOf(g)).map((group) => group.map((v) => v.node.op).sort());
    expect(groups.sort()).toEqual(
      [
        // The input, the first convolution's result, what is added to it, ...
        ["param"],
        ["relu"],
        ["conv"],
        // ... the depthwise convolution's input and result, both pooled and joined, ...
        ["concat", "pool", "pool", "relu", "relu"],
        // ... the last convolution, its average, as a row.
        ["relu"],
        ["pool", "reshape"],
      ].sort(),
    );
  });

  test("are read rounded by every user, and outputs stay floats", async () => {
    const g = residual();
    const { recipe } = await quantize(g, { scheme: "int8" }, { calibration: samplesFor(g, 4) }, open);
    const { graph } = applyRecipe(recipe);
    for (const n of [...nodesOf(graph, "conv"), ...nodesOf(graph, "concat"), ...nodesOf(graph, "matmul")])
      expect(n.inputs[0]!.node.op).toBe("dequantize");
    const residualSum = nodesOf(graph, "add").find((n) => n.inputs.every((v) => v.node.op === "dequantize"));
    expect(residualSum).toBeDefined();
    expect(graph.outputs[0]!.node.op).toBe("add");
  });

  test("without samples are what products read, with limits of their own in every run", async () => {
    const g = residual();
    const { recipe, notes } = await quantize(g, { scheme: "int8" }, {}, open);
    expect(recipe.activations.size).toBe(0);
    // Not the depthwise convolution, which integers make no faster.
    expect([...recipe.own].map(([l, steps]) => [l.node.op, steps])).toEqual([...Array(3).fill(["conv", "item"]), ["matmul", "item"]]);
    expect(notes.map((n) => n.message)).toContainEqual(expect.stringContaining("every run"));
  });
});

describe("limits", () => {
  const g = network([1, 1000], (x, { b }) => b.value("relu", [x]));
  /** Evenly from -1 to 1, but for one value that lies far off. */
  const data = Float32Array.from({ length: 1000 }, (_, i) => (i === 7 ? 40 : (i - 500) / 500));
  const samples = Array.from({ length: 20 }, () => [{ dtype: "f32" as const, shape: [1, 1000], data }]);
  const limits = async (range: "min-max" | "percentile" | "mse", of = samples) =>
    [...(await limitsOf(open, g, [g.params[0]!], of, range)).values()][0]!;

  test("are all values, all but the rarest, or those of least error", async () => {
    expect(await limits("min-max")).toEqual({ low: -1, high: 40 });
    const rare = samples.map((s, k) => (k === 0 ? s : [{ ...s[0]!, data: data.map((x) => Math.min(x, 1)) }]));
    expect((await limits("percentile", rare)).high).toBeLessThan(2);
    // One value in twenty thousand is not worth a coarser step for all others.
    const far = samples.map((s, k) => [{ ...s[0]!, data: data.map((x) => Math.min(x, k === 0 ? 1.05 : 1)) }]);
    const { low, high } = await limits("mse", far);
    expect(high).toBeGreaterThan(0.97);
    expect(high).toBeLessThan(1.05);
    expect(low).toBeLessThan(-0.97);
  });

  test("include zero, which has a level of its own", () => {
    expect(stepOver({ low: 1, high: 2 })).toEqual({ scale: Math.fround(2 / 255), zero: 0 });
    expect(stepOver({ low: -3, high: -1 })).toEqual({ scale: Math.fround(3 / 255), zero: 255 });
    expect(stepOver({ low: 0, high: 0 })).toEqual({ scale: 1, zero: 0 });
  });

  test("of values that are not finite are none", async () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const { low, high } = await limits("min-max", [[tensorOf("f32", [1, 1000], [0, odd, ...data.subarray(2)])]] as never);
      expect(Number.isFinite(high - low)).toBe(false);
    }
  });
});

describe("what is lost", () => {
  const g = residual();
  const calibration = samplesFor(g, 12);
  const lossOf = async (options: SchemeOptions) => {
    const found = await quantize(g, options, { calibration }, open);
    const layers = layersOf(g);
    return { ...found, ...(await distance(open, g, applyRecipe(found.recipe), layers, calibration.samples)) };
  };

  test("is less with compensation, and less again with correction", async () => {
    const plain = await lossOf({ scheme: "int4-weights", block: "channel", compensate: false });
    const compensated = await lossOf({ scheme: "int4-weights", block: "channel" });
    const corrected = await lossOf({ scheme: "int4-weights", block: "channel", compensate: false, correct: true });
    expect(compensated.output).toBeGreaterThan(plain.output + 1);
    expect(corrected.output).toBeGreaterThan(plain.output);
  });

  test("correction gives every layer the float model's mean in each channel", async () => {
    const { recipe } = await quantize(g, { scheme: "int4", correct: true }, { calibration }, open);
    const applied = applyRecipe(recipe);
    for (const layer of layersOf(g)) {
      const means = async (graph: typeof g, v: (typeof g.outputs)[number]) => {
        const sums = new Float64Array(layer.matrix.rows);
        const inner = v.type.shape.length === 4 ? Number(v.type.shape[2]) * Number(v.type.shape[3]) : 1;
        await observe(open, graph, [v], calibration.samples, ([t]) => {
          t!.data.forEach((x: number | bigint, i: number) => {
            sums[Math.floor(i / inner) % sums.length]! += Number(x) / inner / 12;
          });
        });
        return sums;
      };
      const [expected, actual] = [await means(g, layer.out), await means(applied.graph, applied.made.get(layer.out)!)];
      expected.forEach((x, r) => void expect(actual[r]).toBeCloseTo(x, 3));
    }
  });

  test("stays below what is allowed, by the worst layers as floats", async () => {
    const deep = network([1, 8, 8, 8], (x, { b, conv }) => {
      const layer = (v: typeof x) => b.value("relu", [conv(v, [8, 8, 3, 3])]);
      return layer(layer(layer(layer(x))));
    });
    const how = { scheme: "int4-weights", block: "tensor", compensate: false } as const;
    const data = { calibration: samplesFor(deep, 6) };
    const free = await quantize(deep, how, data, open);
    expect(free.report.loss).toBeGreaterThan(8);
    const bound = await quantize(deep, { ...how, maxLoss: 8 }, data, open);
    expect(bound.report.loss).toBeLessThanOrEqual(8);
    const floats = bound.report.layers.filter((l) => l.dtype === "f32");
    expect(floats.length).toBeGreaterThan(0);
    expect(floats.length).toBeLessThan(4);
    expect(bound.notes.filter((n) => n.message.includes("stays float"))).toHaveLength(floats.length);
  });
});

describe("the pass", () => {
  test("writes the recipe into the graph that it was made for, and into no other", async () => {
    const found = await quantize(residual(), { scheme: "int8-weights" }, {}, open);
    const notes: string[] = [];
    const out = runPass(quantizeBlocks(found), residual(), passContext({ note: (m) => notes.push(m) }));
    expect(nodesOf(out, "dequantize")).toHaveLength(5);
    const other = network([1, 4, 8, 8], (x, { conv }) => conv(x, [4, 4, 1, 1]));
    expect(() => runPass(quantizeBlocks(found), other, passContext())).toThrow(/recipe/);
  });
});
