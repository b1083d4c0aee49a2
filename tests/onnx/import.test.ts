// Importing models: inputs and their shapes, constants, functions, errors.

import { describe, expect, it } from "vitest";
import { defineOnnxOp } from "../../compiler/onnx/op.ts";
import type { GraphInit, NodeInit, ValueInit } from "../../compiler/onnx/proto/encode.ts";
import { defineOp } from "../../ir/op.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { typeToString } from "../../ir/types.ts";
import { errorOf, importModel, runImported } from "../support/run-model.ts";

const f32 = (name: string, shape?: readonly (number | string)[]): ValueInit => ({ name, dtype: "f32", ...(shape ? { shape } : {}) });
const i64 = (name: string, shape: readonly (number | string)[]): ValueInit => ({ name, dtype: "i64", shape });
const node = (
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: NonNullable<NodeInit["attributes"]> = {},
): NodeInit => ({
  op,
  inputs,
  outputs,
  attributes,
});
const vector = (...data: number[]) => tensorOf("f32", [data.length], data);
const types = (i: ReturnType<typeof importModel>): readonly string[] =>
  [...i.graph.params, ...i.graph.outputs].map((v) => typeToString(v.type));

const relu = (...inputs: readonly ValueInit[]): GraphInit => ({
  inputs,
  outputs: inputs.map((v) => f32(`${v.name}_out`)),
  nodes: inputs.map((v) => node("Relu", [v.name], [`${v.name}_out`])),
});

describe("extents of inputs", () => {
  it("take a batch that leads every input as 1, and say so", () => {
    const imported = importModel(relu(f32("x", ["batch_size", 3]), f32("y", ["batch_size"])));
    expect(types(imported)).toEqual(["f32[1,3]", "f32[1]", "f32[1,3]", "f32[1]"]);
    expect(imported.notes).toEqual([expect.stringContaining('"batch_size", the first of every input, is taken as 1')]);
    expect(importModel(relu(f32("x", ["N", 3]), f32("s", []))).notes.length).toBe(1);
  });

  it("are an error otherwise, which names all of them and the flags to give", () => {
    const e = errorOf(() => importModel(relu(f32("x", ["batch", "seq"]), f32("y", [2, "batch"]), f32("z", [-1 as number]))));
    expect(e.code).toBe("unbound-dim");
    expect(e.message).toContain('axis 0 of input "x" (batch), axis 1 of input "x" (seq), axis 1 of input "y" (batch), axis 0 of input "z"');
    expect(e.hint).toContain("--dim batch=... --dim seq=... --input-shape z=...");
  });

  it("that lead some inputs only are no batch, nor are names that are none", () => {
    expect(errorOf(() => importModel(relu(f32("x", ["N", 2]), f32("y", ["E"])))).hint).toContain("--dim N=... --dim E=...");
    expect(errorOf(() => importModel(relu(f32("x", ["height", 2])))).code).toBe("unbound-dim");
    expect(errorOf(() => importModel(relu(f32("x")))).hint).toContain("--input-shape x=...");
  });

  it("are bound by dims and by inputShapes, which bind symbols for other inputs", () => {
    expect(types(importModel(relu(f32("x", ["a", "b"])), { dims: { a: 2, b: 5 } }))[0]).toBe("f32[2,5]");
    expect(types(importModel(relu(f32("x", ["a", "b"]), f32("y", ["b"])), { inputShapes: { x: [2, 5] } })).slice(0, 2)).toEqual([
      "f32[2,5]",
      "f32[5]",
    ]);
    expect(types(importModel(relu(f32("x")), { inputShapes: { x: [4] } }))[0]).toBe("f32[4]");
    expect(importModel(relu(f32("x", [2])), { dims: { batch: 1 } }).notes).toEqual([expect.stringContaining('"batch", which no input')]);
  });

  it("may not contradict the model or each other", () => {
    expect(errorOf(() => importModel(relu(f32("x", ["a", 3])), { inputShapes: { x: [2, 4] } })).message).toContain(
      "[a, 3] in the model, and [2, 4] was given",
    );
    expect(errorOf(() => importModel(relu(f32("x", ["a"])), { dims: { a: 1 }, inputShapes: { x: [2] } })).message).toContain(
      "bound to both 1 and 2",
    );
    expect(errorOf(() => importModel(relu(f32("x", ["a"])), { dims: { a: 1.5 } })).code).toBe("bad-option");
    expect(errorOf(() => importModel(relu(f32("x", ["a"])), { inputShapes: { y: [2] } })).code).toBe("unknown-input");
  });

  it("have names that are only names", () => {
    const hostile = relu(f32("__proto__", ["constructor"]), f32("toString", ["__proto__", 1]));
    expect(errorOf(() => importModel(hostile)).hint).toContain("--dim constructor=...");
    const dims = JSON.parse('{"constructor": 2, "__proto__": 3}') as Record<string, number>;
    expect(types(importModel(hostile, { dims })).slice(0, 2)).toEqual(["f32[2]", "f32[3,1]"]);
  });
});

