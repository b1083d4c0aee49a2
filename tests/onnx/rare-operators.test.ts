// Imports of rarer operators: einsum by both its ways, onnxruntime's operators, Scan's directions, old versions, refusals.

import { describe, expect, test } from "vitest";
import type { AttributeInit, ModelInit } from "../../compiler/onnx/proto/encode.ts";
import type { DType } from "../../ir/dtype.ts";
import { topological } from "../../ir/graph.ts";
import { elementCount, type Tensor, tensorOf } from "../../ir/tensor.ts";
import { errorOf, importModel, runImported } from "../support/run-model.ts";

const values = (count: number, seed: number): number[] => Array.from({ length: count }, (_, i) => Math.fround(Math.sin(seed + 1.7 * i)));
const f32 = (shape: readonly number[], data: readonly number[] = values(elementCount(shape), shape.length)): Tensor =>
  tensorOf("f32", shape, data);

interface Case {
  readonly op: string;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes?: Readonly<Record<string, AttributeInit>>;
  readonly outputs?: readonly DType[];
  readonly domain?: string;
  readonly opset?: number;
}

/** A model of one node; its inputs are x0, x1, ..., its outputs y0, ... */
const model = ({
  op,
  inputs,
  attributes,
  outputs = ["f32"],
  domain = "",
  opset = 21,
}: Case): Omit<ModelInit, "opset"> & { opset: Readonly<Record<string, number>> } => ({
  opset: domain === "" ? { "": opset } : { "": opset, [domain]: 1 },
  inputs: inputs.flatMap((t, k) => (t ? [{ name: `x${k}`, dtype: t.dtype, shape: t.shape }] : [])),
  outputs: outputs.map((dtype, k) => ({ name: `y${k}`, dtype })),
  nodes: [
    {
      op,
      domain,
      inputs: inputs.map((t, k) => (t ? `x${k}` : "")),
      outputs: outputs.map((_, k) => `y${k}`),
      ...(attributes ? { attributes } : {}),
    },
  ],
});

/** Imports a case with the inputs `constants` bound, and runs it. */
function run(c: Case, constants: readonly number[] = []): { shape: readonly number[]; data: readonly number[] }[] {
  const bound = Object.fromEntries(constants.map((k) => [`x${k}`, { data: c.inputs[k]!.data, shape: c.inputs[k]!.shape }]));
  const imported = importModel(model(c), { constants: bound });
  const given = Object.fromEntries(c.inputs.flatMap((t, k) => (t && !constants.includes(k) ? [[`x${k}`, t]] : [])));
  return [...runImported(imported, given).values()];
}

const close = (actual: readonly number[], expected: readonly number[]): void => {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((x, i) => expect(x).toBeCloseTo(expected[i]!, 5));
};

