// If and Loop: folded, unrolled, or run as regions; what they capture, and what they refuse.

import { describe, expect, it } from "vitest";
import type { GraphInit, NamedTensorInit, NodeInit, ValueInit } from "../../compiler/onnx/proto/encode.ts";
import { topological } from "../../ir/graph.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { typeToString } from "../../ir/types.ts";
import { errorOf, importModel, runImported } from "../support/run-model.ts";

const value = (name: string, dtype: ValueInit["dtype"], shape: readonly number[]): ValueInit => ({ name, dtype, shape });
const f32 = (name: string, ...shape: number[]): ValueInit => value(name, "f32", shape);
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
const constant = (name: string, dtype: NamedTensorInit["dtype"], shape: readonly number[], ...data: number[]): NamedTensorInit => ({
  name,
  dtype,
  shape,
  data,
});
const ops = (imported: ReturnType<typeof importModel>): readonly string[] => topological(imported.graph.outputs).map((n) => n.op);
const vector = (...data: number[]) => tensorOf("f32", [data.length], data);
const scalar = (dtype: "i64" | "bool" | "f32", x: number) => tensorOf(dtype, [], [dtype === "i64" ? BigInt(x) : x]);

describe("If", () => {
  const branch = (...nodes: NodeInit[]): GraphInit => ({ nodes, outputs: [f32(nodes.at(-1)!.outputs[0]!)] });
  const choose = (then: GraphInit, other: GraphInit): GraphInit => ({
    inputs: [value("c", "bool", []), f32("x", 2), f32("y", 2)],
    outputs: [f32("z")],
    initializers: [constant("k", "f32", [2], 100, 200)],
    nodes: [
      node("Add", ["x", "x"], ["double"]),
      node("If", ["c"], ["t"], { then_branch: { graph: then }, else_branch: { graph: other } }),
      node("Neg", ["t"], ["z"]),
    ],
  });
  const sum = branch(node("Add", ["double", "k"], ["s0"]), node("Add", ["s0", "y"], ["s"]));
  const difference = branch(node("Sub", ["y", "x"], ["d"]));
  const inputs = { x: vector(1, 2), y: vector(10, 20) };

  it("runs as regions, which capture what they use", () => {
    const imported = importModel(choose(sum, difference));
    expect(ops(imported)).toContain("if");
    expect(runImported(imported, { ...inputs, c: scalar("bool", 1) }).get("z")?.data).toEqual([-112, -224]);
    expect(runImported(imported, { ...inputs, c: scalar("bool", 0) }).get("z")?.data).toEqual([-9, -18]);
  });

  it("is folded where its condition is known, whatever the other branch is", () => {
    const unknown = branch(node("Nonsense", ["x"], ["n"]));
    const imported = importModel(choose(difference, unknown), { constants: { c: true } });
    expect(ops(imported)).not.toContain("if");
    expect(runImported(imported, inputs).get("z")?.data).toEqual([-9, -18]);
  });

  it("needs its condition where the branches differ in shape, with every other input that decides", () => {
    const wide: GraphInit = { nodes: [node("Concat", ["x", "y"], ["w"], { axis: { int: 0 } })], outputs: [f32("w")] };
    const model = choose(wide, difference);
    const more: GraphInit = {
      ...model,
      inputs: [...model.inputs!, value("shape", "i64", [1]), value("c2", "bool", [])],
      outputs: [f32("r"), f32("u")],
      nodes: [
        ...model.nodes,
        node("Reshape", ["z", "shape"], ["r"]),
        node("Not", ["c2"], ["n2"]),
        node("If", ["n2"], ["u"], { then_branch: { graph: branch(node("Neg", ["x"], ["v"])) }, else_branch: { graph: wide } }),
      ],
    };
    const e = errorOf(() => importModel(more));
    expect([e.code, e.inputs]).toEqual(["needs-constant", ["c", "shape", "c2"]]);
    const imported = importModel(more, { constants: { c: true, c2: 0, shape: BigInt64Array.of(4n) } });
    expect(imported.graph.outputs.map((o) => typeToString(o.type))).toEqual(["f32[4]", "f32[2]"]);
  });

  it("nests, and captures through regions", () => {
    const inner: GraphInit = {
      nodes: [
        node("If", ["c"], ["i"], {
          then_branch: { graph: branch(node("Mul", ["double", "k"], ["m"])) },
          else_branch: { graph: difference },
        }),
      ],
      outputs: [f32("i")],
    };
    const imported = importModel(choose(inner, difference));
    expect(runImported(imported, { ...inputs, c: scalar("bool", 1) }).get("z")?.data).toEqual([-200, -800]);
  });
});