describe("inputs as constants", () => {
  const scaled: GraphInit = {
    inputs: [f32("x", [2]), f32("w", [2]), i64("n", [])],
    outputs: [f32("y")],
    initializers: [{ name: "w", dtype: "f32", shape: [2], data: [10, 20] }],
    nodes: [node("Mul", ["x", "w"], ["p"]), node("CastLike", ["n", "p"], ["m"]), node("Add", ["p", "m"], ["y"])],
  };
  const y = (options: Parameters<typeof importModel>[1]) => {
    const imported = importModel(scaled, options);
    return [
      imported.graph.params.map((p) => p.node.attrs["name"]),
      runImported(imported, { x: vector(1, 2), n: tensorOf("i64", [], [5n]) }).get("y")?.data,
    ];
  };

  it("with initializers are none, unless bound by the user", () => {
    expect(y({})).toEqual([
      ["x", "n"],
      [15, 45],
    ]);
    expect(y({ constants: { w: Float32Array.of(1, 1) } })).toEqual([
      ["x", "n"],
      [6, 7],
    ]);
  });

  it("are given as numbers, bigints, arrays, or data with a shape", () => {
    expect(y({ constants: { n: 7 } })).toEqual([["x"], [17, 47]]);
    expect(y({ constants: { n: 7n, w: 2 } })).toEqual([["x"], [9, 11]]);
    expect(y({ constants: { n: BigInt64Array.of(7n) } })).toEqual([["x"], [17, 47]]);
    expect(y({ constants: { w: { data: [3, 4], shape: [2] }, n: { data: Int32Array.of(1), shape: [] } } })).toEqual([["x"], [4, 9]]);
  });

  it("must fit", () => {
    const code = (constants: NonNullable<Parameters<typeof importModel>[1]>["constants"]) =>
      errorOf(() => importModel(scaled, { constants })).code;
    expect(code({ n: 1.5 })).toBe("bad-option");
    expect(code({ w: Float32Array.of(1, 2, 3) })).toBe("bad-option");
    expect(code({ w: { data: [1, 2], shape: [1, 2] } })).toBe("bad-option");
    expect(code({ w: { data: [1], shape: [2] } })).toBe("bad-option");
    expect(code({ weights: 1 })).toBe("unknown-input");
  });

  it("bind symbols of other inputs", () => {
    expect(types(importModel(relu(f32("x", ["t"]), f32("y", ["t"])), { constants: { x: Float32Array.of(1, 2, 3) } }))).toEqual([
      "f32[3]",
      "f32[3]",
      "f32[3]",
    ]);
  });

  it("can be sparse initializers, which become dense", () => {
    const imported = importModel({
      inputs: [f32("x", [1, 2])],
      outputs: [f32("y")],
      sparseInitializers: [{ name: "w", dtype: "f32", shape: [2, 3], values: Float32Array.of(5, 7), positions: [1, 5] }],
      nodes: [node("MatMul", ["x", "w"], ["y"])],
    });
    expect(runImported(imported, { x: tensorOf("f32", [1, 2], [1, 2]) }).get("y")).toEqual({ shape: [1, 3], data: [0, 5, 14] });
  });
});

