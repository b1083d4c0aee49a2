// Graphs: nodes are interned, frozen and well typed, and wrong ones are refused with what was found and expected.

import { describe, expect, test } from "vitest";
import type { Loc } from "../../ir/diagnostics.ts";
import { GraphBuilder, topological, useCounts, type Value } from "../../ir/graph.ts";
import { defineOp, opSet } from "../../ir/op.ts";
import { coreOps } from "../../ir/ops/core.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { broadcast, type Dim, sameType, tensor, typeToString } from "../../ir/types.ts";
import { weightStore } from "../../ir/weights.ts";

const builder = () => new GraphBuilder(standardOps, weightStore());
const at = (name: string): Loc => ({ file: "m.onnx", name });

describe("interning", () => {
  test("the same operator on the same operands is one node, with all its places", () => {
    const b = builder();
    const x = b.param("x", "f32", [2]);
    const first = b.value("elu", [x], { alpha: 1 }, at("A"));
    const second = b.value("elu", [x], { alpha: 1 }, at("B"));
    expect(second).toBe(first);
    expect(first.node.locs.map((l) => l.name)).toEqual(["A", "B"]);
    b.value("elu", [x], { alpha: 1 }, at("A"));
    expect(first.node.locs).toHaveLength(2);
  });

  test("attributes are told apart exactly, in whatever order they are given", () => {
    const b = builder();
    const x = b.param("x", "f32", [2]);
    const elu = (alpha: number) => b.value("elu", [x], { alpha });
    const nodes = [0, -0, 1, Number.NaN, Number.POSITIVE_INFINITY].map(elu);
    expect(new Set(nodes).size).toBe(5);
    expect(elu(Number.NaN)).toBe(nodes[3]);
    expect(b.value("shrink", [x], { bias: 0, lambda: 1 })).toBe(b.value("shrink", [x], { lambda: 1, bias: 0 }));
    expect(b.value("gelu", [x], { approximate: "none" })).not.toBe(b.value("gelu", [x], { approximate: "tanh" }));
  });

  test("regions are compared by what they compute", () => {
    const b = builder();
    const x = b.param("x", "f32", [2]);
    const region = (op: string) => {
      const inner = new GraphBuilder(standardOps, b.weights);
      const p = inner.param("p", "f32", [2]);
      return { ops: standardOps, name: "body", params: [p], outputs: [inner.value(op, [p])], weights: b.weights };
    };
    expect(b.value("fused", [x], { body: region("relu") })).toBe(b.value("fused", [x], { body: region("relu") }));
    expect(b.value("fused", [x], { body: region("relu") })).not.toBe(b.value("fused", [x], { body: region("abs") }));
  });

  test("operators with an effect are never one", () => {
    const random = defineOp({
      name: "random",
      doc: "Differs each time.",
      operands: [],
      core: true,
      effect: true,
      infer: () => tensor("f32", []),
    });
    const b = new GraphBuilder(opSet(coreOps, [random]), weightStore());
    expect(b.add("random", [])).not.toBe(b.add("random", []));
  });

  test("nodes, values and types are frozen", () => {
    const b = builder();
    const v = b.value("relu", [b.param("x", "f32", [2])]);
    for (const o of [v, v.node, v.node.inputs, v.node.attrs, v.node.results, v.type]) expect(Object.isFrozen(o)).toBe(true);
  });
});

describe("what is refused", () => {
  const x = (b: GraphBuilder, shape: readonly number[] = [2, 3], dtype = "f32") => b.param(`x${shape}${dtype}`, dtype as "f32", shape);
  test.each<[string, (b: GraphBuilder) => unknown, RegExp]>([
    [
      "an unknown operator",
      (b) => b.add("softplusminus", [], {}, at("N")),
      /^m\.onnx \(N\): no operator named 'softplusminus' in this op set \[unknown-op\]\n {2}hint: pass it through `ops`$/,
    ],
    [
      "too few operands",
      (b) => b.add("add", [x(b)], {}, at("N")),
      /^m\.onnx \(N\): add: expects operands \(a, b\), got 1 \[bad-operands\]$/,
    ],
    ["shapes that do not broadcast", (b) => b.add("add", [x(b), x(b, [2])]), /add: shapes do not broadcast: f32\[2,3\] and f32\[2\]/],
    ["element types that differ", (b) => b.add("add", [x(b), x(b, [3], "i32")]), /one element type, got f32\[2,3\] and i32\[3\]/],
    ["inner extents that differ", (b) => b.add("matmul", [x(b), x(b)]), /matmul: the inner extents differ: f32\[2,3\] and f32\[2,3\]/],
    ["an axis that is not there", (b) => b.add("softmax", [x(b)], { axis: 2 }), /softmax: attribute 'axis' is 2, and there are 2 axes/],
    ["a permutation that is none", (b) => b.add("transpose", [x(b)], { perm: [0, 0] }), /\[0,0\] is no permutation of 2 axes/],
    [
      "more elements than addresses",
      (b) => b.add("expand", [x(b, [1, 1])], { shape: [65536, 65536] }),
      /\[65536, 65536\] exceeds 2\^31 elements \[too-large\]/,
    ],
    ["an extent of zero that hides an overflow", (b) => b.param("z", "f32", [0, 2 ** 32, 2 ** 32]), /\[too-large\]/],
    ["too many axes", (b) => b.param("z", "f32", Array(17).fill(1)), /a result of rank 17; at most 16 axes are allowed/],
  ])("%s", (_, make, message) => {
    expect(() => make(builder())).toThrow(message);
  });

  test("an operator defined twice", () => {
    expect(() => opSet(coreOps, coreOps)).toThrow("operator 'param' is defined twice");
  });
});

