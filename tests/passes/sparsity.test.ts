// Patterns of zeros are named for what they are, and formats chosen by predicted gain.

import { describe, expect, test } from "vitest";
import { costsFor } from "../../compiler/cost/costs.ts";
import { LEAST_GAIN, predictedGain } from "../../compiler/cost/gain.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import { detectSparsity } from "../../compiler/passes/detect-sparsity.ts";
import { analyze } from "../../compiler/sparsity/analyze.ts";
import { choose } from "../../compiler/sparsity/choose.ts";
import { patternToString, type SparsityFinding } from "../../compiler/sparsity/finding.ts";
import { type Graph, GraphBuilder } from "../../ir/graph.ts";
import { firstAxisRows, lastAxisRows } from "../../ir/layouts/index.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { choices } from "../support/random-graph.ts";

/** A matrix whose kept elements are all different from each other. */
const matrix = (rows: number, columns: number, keep: (r: number, c: number) => boolean, shape: readonly number[] = [rows, columns]) =>
  tensorOf(
    "f32",
    shape,
    Array.from({ length: rows * columns }, (_, i) => (keep(Math.floor(i / columns), i % columns) ? i + 1 : 0)),
  );

const costs = costsFor("wasm:baseline", undefined);
const hash = (a: number, b: number): number => choices(a * 1009 + b).below(100);
const patternOf = (t: ReturnType<typeof matrix>, taps = 1) => patternToString(analyze(t, firstAxisRows(t.shape), taps).pattern);

describe("patterns", () => {
  test.each([
    ["dense", matrix(16, 16, () => true), "dense"],
    ["a few stray zeros", matrix(16, 16, (r, c) => r !== 3 || c !== 5), "dense"],
    ["zero", matrix(8, 8, () => false), "zero"],
    ["unstructured", matrix(32, 32, (r, c) => hash(r, c) < 20), "unstructured"],
    ["8x8 blocks", matrix(32, 32, (r, c) => hash(r >> 3, c >> 3) < 40), "8x8 blocks"],
    ["4x1 blocks", matrix(32, 32, (r, c) => hash(r >> 2, c) < 30), "4x1 blocks"],
    ["1x4 blocks", matrix(32, 32, (r, c) => hash(r, c >> 2) < 30), "1x4 blocks"],
    ["2x2 blocks", matrix(32, 32, (r, c) => hash(r >> 1, c >> 1) < 30), "2x2 blocks"],
    ["2:4", matrix(16, 32, (r, c) => hash(r, c >> 2) % 4 === c % 4 || (hash(r, c >> 2) + 1 + (r % 3)) % 4 === c % 4), "2:4"],
    ["1:2", matrix(16, 32, (r, c) => hash(r, c >> 1) % 2 === c % 2), "1:2"],
    ["empty rows", matrix(16, 16, (r) => r % 3 !== 0), "6 empty rows"],
    ["empty columns", matrix(16, 16, (_, c) => c % 4 !== 1), "4 empty columns"],
    ["diagonal", matrix(16, 16, (r, c) => r === c), "diagonal"],
    ["banded", matrix(32, 32, (r, c) => Math.abs(r - c) <= 1), "banded, width 3"],
  ])("%s", (_, t, name) => {
    expect(patternOf(t)).toBe(name);
  });

  test("repeated rows", () => {
    const t = tensorOf(
      "f32",
      [12, 8],
      Array.from({ length: 96 }, (_, i) => 1 + ((Math.floor(i / 8) % 3) * 8 + (i % 8))),
    );
    expect(patternOf(t)).toBe("3 distinct rows");
  });

  test("input channels of a convolution", () => {
    const emptyChannels = matrix(8, 8 * 9, (_, c) => Math.floor(c / 9) % 4 !== 2, [8, 8, 3, 3]);
    expect(patternOf(emptyChannels, 9)).toBe("2 empty input channels");
    // Of four neighbouring channels two are kept in each tap: flattened, they lie 9 apart.
    const twoOfFour = matrix(
      8,
      16 * 9,
      (r, c) => {
        const [channel, tap] = [Math.floor(c / 9), c % 9];
        const first = hash(r * 9 + tap, channel >> 2) % 4;
        return channel % 4 === first || channel % 4 === (first + 1 + (tap % 3)) % 4;
      },
      [8, 16, 3, 3],
    );
    expect(patternOf(twoOfFour, 9)).toBe("2:4 along channels");
    expect(patternOf(twoOfFour, 1)).toBe("unstructured");
  });

  test("zeros are counted with either sign, of f16 by bits", () => {
    expect(analyze(tensorOf("f32", [4], [0, -0, 1, Number.NaN]), firstAxisRows([4])).zeros).toBe(0.5);
    expect(analyze(tensorOf("f16", [4], [0, 0x8000, 0x3c00, 1]), firstAxisRows([4])).zeros).toBe(0.5);
    expect(analyze(tensorOf("i64", [2], [0n, 7n]), firstAxisRows([2])).zeros).toBe(0.5);
  });

  test("a right operand is seen by its columns", () => {
    const t = matrix(16, 16, (_, c) => c % 4 !== 1);
    expect(patternToString(analyze(t, lastAxisRows(t.shape)).pattern)).toBe("4 empty rows");
  });
});