describe("values that decide shapes", () => {
  const model: GraphInit = {
    inputs: [f32("x", [2, 3]), i64("shape", [2]), i64("repeats", [2]), i64("free", [1])],
    outputs: [f32("y"), f32("z")],
    nodes: [
      node("Add", ["repeats", "repeats"], ["twice"]),
      node("Reshape", ["x", "shape"], ["r"]),
      node("Tile", ["r", "twice"], ["y"]),
      node("Shape", ["free"], ["s"]),
      node("Expand", ["x", "s"], ["e"]),
      node("Cast", ["free"], ["c"], { to: { int: 1 } }),
      node("Add", ["c", "e"], ["z"]),
    ],
  };

  it("are listed at once, and no others", () => {
    const e = errorOf(() => importModel(model));
    expect([e.code, e.inputs]).toEqual(["needs-constant", ["shape", "repeats"]]);
    expect(e.hint).toBe("--const shape=... --const repeats=...");
  });

  it("compile once bound", () => {
    const imported = importModel(model, { constants: { shape: BigInt64Array.of(2n, 3n), repeats: 1n } });
    expect(types(imported)).toEqual(["f32[2,3]", "i64[1]", "f32[4,6]", "f32[2,3]"]);
  });

  it("are computed from shapes while importing", () => {
    const imported = importModel({
      inputs: [f32("x", ["N", 4, 6])],
      outputs: [f32("y")],
      initializers: [
        { name: "zero", dtype: "i64", shape: [1], data: [0] },
        { name: "rest", dtype: "i64", shape: [1], data: [-1] },
      ],
      nodes: [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Concat", ["n", "rest"], ["target"], { axis: { int: 0 } }),
        node("Reshape", ["x", "target"], ["y"]),
      ],
    });
    expect(types(imported)).toEqual(["f32[1,4,6]", "f32[1,24]"]);
  });

  it("that hang on data alone are refused", () => {
    const e = errorOf(() =>
      importModel({
        inputs: [f32("x", [3])],
        outputs: [f32("y")],
        nodes: [node("NonZero", ["x"], ["i"]), node("Shape", ["i"], ["s"]), node("ConstantOfShape", ["s"], ["y"])],
      }),
    );
    expect(e.code).toBe("dynamic-shape");
  });
});

describe("functions", () => {
  const call = (attributes: NonNullable<NodeInit["attributes"]>): Parameters<typeof importModel>[0] => ({
    opset: { "": 21, local: 1 },
    inputs: [f32("x", [2])],
    outputs: [f32("y")],
    nodes: [{ op: "Outer", domain: "local", inputs: ["x"], outputs: ["y"], attributes }],
    functions: [
      {
        name: "Outer",
        domain: "local",
        inputs: ["a"],
        outputs: ["b"],
        attributes: ["slope"],
        opsets: { "": 21, local: 1 },
        nodes: [
          { op: "Inner", domain: "local", inputs: ["a"], outputs: ["t"], attributes: { alpha: { ref: "slope", kind: "float" } } },
          node("Neg", ["t"], ["b"]),
        ],
      },
      {
        name: "Inner",
        domain: "local",
        inputs: ["a"],
        outputs: ["b"],
        attributes: ["alpha"],
        opsets: { "": 16 },
        nodes: [node("LeakyRelu", ["a"], ["b"], { alpha: { ref: "alpha", kind: "float" } })],
      },
    ],
  });

  it("are inlined, their attributes bound by the call, or left to their defaults", () => {
    const y = (attributes: NonNullable<NodeInit["attributes"]>) =>
      runImported(importModel(call(attributes)), { x: vector(-1, 2) }).get("y")?.data;
    expect(y({ slope: { float: 0.5 } })).toEqual([0.5, -2]);
    expect(y({})).toEqual([Math.fround(0.01), -2]);
  });

  it("may not call themselves", () => {
    const e = errorOf(() =>
      importModel({
        opset: { "": 21, local: 1 },
        inputs: [f32("x", [2])],
        outputs: [f32("y")],
        nodes: [{ op: "F", domain: "local", inputs: ["x"], outputs: ["y"] }],
        functions: [
          {
            name: "F",
            domain: "local",
            inputs: ["a"],
            outputs: ["b"],
            opsets: { local: 1 },
            nodes: [{ op: "F", domain: "local", inputs: ["a"], outputs: ["b"] }],
          },
        ],
      }),
    );
    expect(e.code).toBe("budget");
  });
});