describe("Einsum", () => {
  /** By the definition, over all labels. */
  function plain(equation: string, operands: readonly Tensor[]): number[] {
    const [left, output] = equation.split("->") as [string, string];
    const terms = left.split(",");
    const extents = new Map(terms.flatMap((term, k) => [...term].map((l, a) => [l, operands[k]!.shape[a]!] as const)));
    const labels = [...output, ...[...extents.keys()].filter((l) => !output.includes(l))];
    const result = new Array<number>(elementCount([...output].map((l) => extents.get(l)!))).fill(0);
    const at = new Map<string, number>();
    const offset = (term: string): number => [...term].reduce((sum, l) => sum * extents.get(l)! + at.get(l)!, 0);
    const visit = (depth: number): void => {
      const label = labels[depth];
      if (label === undefined) {
        result[offset(output)]! += terms.reduce((p, term, k) => p * Number(operands[k]!.data[offset(term)]), 1);
        return;
      }
      for (let i = 0; i < extents.get(label)!; i++) {
        at.set(label, i);
        visit(depth + 1);
      }
    };
    visit(0);
    return result;
  }

  test.each([
    [
      "ij,jk->ik",
      [
        [2, 3],
        [3, 4],
      ],
      "matmul",
    ],
    [
      "ij,jk->ki",
      [
        [2, 3],
        [3, 4],
      ],
      "matmul",
    ],
    [
      "bhqd,bhkd->bhqk",
      [
        [2, 2, 3, 4],
        [2, 2, 5, 4],
      ],
      "matmul",
    ],
    [
      "abc,cd->abd",
      [
        [2, 3, 4],
        [4, 2],
      ],
      "matmul",
    ],
    ["i,i->", [[4], [4]], "matmul"],
    ["i,j->ij", [[3], [4]], "einsum"],
    [
      "bi,bi->b",
      [
        [2, 3],
        [2, 3],
      ],
      "matmul",
    ],
    ["ii->i", [[3, 3]], "einsum"],
    ["ij,j,kj->ki", [[2, 3], [3], [2, 3]], "einsum"],
    ["ijk,j->i", [[2, 3, 4], [3]], "einsum"],
  ] as const)("%s on %j is %s", (equation, shapes, through) => {
    const inputs = shapes.map((s) => f32(s));
    const c: Case = { op: "Einsum", inputs, attributes: { equation } };
    expect(topological(importModel(model(c)).graph.outputs).some((n) => n.op === through)).toBe(true);
    close(run(c)[0]!.data, plain(equation, inputs));
  });

  test("an ellipsis broadcasts, and no output means every label that occurs once", () => {
    const inputs = [f32([2, 1, 2, 3]), f32([4, 3, 2])];
    const [y] = run({ op: "Einsum", inputs, attributes: { equation: "...ij,...jk->...ik" } });
    expect(y!.shape).toEqual([2, 4, 2, 2]);
    const [whole] = run({ op: "Einsum", inputs: [f32([2, 3]), f32([3, 4])], attributes: { equation: "ij,jk" } });
    close(whole!.data, plain("ij,jk->ik", [f32([2, 3]), f32([3, 4])]));
  });

  test.each(["ij->k", "ij,jk->ik", "i.j->i", "ijk->i"])("'%s' on one matrix is refused", (equation) => {
    expect(["bad-model", "bad-operands"]).toContain(
      errorOf(() => importModel(model({ op: "Einsum", inputs: [f32([2, 3])], attributes: { equation } }))).code,
    );
  });
});