describe("order and uses", () => {
  test("operands before users, deep graphs too, dead nodes left out", () => {
    const b = builder();
    const x = b.param("x", "f32", [1]);
    let v = x;
    for (let i = 0; i < 20_000; i++) v = b.value(i % 2 === 0 ? "neg" : "exp", [v]);
    b.value("relu", [x]);
    const order = topological([v]);
    expect(order).toHaveLength(20_001);
    expect(order[0]).toBe(x.node);
    expect(order.at(-1)).toBe(v.node);
  });

  test("uses count nodes and outputs", () => {
    const b = builder();
    const x = b.param("x", "f32", [1]);
    const y = b.value("mul", [x, x]);
    const uses = useCounts([y, y, b.value("add", [y, x])]);
    expect(uses.get(x)).toBe(3);
    expect(uses.get(y)).toBe(3);
  });

  test("a value that an extent hangs on is needed", () => {
    const b = builder();
    const n = b.param("n", "i64", []);
    const v = b.value("relu", [b.value("bound", [b.param("x", "f32", [4]), n], { axis: 0 })]);
    expect(topological([v]).map((m) => m.op)).toEqual(["param", "param", "bound", "relu"]);
    expect(useCounts([v]).get(n)).toBe(3);
  });
});

describe("broadcasting", () => {
  const b = builder();
  const n: Dim = { max: 5, value: b.param("n", "i64", []) };
  const m: Dim = { max: 5, value: b.param("m", "i64", []) };
  test.each<[readonly Dim[], readonly Dim[], readonly Dim[] | undefined]>([
    [[2, 3], [3], [2, 3]],
    [
      [2, 1],
      [1, 4],
      [2, 4],
    ],
    [[], [2], [2]],
    [[2], [3], undefined],
    [[0], [1], [0]],
    [[0], [2], undefined],
    [
      [n, 3],
      [1, 3],
      [n, 3],
    ],
    [[n], [n], [n]],
    [[n], [m], undefined],
    [[n], [5], undefined],
  ])("%o and %o", (p, q, expected) => {
    expect(broadcast(p, q)).toEqual(expected);
    expect(broadcast(q, p)).toEqual(expected);
  });

  test("types compare by element type and shape; layouts may differ", () => {
    expect(sameType(tensor("f32", [2]), { ...tensor("f32", [2]), layout: "csr" })).toBe(true);
    expect(sameType(tensor("f32", [2]), tensor("f16", [2]))).toBe(false);
    expect(sameType(tensor("f32", [n]), tensor("f32", [m]))).toBe(false);
    expect(typeToString(tensor("f32", [1, n]), () => "%n")).toBe("f32[1,%n<=5]");
  });
});

describe("weights", () => {
  test("are stored by content", () => {
    const store = weightStore();
    const ref = store.put(tensorOf("f32", [2], [1, 2]));
    expect(store.put(tensorOf("f32", [2], [1, 2]))).toBe(ref);
    expect(store.put(tensorOf("f32", [1, 2], [1, 2]))).not.toBe(ref);
    expect(store.put(tensorOf("i32", [2], [1, 2]))).not.toBe(ref);
    expect(store.put(tensorOf("f32", [2], [1, 3]))).not.toBe(ref);
    expect(store.put(tensorOf("f32", [1], [-0]))).not.toBe(store.put(tensorOf("f32", [1], [0])));
    expect(store.get(ref).data).toEqual(new Float32Array([1, 2]));
  });

  test("have the same reference in every store", () => {
    const t = () => tensorOf("u8", [7], [1, 2, 3, 4, 5, 6, 7]);
    expect(weightStore().put(t())).toBe(weightStore().put(t()));
  });

  test("an unknown reference is an error", () => {
    expect(() => weightStore().get("f32_2_x")).toThrow("no weight 'f32_2_x' in this store");
  });

  test("equal constants are one node", () => {
    const b = builder();
    const c = (): Value => b.constant(tensorOf("f32", [2], [1, 2]));
    expect(c()).toBe(c());
    expect(b.constantOf(c())!.data).toEqual(new Float32Array([1, 2]));
    expect(b.constantOf(b.param("x", "f32", [2]))).toBeUndefined();
  });
});