describe("what cannot be imported", () => {
  const one = (n: NodeInit, opset: number | Record<string, number> = 21) =>
    errorOf(() => importModel({ opset, inputs: [f32("x", [2])], outputs: [f32("y")], nodes: [n] }));

  it("names an unknown operator, its version, its node and its fellows", () => {
    const e = errorOf(() =>
      importModel({
        opset: { "": 21, acme: 3 },
        inputs: [f32("x", [2])],
        outputs: [f32("y")],
        nodes: [
          { op: "Frobnicate", domain: "acme", name: "frob_1", inputs: ["x"], outputs: ["t"] },
          node("Bogus", ["t"], ["y"]),
          node("Unused", ["x"], ["dead"]),
        ],
      }),
    );
    expect(e.code).toBe("unsupported-op");
    expect(e.message).toContain(
      "test.onnx (frob_1): operator acme:Frobnicate (version 3) is not supported; in the whole model: Bogus, acme:Frobnicate",
    );
  });

  it("names an operator set too old or too new", () => {
    expect(one(node("Relu", ["x"], ["y"]), 6).message).toContain(
      "version 6 of the default operator set (for Relu, first of all), and versions 7 to",
    );
    expect(one(node("Relu", ["x"], ["y"]), 99).code).toBe("unsupported");
  });

  it("names what is wrong with a node", () => {
    expect(one(node("Relu", ["nothing"], ["y"])).message).toContain('Relu reads "nothing", which nothing before it computes');
    expect(one(node("Concat", ["x"], ["y"])).message).toContain("attribute 'axis' is missing");
    expect(one(node("Concat", ["x"], ["y"], { axis: { float: 1 } })).message).toContain("must be of kind int, got float");
    expect(one(node("Softmax", ["x"], ["y"], { axis: { int: 7 } })).code).toBe("bad-model");
    expect(one(node("Cast", ["x"], ["y"], { to: { int: 17 } })).message).toContain("FLOAT8E4M3FN");
    expect(errorOf(() => importModel({ ...relu(f32("x", [2])), outputs: [f32("z")] })).message).toContain('output "z" is computed nowhere');
    expect(
      errorOf(() =>
        importModel({ inputs: [f32("x", [2])], outputs: [f32("y")], nodes: [node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])] }),
      ).message,
    ).toContain("computed twice");
  });

  it("says where a type rule of ours refuses", () => {
    const e = one({ op: "And", name: "both", inputs: ["x", "x"], outputs: ["y"] });
    expect(e.message).toContain("test.onnx (both): and: operand 0 must be");
  });
});

it("users' operators extend the table and the op set", () => {
  const triple = defineOp({
    name: "acme_triple",
    doc: "3 x.",
    operands: ["x"],
    infer: ({ types: [x] }) => x!,
    compose: (b, [x], _, loc) => [b.value("add", [b.value("add", [x!, x!], {}, loc), x!], {}, loc)],
  });
  const imported = importModel(
    {
      opset: { "": 21, acme: 1 },
      inputs: [f32("x", [2])],
      outputs: [f32("y")],
      nodes: [{ op: "Triple", domain: "acme", inputs: ["x"], outputs: ["y"] }],
    },
    { ops: { ops: [triple], onnx: [defineOnnxOp({ name: "acme:Triple", import: (c) => c.add("acme_triple", [c.input(0)]) })] } },
  );
  expect(runImported(imported, { x: vector(1, 2) }).get("y")?.data).toEqual([3, 6]);
});
