// Malformed and hostile ONNX files: each ends in a result or a coded error.

import { describe, expect, it } from "vitest";
import { DEFAULT_BUDGET } from "../../compiler/onnx/proto/budget.ts";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import { encodeMessage, encodeModel, type ModelInit } from "../../compiler/onnx/proto/encode.ts";
import type { WireInit } from "../../compiler/onnx/proto/schema.ts";
import { checkWire } from "../../compiler/onnx/proto/wire.ts";
import { bytesOf } from "../../ir/dtype.ts";
import { codeOf } from "../support/code-of.ts";

const UINT8 = 2;

const SMALL: ModelInit = {
  opset: 13,
  inputs: [{ name: "x", dtype: "f32", shape: ["batch", 2] }],
  outputs: [{ name: "y", dtype: "f32" }],
  initializers: [{ name: "w", dtype: "f32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
  nodes: [{ op: "Gemm", name: "fc", inputs: ["x", "w"], outputs: ["y"], attributes: { alpha: { float: 0.5 }, transB: { int: 1 } } }],
};

describe("malformed files", () => {
  const graph =
    (init: WireInit<"GraphProto">): (() => unknown) =>
    () =>
      decodeModel(encodeMessage("ModelProto", { graph: init }));

  it("refuses what is no model", () => {
    expect(codeOf(() => decodeModel(new Uint8Array()))).toBe("bad-model");
    expect(codeOf(() => decodeModel(new TextEncoder().encode("<html>not found</html>")))).toBe("bad-model");
    expect(codeOf(() => decodeModel(new Uint8Array(64).fill(255)))).toBe("bad-model");
  });

  it("refuses names given twice, and things without names or types", () => {
    const w = { name: "w", dataType: UINT8, dims: [1n], rawData: Uint8Array.of(1) };
    expect(codeOf(graph({ initializer: [w, w] }))).toBe("bad-model");
    expect(codeOf(graph({ initializer: [{ ...w, name: "" }] }))).toBe("bad-model");
    expect(codeOf(graph({ input: [{ name: "x" }, { name: "x" }] }))).toBe("bad-model");
    expect(codeOf(graph({ node: [{ opType: "" }] }))).toBe("bad-model");
    expect(
      codeOf(
        graph({
          node: [
            {
              opType: "Relu",
              attribute: [
                { name: "a", type: 1 },
                { name: "a", type: 1 },
              ],
            },
          ],
        }),
      ),
    ).toBe("bad-model");
    expect(codeOf(graph({ node: [{ opType: "Relu", attribute: [{ name: "a", type: 99 }] }] }))).toBe("bad-model");
    expect(codeOf(graph({ node: [{ opType: "Relu", attribute: [{ name: "a", type: 4 }] }] }))).toBe("bad-model");
    expect(codeOf(() => decodeModel(encodeMessage("ModelProto", { graph: {}, opsetImport: [{ version: 0n }] })))).toBe("bad-model");
    expect(
      codeOf(() =>
        decodeModel(encodeMessage("ModelProto", { graph: {}, opsetImport: [{ version: 9n }, { domain: "ai.onnx", version: 10n }] })),
      ),
    ).toBe("bad-model");
  });

  it("infers the type of an attribute from its value, as files of IR version 1 need", () => {
    const { graph: g } = decodeModel(
      encodeMessage("ModelProto", { graph: { node: [{ opType: "Relu", attribute: [{ name: "a", i: 0n }] }] } }),
    );
    expect(g.nodes[0]?.attributes.get("a")).toEqual({ kind: "int", name: "a", value: 0 });
  });

  it("keeps to its budget", () => {
    const bytes = encodeModel({ ...SMALL, nodes: [...SMALL.nodes, ...SMALL.nodes] });
    const withBudget = (budget: Parameters<typeof decodeModel>[1]): string => codeOf(() => decodeModel(bytes, budget));
    expect(withBudget({ budget: { nodes: 2, attributes: 4, tensorBytes: 16 } })).toBe("none");
    expect(withBudget({ budget: { nodes: 1 } })).toBe("budget");
    expect(withBudget({ budget: { attributes: 3 } })).toBe("budget");
    expect(withBudget({ budget: { tensorBytes: 15 } })).toBe("budget");
    expect(withBudget({ budget: { objects: 5 } })).toBe("budget");
    expect(withBudget({ budget: { typedElements: 1 } })).toBe("budget");
  });

  it("stops at graphs nested without end", () => {
    let inner: WireInit<"GraphProto"> = { name: "innermost" };
    for (let i = 0; i < 40; i++) inner = { node: [{ opType: "If", attribute: [{ name: "then_branch", type: 5, g: inner }] }] };
    expect(codeOf(graph(inner))).toBe("budget");
  });

  it("refuses strings that are not UTF-8", () => {
    const bytes = encodeModel({ ...SMALL, producer: "ABCD" });
    bytes[bytes.indexOf(65)] = 0xff;
    expect(codeOf(() => decodeModel(bytes))).toBe("bad-model");
  });

  it("ends every truncation in a coded error or a result", () => {
    const bytes = encodeModel(SMALL);
    const codes = new Set(Array.from(bytes, (_, n) => codeOf(() => decodeModel(bytes.subarray(0, n)))));
    expect([...codes].filter((c) => c !== "bad-model" && c !== "none")).toEqual([]);
    expect(codes.has("bad-model")).toBe(true);
  });

  it("ends every flipped bit and every spliced byte in a coded error or a result", () => {
    const bytes = encodeModel({
      ...SMALL,
      nodes: [
        ...SMALL.nodes,
        {
          op: "Constant",
          inputs: [],
          outputs: ["c"],
          attributes: { value: { tensor: { dtype: "i4", shape: [3], data: [1, 2, 3] } }, names: ["a", "b"] },
        },
      ],
      sparseInitializers: [{ name: "s", dtype: "f32", shape: [2, 2], values: Float32Array.of(1, 2), positions: [0, 3] }],
    });
    const readAll = (mutant: Uint8Array): void => {
      const { graph: g } = decodeModel(mutant, { budget: { tensorBytes: 2 ** 24 } });
      for (const t of [...g.initializers.values(), ...g.sparseInitializers.values()]) t.bytes();
    };
    const codes = new Map<string, number>();
    const count = (mutant: Uint8Array): void => {
      const code = codeOf(() => readAll(mutant));
      codes.set(code, (codes.get(code) ?? 0) + 1);
    };
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const mutant = bytes.slice();
        mutant[at]! ^= 1 << bit;
        count(mutant);
      }
      for (const value of [0, 0x7f, 0x80, 0xff]) {
        const mutant = new Uint8Array(bytes.length + 1);
        mutant.set(bytes.subarray(0, at));
        mutant[at] = value;
        mutant.set(bytes.subarray(at), at + 1);
        count(mutant);
      }
    }
    expect(
      [...codes.keys()].filter((c) => !["none", "bad-model", "too-large", "budget", "unsupported-dtype", "external-disabled"].includes(c)),
    ).toEqual([]);
    expect(codes.get("bad-model")).toBeGreaterThan(bytes.length);
  });

  it.each([
    ["a message longer than what holds it", [58, 4, 10, 6, 1, 1], "GraphProto.node is 6 bytes long, and 2 are left at byte 4"],
    ["a length past the end", [58, 9], "ModelProto.graph is 9 bytes long, and 0 are left"],
    ["a fixed-width number that is cut off", [58, 6, 10, 4, 42, 2, 21, 0], "AttributeProto is cut off"],
    ["a number where a message belongs", [56, 0], "ModelProto.graph has wire type 0, not 2"],
    ["a run of numbers that ends inside one", [58, 7, 10, 5, 42, 3, 66, 1, 128], "AttributeProto.ints is cut off"],
    ["a run of floats of odd length", [58, 7, 10, 5, 42, 3, 58, 1, 0], "AttributeProto.floats is not whole numbers"],
    ["a number without an end", [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "longer than ten bytes"],
    ["a group", [59], "ModelProto.graph has wire type 3"],
    ["an unknown group", [123], "ModelProto has a field of wire type 3"],
    ["field 0", [2, 0], "field of number 0"],
  ])("finds %s before reading it", (_what, bytes, message) => {
    expect(() => checkWire(Uint8Array.from(bytes), "ModelProto", "m", DEFAULT_BUDGET)).toThrow(message);
  });

  it("says so where there is no graph", () => {
    expect(() => decodeModel(encodeMessage("ModelProto", { irVersion: 8n }))).toThrow("it holds no graph");
  });

  it("gives plain arrays for a Buffer's bytes, whose slice would be a view", () => {
    const bytes = decodeModel(Buffer.from(encodeModel(SMALL)))
      .graph.initializers.get("w")!
      .bytes();
    expect(Buffer.isBuffer(bytes)).toBe(false);
  });

  it("agrees with the writer on numbers of any length, packed or one by one", () => {
    // floats = [1, 2] written unpacked: field 7, wire type 5, twice.
    const one = Uint8Array.of(7 * 8 + 5, ...bytesOf(Float32Array.of(1)), 7 * 8 + 5, ...bytesOf(Float32Array.of(2)));
    const name = Uint8Array.of(8 + 2, 1, 97, ((20 * 8) & 127) | 128, 1, 6);
    const attribute = Uint8Array.of(...name, ...one);
    const wrap = (field: number, body: Uint8Array): Uint8Array => Uint8Array.of(field * 8 + 2, body.length, ...body);
    const node = Uint8Array.of(...wrap(4, new TextEncoder().encode("Op")), ...wrap(5, attribute));
    const model = wrap(7, wrap(1, node));
    expect(decodeModel(model).graph.nodes[0]?.attributes.get("a")?.value).toEqual([1, 2]);
  });
});
