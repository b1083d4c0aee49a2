// Decoding of ONNX files: what comes out of good ones, and the coded error that ends a bad tensor.

import { describe, expect, it } from "vitest";
import { decodeModel, decodeTensorProto } from "../../compiler/onnx/proto/decode.ts";
import { encodeMessage, encodeModel, type ModelInit } from "../../compiler/onnx/proto/encode.ts";
import { functionKey, type OnnxTensor } from "../../compiler/onnx/proto/model.ts";
import type { WireInit } from "../../compiler/onnx/proto/schema.ts";
import { type DType, viewAs } from "../../ir/dtype.ts";
import { codeOf } from "../support/code-of.ts";

const tensorCode = (init: WireInit<"TensorProto">): string => codeOf(() => decodeTensorProto(encodeMessage("TensorProto", init)).bytes());

const decodeRaw = (init: WireInit<"TensorProto">): OnnxTensor => decodeTensorProto(encodeMessage("TensorProto", init));

const FLOAT = 1;
const UINT8 = 2;

const SMALL: ModelInit = {
  opset: 13,
  inputs: [{ name: "x", dtype: "f32", shape: ["batch", 2] }],
  outputs: [{ name: "y", dtype: "f32" }],
  initializers: [{ name: "w", dtype: "f32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
  nodes: [{ op: "Gemm", name: "fc", inputs: ["x", "w"], outputs: ["y"], attributes: { alpha: { float: 0.5 }, transB: { int: 1 } } }],
};

describe("decodeModel", () => {
  it("returns what encodeModel was given", () => {
    const model = decodeModel(encodeModel({ ...SMALL, metadata: { author: "us" }, producer: "test" }), { file: "m.onnx" });
    expect([model.file, model.irVersion, model.producer, [...model.opsets], [...model.metadata]]).toEqual([
      "m.onnx",
      8,
      "test",
      [["", 13]],
      [["author", "us"]],
    ]);
    expect(model.graph.inputs).toEqual([
      { name: "x", kind: "tensor", elemType: FLOAT, dims: ["batch", 2], type: { kind: "tensor", elemType: FLOAT, dims: ["batch", 2] } },
    ]);
    expect(model.graph.outputs[0]?.dims).toBeUndefined();
    const [node] = model.graph.nodes;
    expect([node?.opType, node?.name, node?.domain, node?.inputs, node?.outputs]).toEqual(["Gemm", "fc", "", ["x", "w"], ["y"]]);
    expect([...(node?.attributes.values() ?? [])]).toEqual([
      { kind: "float", name: "alpha", value: 0.5 },
      { kind: "int", name: "transB", value: 1 },
    ]);
    const w = model.graph.initializers.get("w")!;
    expect([w.dtype, w.dims, w.elements, [...viewAs("f32", w.bytes())]]).toEqual(["f32", [2, 2], 4, [1, 2, 3, 4]]);
  });

  it("keeps views of the file's bytes for raw data", () => {
    const bytes = encodeModel(SMALL);
    expect(decodeModel(bytes).graph.initializers.get("w")?.bytes().buffer).toBe(bytes.buffer);
  });

  it("reads every kind of attribute", () => {
    const scalar = { dtype: "i64", shape: [], data: [7] } as const;
    const { graph } = decodeModel(
      encodeModel({
        ...SMALL,
        nodes: [
          {
            op: "Anything",
            inputs: [""],
            outputs: ["y"],
            attributes: {
              big: { int: 2n ** 60n },
              ints: { ints: [-1, 0, 2n ** 62n] },
              floats: { floats: [0.5, -Infinity] },
              text: "né",
              texts: ["a", ""],
              tensor: { tensor: scalar },
              graph: {
                graph: { name: "inner", nodes: [{ op: "Relu", inputs: ["x"], outputs: ["z"] }], outputs: [{ name: "z", dtype: "f32" }] },
              },
              passed: { ref: "outer", kind: "int" },
            },
          },
        ],
      }),
    );
    const at = graph.nodes[0]!.attributes;
    const value = (name: string): unknown => at.get(name)?.value;
    expect([value("big"), value("ints"), value("floats"), value("text"), value("texts")]).toEqual([
      2n ** 60n,
      [-1, 0, 2n ** 62n],
      [0.5, -Infinity],
      "né",
      ["a", ""],
    ]);
    const tensor = at.get("tensor");
    expect(tensor?.kind === "tensor" && [tensor.value.dims, viewAs("i64", tensor.value.bytes())[0]]).toEqual([[], 7n]);
    const inner = at.get("graph");
    expect(inner?.kind === "graph" && inner.value.nodes[0]?.opType).toBe("Relu");
    expect(at.get("passed")).toEqual({ kind: "ref", name: "passed", value: "outer" });
  });

  it("reads functions, and both spellings of the default domain", () => {
    const { functions, opsets, graph } = decodeModel(
      encodeModel({
        ...SMALL,
        opset: { "ai.onnx": 17, local: 1 },
        functions: [
          {
            name: "Twice",
            domain: "local",
            inputs: ["a"],
            outputs: ["b"],
            attributes: ["k"],
            nodes: [{ op: "Add", inputs: ["a", "a"], outputs: ["b"] }],
            opsets: { "": 17 },
          },
        ],
        nodes: [{ op: "Identity", domain: "ai.onnx", inputs: ["x"], outputs: ["y"] }],
      }),
    );
    expect([...opsets]).toEqual([
      ["", 17],
      ["local", 1],
    ]);
    expect(graph.nodes[0]?.domain).toBe("");
    const twice = functions.get(functionKey("local", "Twice"));
    expect([twice?.attributes, twice?.nodes[0]?.opType, [...(twice?.opsets ?? [])]]).toEqual([["k"], "Add", [["", 17]]]);
  });

  it("names value types that are not tensors", () => {
    const type = { sequenceType: { elemType: { optionalType: { elemType: { tensorType: { elemType: FLOAT } } } } } };
    const { graph } = decodeModel(encodeMessage("ModelProto", { graph: { input: [{ name: "s", type }, { name: "u" }] } }));
    expect(graph.inputs.map((i) => i.kind)).toEqual(["sequence", "unknown"]);
    expect(graph.inputs[0]?.type).toEqual({
      kind: "sequence",
      element: { kind: "optional", element: { kind: "tensor", elemType: FLOAT } },
    });
  });

  it("holds hostile names as data", () => {
    const names = ["__proto__", "constructor", "toString"];
    const { graph, metadata } = decodeModel(
      encodeMessage("ModelProto", {
        metadataProps: names.map((key) => ({ key, value: "polluted" })),
        graph: {
          initializer: names.map((name) => ({ name, dims: [1n], dataType: UINT8, rawData: Uint8Array.of(1) })),
          valueInfo: names.map((name) => ({ name })),
          node: [{ opType: "__proto__", attribute: names.map((name) => ({ name, type: 2, i: 1n })) }],
        },
      }),
    );
    expect([...graph.initializers.keys()]).toEqual(names);
    expect([...graph.valueInfo.keys()]).toEqual(names);
    expect([...graph.nodes[0]!.attributes.keys()]).toEqual(names);
    expect([...metadata.keys()]).toEqual(names);
    expect(Object.getOwnPropertyNames(Object.prototype).includes("polluted")).toBe(false);
    expect(({} as Record<string, unknown>)["i"]).toBeUndefined();
  });
});

describe("tensors", () => {
  const typed: readonly (readonly [DType, WireInit<"TensorProto">, readonly (number | bigint)[]])[] = [
    ["f32", { dataType: 1, dims: [2n], floatData: [1.5, -2] }, [1.5, -2]],
    ["f64", { dataType: 11, dims: [1n], doubleData: [0.1] }, [0.1]],
    ["f16", { dataType: 10, dims: [2n], int32Data: [0x3c00, 0xfc00] }, [0x3c00, 0xfc00]],
    ["u8", { dataType: 2, dims: [2n], int32Data: [0, 255] }, [0, 255]],
    ["i8", { dataType: 3, dims: [2n], int32Data: [-128, 127] }, [-128, 127]],
    ["u16", { dataType: 4, dims: [1n], int32Data: [65535] }, [65535]],
    ["i16", { dataType: 5, dims: [1n], int32Data: [-32768] }, [-32768]],
    ["i32", { dataType: 6, dims: [1n], int32Data: [-5] }, [-5]],
    ["i64", { dataType: 7, dims: [2n], int64Data: [-5n, 2n ** 62n] }, [-5n, 2n ** 62n]],
    ["u32", { dataType: 12, dims: [1n], uint64Data: [4294967295n] }, [4294967295]],
    ["u64", { dataType: 13, dims: [1n], uint64Data: [2n ** 64n - 1n] }, [2n ** 64n - 1n]],
    ["bool", { dataType: 9, dims: [2n], int32Data: [1, 0] }, [1, 0]],
    ["bool", { dataType: 9, dims: [2n], rawData: Uint8Array.of(255, 0) }, [1, 0]],
    ["i4", { dataType: 22, dims: [3n], rawData: Uint8Array.of(0x7f, 0x08) }, [-1, 7, -8]],
    ["i4", { dataType: 22, dims: [3n], int32Data: [0x7f, 0x08] }, [-1, 7, -8]],
    ["u4", { dataType: 21, dims: [3n], rawData: Uint8Array.of(0x7f, 0x08) }, [15, 7, 8]],
    ["f32", { dataType: 1, dims: [0n, 3n] }, []],
  ];
  it.each(typed)("reads %s from %o", (dtype, init, expected) => {
    const t = decodeRaw(init);
    expect([t.dtype, [...viewAs(dtype, t.bytes())]]).toEqual([dtype, expected]);
  });

  it("writes and reads back narrow and wide integers", () => {
    const data: readonly (readonly [DType, readonly number[]])[] = [
      ["i4", [-8, 7, 3]],
      ["u4", [15, 0, 9]],
      ["i16", [-3, 9, 0]],
      ["u32", [4294967295, 0, 1]],
      ["bool", [1, 0, 1]],
    ];
    const initializers = data.map(([dtype, values]) => ({ name: dtype, dtype, shape: [3], data: values }));
    const { graph } = decodeModel(encodeModel({ ...SMALL, initializers }));
    for (const [dtype, values] of data) expect([...viewAs(dtype, graph.initializers.get(dtype)!.bytes())]).toEqual(values);
    expect(codeOf(() => encodeModel({ ...SMALL, initializers: [{ name: "a", dtype: "i4", shape: [1], data: [8] }] }))).toBe("bad-model");
    expect(codeOf(() => encodeModel({ ...SMALL, initializers: [{ name: "a", dtype: "i8", shape: [2], data: [8] }] }))).toBe("bad-model");
  });

  it("decodes types that sparsec lacks, without a dtype", () => {
    expect(decodeRaw({ dataType: 16, dims: [1n], int32Data: [0x3f80] }).dtype).toBeUndefined();
    expect([...decodeRaw({ dataType: 16, dims: [1n], int32Data: [0x3f80] }).bytes()]).toEqual([0x80, 0x3f]);
    const strings = decodeRaw({ dataType: 8, dims: [1n], stringData: [Uint8Array.of(104, 105)] });
    expect([strings.dtype, strings.strings.length, codeOf(() => strings.bytes())]).toEqual([undefined, 1, "unsupported-dtype"]);
  });

  const bad: readonly (readonly [string, string, WireInit<"TensorProto">])[] = [
    ["too little data", "bad-model", { dataType: FLOAT, dims: [2n], rawData: new Uint8Array(7) }],
    ["too much data", "bad-model", { dataType: FLOAT, dims: [1n], rawData: new Uint8Array(8) }],
    ["no data", "bad-model", { dataType: FLOAT, dims: [1n] }],
    ["too few typed values", "bad-model", { dataType: FLOAT, dims: [3n], floatData: [1] }],
    ["values in the wrong field", "bad-model", { dataType: FLOAT, dims: [1n], int32Data: [1] }],
    ["data twice", "bad-model", { dataType: FLOAT, dims: [1n], floatData: [1], rawData: new Uint8Array(4) }],
    ["a value out of range", "bad-model", { dataType: UINT8, dims: [1n], int32Data: [256] }],
    ["a u32 out of range", "bad-model", { dataType: 12, dims: [1n], uint64Data: [2n ** 32n] }],
    ["a negative extent", "bad-model", { dataType: FLOAT, dims: [-1n], rawData: new Uint8Array(4) }],
    ["an unknown type", "bad-model", { dataType: 99, dims: [1n], rawData: new Uint8Array(4) }],
    ["an undefined type", "bad-model", { dims: [1n], rawData: new Uint8Array(4) }],
    ["rank 17", "bad-model", { dataType: UINT8, dims: Array.from({ length: 17 }, () => 1n), rawData: new Uint8Array(1) }],
    ["2^32 elements", "too-large", { dataType: UINT8, dims: [65536n, 65536n] }],
    ["a product that wraps to 0 in 64 bits", "too-large", { dataType: UINT8, dims: [2n ** 32n, 2n ** 32n] }],
    ["2^60 elements behind a zero", "too-large", { dataType: UINT8, dims: [2n ** 30n, 0n, 2n ** 30n] }],
    ["segments", "bad-model", { dataType: FLOAT, dims: [1n], rawData: new Uint8Array(4), segment: { begin: 0n } }],
    ["an unknown place", "bad-model", { dataType: FLOAT, dims: [1n], dataLocation: 7 }],
    [
      "external data",
      "external-disabled",
      { dataType: FLOAT, dims: [1n], dataLocation: 1, externalData: [{ key: "location", value: "w" }] },
    ],
  ];
  it.each(bad)("refuses %s", (_what, code, init) => {
    expect(tensorCode(init)).toBe(code);
  });

  it("says which tensor, what was found and what was expected", () => {
    const bytes = encodeMessage("ModelProto", {
      graph: { initializer: [{ name: "w", dataType: FLOAT, dims: [2n], rawData: new Uint8Array(7) }] },
    });
    expect(() => decodeModel(bytes, { file: "m.onnx" })).toThrow('m.onnx (tensor "w"): 7 bytes of data, and FLOAT[2] takes 8 [bad-model]');
  });
});

describe("sparse tensors", () => {
  const model = (indices: readonly bigint[], shape: readonly bigint[], dims: readonly bigint[]): Uint8Array =>
    encodeMessage("ModelProto", {
      graph: {
        sparseInitializer: [
          {
            dims,
            values: { name: "s", dataType: FLOAT, dims: [2n], floatData: [5, 6] },
            indices: { dataType: 7, dims: shape, int64Data: indices },
          },
        ],
      },
    });
  const positions = (bytes: Uint8Array): readonly number[] => [...decodeModel(bytes).graph.sparseInitializers.get("s")!.positions()];

  it("takes positions and coordinates", () => {
    expect(positions(model([1n, 5n], [2n], [2n, 3n]))).toEqual([1, 5]);
    const coordinates = model([0n, 1n, 1n, 2n], [2n, 2n], [2n, 3n]);
    expect(positions(coordinates)).toEqual([1, 5]);
    expect([...viewAs("f32", decodeModel(coordinates).graph.sparseInitializers.get("s")!.bytes())]).toEqual([0, 5, 0, 0, 0, 6]);
  });

  it("is what encodeModel writes", () => {
    const bytes = encodeModel({
      ...SMALL,
      sparseInitializers: [{ name: "s", dtype: "f32", shape: [4], values: Float32Array.of(1, 2), positions: [0, 3] }],
    });
    expect([...viewAs("f32", decodeModel(bytes).graph.sparseInitializers.get("s")!.bytes())]).toEqual([1, 0, 0, 2]);
  });

  it.each([
    ["a position past the end", [1n, 6n], [2n], [2n, 3n]],
    ["a negative one", [-1n, 1n], [2n], [2n, 3n]],
    ["one twice", [1n, 1n], [2n], [2n, 3n]],
    ["descending ones", [2n, 1n], [2n], [2n, 3n]],
    ["a coordinate past its axis", [0n, 3n, 1n, 0n], [2n, 2n], [2n, 3n]],
    ["coordinates of another rank", [0n, 1n, 2n, 0n, 1n, 2n], [2n, 3n], [2n, 3n]],
    ["fewer indices than values", [1n], [1n], [2n, 3n]],
  ])("refuses %s", (_what, indices, shape, dims) => {
    expect(codeOf(() => decodeModel(model(indices, shape, dims)))).toBe("bad-model");
  });
});