describe("onnxruntime's operators", () => {
  const contrib = (
    op: string,
    inputs: readonly (Tensor | undefined)[],
    attributes: Case["attributes"] = {},
    outputs: readonly DType[] = ["f32"],
  ): Case => ({ op, inputs, attributes, outputs, domain: "com.microsoft" });
  const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

  test("QuantizeLinear and DequantizeLinear have types of 16 bits", () => {
    const [scale, zero] = [f32([], [0.5]), tensorOf("u16", [], [40000])];
    const [q] = run(contrib("QuantizeLinear", [f32([3], [1, -3, 1e6]), scale, zero], {}, ["u16"]));
    close(q!.data, [40002, 39994, 65535]);
    const [x] = run(contrib("DequantizeLinear", [tensorOf("u16", [3], [40002, 0, 65535]), scale, zero]));
    close(x!.data, [1, -20000, 12767.5]);
  });

  test("FusedMatMul transposes and scales", () => {
    const [y] = run(
      contrib("FusedMatMul", [f32([3, 2], [1, 2, 3, 4, 5, 6]), f32([2, 3], [1, 0, 1, 0, 1, 0])], {
        transA: { int: 1 },
        transB: { int: 1 },
        alpha: { float: 0.5 },
      }),
    );
    close(y!.data, [3, 1.5, 4, 2]);
  });

  test("GELUs add their bias first", () => {
    const x = f32([3], [-1, 0.5, 2]);
    const bias = f32([3], [1, 1, -1]);
    close(run(contrib("FastGelu", [x, bias]))[0]!.data, [0, 1.5, 1].map(gelu));
    const exact = run(contrib("Gelu", [f32([3], [0, 1.5, 1])]))[0]!.data;
    close(run(contrib("BiasGelu", [x, bias]))[0]!.data, exact);
    close(
      run(contrib("QuickGelu", [x], { alpha: { float: 1 } }))[0]!.data,
      [-1, 0.5, 2].map((v) => v / (1 + Math.exp(-v))),
    );
  });

  test("SkipLayerNormalization gives the normalized sum, and the sum", () => {
    const [x, skip] = [f32([1, 2, 2], [1, 3, 0, 0]), f32([1, 2, 2], [0, 0, 2, 6])];
    const inputs = [x, skip, f32([2], [1, 2]), f32([2], [0, 1]), f32([2], [0, 0])];
    const c = contrib("SkipLayerNormalization", inputs, { epsilon: { float: 0 } }, ["f32"]);
    const node = { ...model(c).nodes[0]!, outputs: ["y0", "", "", "y3"] };
    const imported = importModel({
      ...model(c),
      nodes: [node],
      outputs: [
        { name: "y0", dtype: "f32" },
        { name: "y3", dtype: "f32" },
      ],
    });
    const result = runImported(imported, Object.fromEntries(inputs.map((t, k) => [`x${k}`, t])));
    close(result.get("y0")!.data, [-1, 3, -1, 3]);
    close(result.get("y3")!.data, [1, 3, 2, 6]);
  });

  test("QLinearAdd adds reals", () => {
    const u8 = (data: readonly number[]): Tensor => tensorOf("u8", [data.length], data);
    const [scale, zero] = [(v: number): Tensor => f32([], [v]), (v: number): Tensor => tensorOf("u8", [], [v])];
    const inputs = [u8([10, 20, 255]), scale(0.5), zero(0), u8([3, 4, 255]), scale(1), zero(1), scale(0.25), zero(2)];
    // 5 + 2, 10 + 3, 127.5 + 254, in quarters from 2 on.
    expect(run(contrib("QLinearAdd", inputs, {}, ["u8"]))[0]!.data).toEqual([30, 54, 255]);
    expect(run(contrib("QLinearMul", inputs, {}, ["u8"]))[0]!.data).toEqual([42, 122, 255]);
  });

  test("QLinearGlobalAveragePool and QLinearConcat keep their layouts", () => {
    const x = tensorOf("u8", [1, 2, 1, 2], [2, 4, 10, 20]);
    const s = (v: number): Tensor => f32([], [v]);
    const z = tensorOf("u8", [], [0]);
    expect(run(contrib("QLinearGlobalAveragePool", [x, s(1), z, s(1), z], {}, ["u8"]))[0]).toEqual({ shape: [1, 2, 1, 1], data: [3, 15] });
    const [joined] = run(contrib("QLinearConcat", [s(2), z, x, s(1), z, x, s(4), z], { axis: { int: 3 } }, ["u8"]));
    expect(joined).toEqual({ shape: [1, 2, 1, 4], data: [1, 2, 4, 8, 5, 10, 20, 40] });
  });
});

describe("Scan", () => {
  const body = {
    inputs: [
      { name: "s", dtype: "f32" as const, shape: [2] },
      { name: "e", dtype: "f32" as const, shape: [2] },
    ],
    outputs: [
      { name: "t", dtype: "f32" as const, shape: [2] },
      { name: "o", dtype: "f32" as const, shape: [2] },
    ],
    nodes: [
      { op: "Add", inputs: ["s", "e"], outputs: ["t"] },
      { op: "Identity", inputs: ["t"], outputs: ["o"] },
    ],
  };
  const scan = (attributes: Case["attributes"]): { shape: readonly number[]; data: readonly number[] }[] =>
    run({
      op: "Scan",
      inputs: [f32([2], [0, 10]), f32([2, 3], [1, 2, 3, 4, 5, 6])],
      outputs: ["f32", "f32"],
      attributes: { body: { graph: body }, num_scan_inputs: { int: 1 }, ...attributes },
    });

  test("along an inner axis, forwards and backwards, into an inner axis", () => {
    const axes = { scan_input_axes: { ints: [1] }, scan_output_axes: { ints: [1] } };
    expect(scan(axes)).toEqual([
      { shape: [2], data: [6, 25] },
      { shape: [2, 3], data: [1, 3, 6, 14, 19, 25] },
    ]);
    expect(scan({ ...axes, scan_input_directions: { ints: [1] } })[1]).toEqual({ shape: [2, 3], data: [3, 5, 6, 16, 21, 25] });
    expect(scan({ ...axes, scan_output_directions: { ints: [1] } })[1]).toEqual({ shape: [2, 3], data: [6, 3, 1, 25, 19, 14] });
  });
});