describe("choice", () => {
  const kernels = new Set(["csr", "csc"]);
  const candidate = { rows: 32, columns: 32, taps: 1, meets: "floats", by: "first", product: { columns: 64 } } as const;
  const sparse = (percent: number) =>
    analyze(
      matrix(32, 32, (r, c) => hash(r, c) >= percent),
      firstAxisRows([32, 32]),
    );

  const gain = (density: number, columns: number, block: readonly [number, number] = [1, 1], elements = 2 ** 20) =>
    predictedGain(block, density, { columns, elements }, costs);

  test("the gain grows with zeros and, up to a point, with columns", () => {
    expect(gain(0.1, 64)).toBeGreaterThan(7.5);
    expect(gain(0.5, 64)).toBeCloseTo(1.6, 1);
    expect(gain(0.1, 1)).toBeLessThan(6);
    expect(gain(0.5, 24)).toBeGreaterThan(gain(0.5, 8));
  });

  test("of few columns, it grows with the rows of blocks, and with weights that the dense kernel must fetch", () => {
    const heights = [1, 2, 4, 8, 16].map((rows) => gain(0.1, 1, [rows, 1]));
    expect(heights).toEqual(heights.toSorted((a, b) => a - b));
    expect(gain(0.1, 1, [1, 4])).toBeGreaterThan(gain(0.1, 1));
    expect(gain(0.1, 1)).toBeGreaterThan(gain(0.1, 1, [1, 1], 2 ** 14));
  });

  test.each([
    [15, 64, "dense"],
    [25, 64, "csr"],
    [35, 64, "csr"],
    [90, 64, "csr"],
    [45, 1, "dense"],
    [65, 1, "dense"],
    [85, 1, "csr"],
  ])("%i %% zeros, %i columns: %s", (percent, columns, format) => {
    const choice = choose(sparse(percent), { ...candidate, product: { columns } }, kernels, costs);
    expect(choice.format).toBe(format);
    expect(choice.predictedGain).toBeGreaterThanOrEqual(format === "dense" ? 1 : LEAST_GAIN);
    expect(choice.why).toMatch(/% zeros, unstructured, \d+ columns at once/);
  });

  test("the most special format that has a kernel", () => {
    const blocks = analyze(
      matrix(32, 32, (r, c) => hash(r >> 2, c) < 30),
      firstAxisRows([32, 32]),
    );
    expect(choose(blocks, candidate, kernels, costs).format).toBe("csr");
    expect(choose(blocks, candidate, new Set(["csr", "bsr-4x1"]), costs).format).toBe("bsr-4x1");
    expect(choose(blocks, { ...candidate, by: "last" }, new Set(["csc", "bsc-4x1"]), costs).format).toBe("bsc-4x1");
    expect(choose(blocks, candidate, new Set(), costs).why).toBe("there is no kernel for 4x1 blocks");
  });

  test("small matrices stay dense", () => {
    const t = matrix(4, 4, (r, c) => r === c);
    expect(choose(analyze(t, firstAxisRows([4, 4])), { ...candidate, rows: 4, columns: 4 }, kernels, costs)).toMatchObject({
      format: "dense",
      predictedGain: 1,
    });
  });
});