describe("Loop", () => {
  /** Adds the step to the state in each iteration, stacks the states, and goes on as `goOn` says. */
  const body = (...goOn: NodeInit[]): GraphInit => ({
    inputs: [value("i", "i64", []), value("before", "bool", []), f32("a", 2)],
    outputs: [value("again", "bool", []), f32("b", 2), f32("row", 2)],
    nodes: [node("Add", ["a", "step"], ["b"]), node("Identity", ["b"], ["row"]), ...goOn],
  });
  const always = node("Identity", ["before"], ["again"]);
  const loop = (g: GraphInit, trips = "n", cond = ""): GraphInit => ({
    inputs: [value("n", "i64", []), f32("x", 2), f32("step", 2)],
    outputs: [f32("last"), f32("rows")],
    initializers: [
      constant("limit", "f32", [], 5),
      constant("yes", "bool", [], 1),
      constant("axes", "i64", [1], 0),
      constant("zero", "i64", [], 0),
    ],
    nodes: [node("Loop", [trips, cond, "x"], ["last", "rows"], { body: { graph: g } })],
  });
  const inputs = { x: vector(0, 10), step: vector(1, 2) };

  it("is unrolled where its trip count is short and known", () => {
    const imported = importModel(loop(body(always)), { constants: { n: 3 } });
    expect(ops(imported)).not.toContain("loop");
    const out = runImported(imported, inputs);
    expect(out.get("last")?.data).toEqual([3, 16]);
    expect(out.get("rows")).toEqual({ shape: [3, 2], data: [1, 12, 2, 14, 3, 16] });
  });

  it("gives nothing for no iterations", () => {
    const imported = importModel(loop(body(always)), { constants: { n: 0 } });
    expect(imported.graph.outputs.map((o) => typeToString(o.type))).toEqual(["f32[2]", "f32[0,2]"]);
    expect(runImported(imported, inputs).get("last")?.data).toEqual([0, 10]);
  });

  it("runs where its trip count is long, with static stacks", () => {
    const imported = importModel(loop(body(always)), { constants: { n: 1000 } });
    expect(ops(imported)).toContain("loop");
    expect(imported.graph.outputs.map((o) => typeToString(o.type))).toEqual(["f32[2]", "f32[1000,2]"]);
    expect(runImported(imported, inputs).get("last")?.data).toEqual([1000, 2010]);
  });

  const belowLimit = [node("Gather", ["b", "zero"], ["first"], { axis: { int: 0 } }), node("Less", ["first", "limit"], ["again"])];

  it("gives stacks of what it did where its condition hangs on data", () => {
    const imported = importModel(loop(body(...belowLimit), "n", "yes"), { constants: { n: 8 } });
    expect(ops(imported)).toContain("loop");
    const out = runImported(imported, { x: vector(3, 0), step: vector(1, 1) });
    expect(out.get("rows")).toEqual({ shape: [2, 2], data: [4, 1, 5, 2] });
    expect(out.get("last")?.data).toEqual([5, 2]);
  });

  it("needs its trip count where that is the extent of a stack, but not without one", () => {
    expect(errorOf(() => importModel(loop(body(always)))).inputs).toEqual(["n"]);
    const g = body(always);
    const plain = { ...loop({ ...g, outputs: g.outputs.slice(0, 2) }), outputs: [f32("last")] };
    const model = { ...plain, nodes: [{ ...plain.nodes[0]!, outputs: ["last"] }] };
    const imported = importModel(model);
    for (const n of [0, 1, 100])
      expect(runImported(imported, { ...inputs, n: scalar("i64", n) }).get("last")?.data).toEqual([n, 10 + 2 * n]);
  });

  it("runs without a trip count as long as its condition holds", () => {
    const g = body(...belowLimit);
    const plain = loop({ ...g, outputs: g.outputs.slice(0, 2) }, "", "yes");
    const model = { ...plain, outputs: [f32("last")], nodes: [{ ...plain.nodes[0]!, outputs: ["last"] }] };
    expect(runImported(importModel(model), { ...inputs, n: scalar("i64", 0) }).get("last")?.data).toEqual([5, 20]);
    expect(errorOf(() => importModel(loop(g, "", "yes"))).code).toBe("dynamic-shape");
  });

  it("can grow its state where it is unrolled, and only there", () => {
    const grow: GraphInit = {
      inputs: [value("i", "i64", []), value("before", "bool", []), { name: "a", dtype: "f32" }],
      outputs: [value("again", "bool", []), { name: "b", dtype: "f32" }],
      nodes: [node("Concat", ["a", "step"], ["b"], { axis: { int: 0 } }), always],
    };
    const model = { ...loop(grow), outputs: [f32("last")], nodes: [node("Loop", ["n", "", "x"], ["last"], { body: { graph: grow } })] };
    expect(runImported(importModel(model, { constants: { n: 2 } }), inputs).get("last")?.data).toEqual([0, 10, 1, 2, 1, 2]);
    expect(errorOf(() => importModel(model, { constants: { n: 500 } })).message).toContain("enters as f32[2] and leaves as f32[4]");
  });
});