describe("versions", () => {
  test("Resize-10 and Upsample-9 take scales as operand 1", () => {
    const c = (op: string, opset: number): Case => ({ op, opset, inputs: [f32([1, 1, 2, 2], [1, 2, 3, 4]), f32([4], [1, 1, 2, 1.5])] });
    for (const found of [run(c("Resize", 10), [1]), run(c("Upsample", 9), [1])])
      expect(found[0]).toEqual({ shape: [1, 1, 4, 3], data: [1, 1, 2, 1, 1, 2, 3, 3, 4, 3, 3, 4] });
  });

  test("Hardmax before opset 13 is over all axes from its own on", () => {
    const x = f32([2, 2, 2], [0, 3, 1, 2, 5, 5, 5, 5]);
    expect(run({ op: "Hardmax", opset: 11, inputs: [x] })[0]!.data).toEqual([0, 1, 0, 0, 1, 0, 0, 0]);
    expect(run({ op: "Hardmax", opset: 13, inputs: [x] })[0]!.data).toEqual([0, 1, 0, 1, 1, 0, 1, 0]);
  });

  test("TopK-1 has k as an attribute; RoiAlign-10 does not shift", () => {
    expect(
      run({ op: "TopK", opset: 9, inputs: [f32([3], [1, 3, 2])], attributes: { k: { int: 2 } }, outputs: ["f32", "i64"] }).map(
        (t) => t.data,
      ),
    ).toEqual([
      [3, 2],
      [1, 2],
    ]);
    const roi = (opset: number): readonly number[] =>
      run({ op: "RoiAlign", opset, inputs: [f32([1, 1, 2, 2], [0, 1, 2, 3]), f32([1, 4], [0, 0, 2, 2]), tensorOf("i64", [1], [0])] })[0]!
        .data;
    close(roi(10), [2.25]);
    close(roi(16), [1.5]);
  });
});

describe("refusals", () => {
  const code = (c: Case): string => errorOf(() => importModel(model(c))).code;
  test("say what is random, a sequence, or too large", () => {
    expect(code({ op: "RandomNormalLike", inputs: [f32([2])] })).toBe("unsupported");
    expect(code({ op: "SplitToSequence", inputs: [f32([2])] })).toBe("unsupported");
    expect(errorOf(() => run({ op: "HannWindow", inputs: [tensorOf("i64", [], [2 ** 30])] }, [0])).code).toBe("unsupported");
    expect(errorOf(() => run({ op: "Resize", inputs: [f32([1, 2]), undefined, f32([2], [1, 2 ** 28])] }, [2])).code).toBe("unsupported");
  });

  test("say what is no ONNX", () => {
    expect(code({ op: "DepthToSpace", inputs: [f32([1, 3, 2, 2])], attributes: { blocksize: { int: 2 } } })).toBe("bad-model");
    expect(
      code({
        op: "Attention",
        inputs: [f32([1, 2, 4]), f32([1, 2, 4]), f32([1, 2, 4])],
        attributes: { q_num_heads: { int: 3 }, kv_num_heads: { int: 3 } },
      }),
    ).toBe("bad-model");
    expect(errorOf(() => run({ op: "Resize", inputs: [f32([1, 2]), undefined, f32([2], [1, -1])] }, [2])).code).toBe("bad-model");
  });
});