test("a 3x3 convolution needs more zeros than a 1x1: its dense kernel takes fewer products", () => {
  const formats = (kernel: number, percent: number, quantized = false): string[] => {
    const b = new GraphBuilder(standardOps, weightStore());
    const x = b.param("x", "f32", [1, 32, 16, 16]);
    const area = kernel * kernel;
    const w = b.constant(matrix(32, 32 * area, (r, c) => hash(r, c) >= percent, [32, 32, kernel, kernel]));
    const pad = (kernel - 1) / 2;
    let y = b.value("conv", [x, w], { strides: [1, 1], pads: [pad, pad, pad, pad], dilations: [1, 1], group: 1 });
    if (quantized) y = b.value("quantize", [y, b.constant(tensorOf("f32", [], [1]))], { axis: 0, block: 0, to: "i8" });
    const found: SparsityFinding[] = [];
    const g: Graph = { ops: standardOps, name: "g", params: [x], outputs: [y], weights: b.weights };
    runPass(detectSparsity, g, passContext({ found: (f) => found.push(f) }));
    return found.filter((f) => f.op === "conv").map((f) => f.format);
  };
  expect(formats(1, 50)).toEqual(["csr"]);
  expect(formats(3, 50)).toEqual(["dense"]);
  expect(formats(3, 90)).toEqual(["csr"]);
  // Quantized graphs take every product.
  expect(formats(3, 50, true)).toEqual(["csr"]);
});

describe("findings", () => {
  function findings(sparsity: "auto" | "off"): {
    readonly found: readonly SparsityFinding[];
    readonly before: Graph;
    readonly after: Graph;
  } {
    const b = new GraphBuilder(standardOps, weightStore());
    const x = b.param("x", "f32", [1, 16, 8, 8]);
    const w = b.constant(
      matrix(16, 16, (r, c) => hash(r, c) < 10, [16, 16, 1, 1]),
      { loc: { file: "m.onnx", name: "conv.weight" } },
    );
    const y = b.value(
      "conv",
      [x, w],
      { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1 },
      { file: "m.onnx", name: "Conv_7" },
    );
    const before: Graph = { ops: standardOps, name: "g", params: [x], outputs: [y], weights: b.weights };
    const found: SparsityFinding[] = [];
    const after = runPass(detectSparsity, before, passContext({ sparsity, found: (f) => found.push(f) }));
    return { found, before, after };
  }

  test("say node, tensor, zeros, pattern, format, gain", () => {
    const { found, after } = findings("auto");
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({
      node: "Conv_7",
      op: "conv",
      tensor: "conv.weight",
      shape: [16, 16, 1, 1],
      pattern: { kind: "unstructured" },
      format: "csr",
    });
    expect(found[0]!.zeros).toBeGreaterThan(0.8);
    expect(found[0]!.predictedGain).toBeGreaterThan(4);
    expect(after.outputs[0]!.node.inputs[1]!.type.layout).toBe("csr");
  });

  test("of convolutions by groups, those with long rows are sparse", () => {
    const formatOf = (rows: number, shape: readonly number[], group: number): string => {
      const b = new GraphBuilder(standardOps, weightStore());
      const x = b.param("x", "f32", [1, shape[1]! * group, 8, 8]);
      const w = b.constant(matrix(rows, shape[1]! * 9, (r, c) => hash(r, c) < 10, shape));
      const y = b.value("conv", [x, w], { strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1], group });
      const found: SparsityFinding[] = [];
      const graph: Graph = { ops: standardOps, name: "g", params: [x], outputs: [y], weights: b.weights };
      runPass(detectSparsity, graph, passContext({ sparsity: "auto", found: (f) => found.push(f) }));
      return found[0]!.format;
    };
    expect(formatOf(16, [16, 16, 3, 3], 2)).toBe("csr");
    expect(formatOf(16, [16, 1, 3, 3], 16)).toBe("dense");
  });

  test("off: reported, and left dense", () => {
    const { found, before, after } = findings("off");
    expect(after).toBe(before);
    expect(found[0]).toMatchObject({ format: "dense", why: "sparsity is off", predictedGain: 1, pattern: { kind: "unstructured" } });
  });
});
