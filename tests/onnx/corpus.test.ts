// Decodes everything there is: every real model and every official ONNX test, with its inputs and outputs.

import { describe, expect, it } from "vitest";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import type { OnnxGraph, OnnxTensor } from "../../compiler/onnx/proto/model.ts";
import { DTYPES } from "../../ir/dtype.ts";
import { sharedModels } from "../support/models.ts";
import { type OnnxTest, onnxTests } from "../support/onnx-tests.ts";

const models = sharedModels();
const tests = onnxTests();

/** Every tensor of a graph, its nodes' attributes and subgraphs included. */
function tensorsOf(graph: OnnxGraph): readonly OnnxTensor[] {
  const inAttributes = graph.nodes.flatMap((n) =>
    [...n.attributes.values()].flatMap((a) => {
      if (a.kind === "tensor") return [a.value];
      if (a.kind === "tensors") return a.value;
      return a.kind === "graph" ? tensorsOf(a.value) : [];
    }),
  );
  return [...graph.initializers.values(), ...inAttributes];
}

const wellFormed = (t: OnnxTensor): boolean => t.dtype === undefined || t.bytes().length === t.elements * DTYPES[t.dtype].bytes;

describe.skipIf(!models)("shared models", () => {
  it.each(models ?? [])("$name decodes, and its inputs and outputs have recorded references", (m) => {
    const { graph, opsets } = decodeModel(m.model(), { file: m.name });
    expect(opsets.get("")).toBeGreaterThanOrEqual(7);
    expect(graph.nodes.length).toBeGreaterThan(3);
    expect(tensorsOf(graph).filter((t) => !wellFormed(t))).toEqual([]);
    const reference = m.reference();
    if (!reference) {
      expect(m.name).toBe("gcn-cora-sparseadj");
      const [adjacency] = graph.sparseInitializers.values();
      expect([adjacency?.dims, adjacency?.values.elements, adjacency?.bytes().length]).toEqual([[2708, 2708], 13264, 4 * 2708 * 2708]);
      return;
    }
    const fed = graph.inputs.filter((i) => !graph.initializers.has(i.name)).map((i) => i.name);
    expect(reference.inputs.map((t) => t.name).sort()).toEqual([...fed].sort());
    expect(reference.outputs.map((t) => t.name).sort()).toEqual(graph.outputs.map((o) => o.name).sort());
    for (const t of [...reference.inputs, ...reference.outputs]) expect(t.data.length).toBe(t.shape.reduce((a, d) => a * d, 1));
  });
});

describe.skipIf(!tests)("official ONNX tests", () => {
  const failuresOf = (all: readonly OnnxTest[]): readonly string[] =>
    all.flatMap((t) => {
      try {
        const { graph } = decodeModel(t.model());
        if (tensorsOf(graph).some((x) => !wellFormed(x))) return [`${t.name}: a tensor of the wrong length`];
        if (t.unsupported().length > 0) return [];
        const sets = t.data();
        return sets.length > 0 && sets.every((s) => s.outputs.length > 0) ? [] : [`${t.name}: no data`];
      } catch (e) {
        return [`${t.name}: ${String(e)}`];
      }
    });

  it("all decode, with their data", () => {
    expect(failuresOf(tests ?? [])).toEqual([]);
  });

  it("has the groups that its README states, and core tests need nothing special", () => {
    const count = (of: (t: OnnxTest) => boolean): number => (tests ?? []).filter(of).length;
    expect(count((t) => t.suite === "node")).toBe(1765);
    expect(count((t) => t.group === "core")).toBe(1062);
    expect(count((t) => t.group === "core" && t.opset !== undefined && t.opset <= 22)).toBe(828);
    expect(count((t) => t.group === "core_expanded")).toBe(346);
    expect(count((t) => t.suite === "light")).toBe(9);
    expect((tests ?? []).filter((t) => t.group !== "other" && t.unsupported().length > 0).map((t) => [t.name, t.unsupported()])).toEqual(
      [],
    );
  });
});
