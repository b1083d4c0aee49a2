// Elements on a device: four to a thread, words of narrow ones, or one by one, against the reference.

import { describe, expect, test } from "vitest";
import { webgpu } from "../../backends/webgpu/index.ts";
import { joinStores } from "../../compiler/kernel/join-stores.ts";
import { legalize } from "../../compiler/kernel/legalize.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import type { Lowered } from "../../compiler/lower/template.ts";
import { passContext } from "../../compiler/pass.ts";
import { expand } from "../../compiler/passes/expand.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import type { DType } from "../../ir/dtype.ts";
import { type Graph, GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import type { MemoryType } from "../../ir/kernel/types.ts";
import { visitStatements } from "../../ir/kernel/walk.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import type { Sketch } from "../conformance/sketch.ts";
import { runLowered } from "../support/run-lowered.ts";
import { checkDevice, deviceCase, testOnDriver } from "./device-cases.ts";

const { can } = webgpu.variants.at(-1)!;

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noise = (shape: readonly number[], seed: number, dtype: DType): Tensor => {
  const at = (i: number): number => Math.sin(seed + 12.9898 * (i + 1)) * 2.5;
  const whole = (x: number): number =>
    dtype === "bool" ? Number(x > 0) : dtype.startsWith("u") ? Math.abs(Math.round(9 * x)) : Math.round(9 * x);
  const values = Array.from({ length: count(shape) }, (_, i) => (dtype === "f32" || dtype === "f16" ? at(i) : whole(at(i))));
  return tensorOf(dtype, shape, values);
};

type Make = (b: GraphBuilder, ...xs: Value[]) => Value;

function fused(params: readonly (readonly [DType, readonly number[]])[], make: Make): Graph {
  const b = new GraphBuilder(standardOps, weightStore());
  const xs = params.map(([dtype, shape], k) => b.param(`x${k}`, dtype, shape));
  const graph = { ops: b.ops, name: "net", params: xs, outputs: [make(b, ...xs)], weights: b.weights };
  return fuse.run(expand.run(graph, passContext()), passContext());
}

const kernelsOf = (g: Graph): Lowered[] => lowerGraph(g, can).steps.flatMap((s) => (s.kind === "kernel" ? [s.lowered] : []));
const how = (g: Graph): string[] => kernelsOf(g).map((k) => k.why);

function check(g: Graph): void {
  const xs = g.params.map((p, k) => noise(p.type.shape as readonly number[], k + 3, p.type.dtype));
  const want = interpret(g, xs)[0]!.data;
  const got = runLowered(g, xs, can)[0]!.data;
  expect(got.length).toBe(want.length);
  got.forEach((v, i) => expect(Math.abs(Number(v) - Number(want[i])), `element ${i}`).toBeLessThan(1e-5));
}

const four = ["a thread for four elements"];
const one = ["a thread for each element"];
const sum: Make = (b, x, y) => b.value("relu", [b.value("add", [x!, y!])]);

describe("sums", () => {
  test.each<readonly [readonly number[], readonly number[], readonly string[]]>([
    [[3, 8], [3, 8], four],
    [[3, 5, 7], [3, 5, 7], four],
    [[13], [13], four],
    [[3, 8], [], four],
    [[3, 5], [1, 1], four],
    [[3, 8], [8], four],
    [[2, 3, 4, 6], [3, 1, 1], four],
    [[2, 3, 4, 6], [4, 6], four],
    [[2, 3, 5, 7], [3, 1, 1], one],
    [[2, 3, 8, 1], [8, 1], four],
    [[5, 6], [6], one],
    [[6, 4], [6, 1], four],
    [[3], [3], one],
    [[1, 4], [2, 1], four],
  ])("%j + %j", (x, y, why) => {
    for (const dtype of ["f32", "i32"] as const) {
      const g = fused(
        [
          [dtype, x],
          [dtype, y],
        ],
        dtype === "f32" ? sum : (b, p, q) => b.value("add", [p!, q!]),
      );
      check(g);
      expect(how(g)).toEqual(why);
    }
  });
});

test("what cannot be computed four at once is computed one by one", () => {
  const g = fused([["f32", [3, 8]]], (b, x) => b.value("asin", [b.value("mul", [x!, b.constant(tensorOf("f32", [], [0.3]))])]));
  check(g);
  expect(how(g)).toEqual(one);
  const transposed = fused(
    [
      ["f32", [4, 8]],
      ["f32", [8, 4]],
    ],
    (b, x, y) => sum(b, x!, b.value("transpose", [y!], { perm: [1, 0] })),
  );
  check(transposed);
  expect(how(transposed)).toEqual(one);
});

test("slices of a concatenation: whole vectors in each, or one by one", () => {
  const concat = (width: number): Graph =>
    fused(
      [
        ["f32", [2, width]],
        ["f32", [2, width]],
      ],
      (b, x, y) => {
        const parts = [sum(b, x!, y!), b.value("mul", [x!, y!])];
        return b.value("concat", parts, { axis: 1 });
      },
    );
  for (const width of [8, 6, 5]) check(concat(width));
  expect(how(concat(8))).toEqual([...four, ...four]);
  expect(how(concat(6))).toEqual([...one, ...one]);
});

describe("narrow results", () => {
  const cases: readonly (readonly [DType, MemoryType])[] = [
    ["bool", "bool"],
    ["u8", "u8"],
    ["i8", "i8"],
    ["u16", "u16"],
    ["i16", "i16"],
    ["f16", "f16"],
  ];
  test.each(cases)("%s is stored by words", (dtype) => {
    for (const shape of [[8], [3, 5], [2, 3, 6], [1], [9, 1]]) {
      const g = fused([["f32", shape]], (b, x) =>
        dtype === "bool"
          ? b.value("lt", [x!, b.constant(tensorOf("f32", [], [0.5]))])
          : b.value("cast", [b.value("abs", [x!])], { to: dtype }),
      );
      check(g);
      const [kernel] = kernelsOf(g);
      expect(kernel!.why).toMatch(/^a thread for [24] elements$/);
      const stored = new Set<string>();
      const legal = legalize({ functions: kernel!.functions, entry: kernel!.entry, faults: [] }, can);
      for (const f of legal.functions) visitStatements(f.body, (s) => void (s.kind === "store" && stored.add(s.memory)));
      expect([...stored]).toEqual(["u32"]);
    }
  });
  test("rows are broadcast, lines gathered", () => {
    check(
      fused(
        [
          ["i8", [5, 3]],
          ["i8", [3]],
        ],
        (b, x, y) => b.value("min", [x!, y!]),
      ),
    );
    check(
      fused(
        [
          ["u8", [5, 3]],
          ["i64", [7]],
        ],
        (b, x, y) => b.value("gather", [x!, b.value("rem", [b.value("abs", [y!]), b.constant(tensorOf("i64", [], [5n]))])], { axis: 0 }),
      ),
    );
  });
  test("a slice of a concatenation is stored piece by piece", () => {
    const g = fused(
      [
        ["u8", [2, 3]],
        ["u8", [2, 3]],
      ],
      (b, x, y) => b.value("concat", [b.value("min", [x!, y!]), b.value("max", [x!, y!])], { axis: 1 }),
    );
    check(g);
    expect(how(g)).toEqual([...one, ...one]);
  });
});

test("stores are joined on devices alone", () => {
  const [kernel] = kernelsOf(
    fused(
      [
        ["u8", [8]],
        ["u8", [8]],
      ],
      (b, x, y) => b.value("min", [x!, y!]),
    ),
  );
  const program = { functions: kernel!.functions, entry: kernel!.entry, faults: [] };
  const { device: _, ...host } = can;
  expect(joinStores.run(program, host)).toBe(program);
});

const NARROW: readonly DType[] = ["bool", "u8", "i8", "u16", "i16", "f16"];
const onDevice: readonly ((s: Sketch) => Value)[] = [
  ...[[3, 8], [3, 5, 7], [13]].map((shape) => (s: Sketch) => s.op("add", [s.input("f32", shape), s.input("f32", shape)])),
  (s) => s.op("mul", [s.input("i32", [2, 3, 4, 6]), s.input("i32", [3, 1, 1])]),
  (s) => s.op("concat", [s.op("relu", [s.input("f32", [2, 8])]), s.op("abs", [s.input("f32", [2, 8])])], { axis: 1 }),
  ...NARROW.flatMap((to) => [[8], [3, 5]].map((shape) => (s: Sketch) => s.op("cast", [s.op("abs", [s.input("f32", shape)])], { to }))),
];
test.each(onDevice.map((build, k) => [k, build] as const))("WGSL of sample %i", (_, build) => checkDevice(deviceCase(build), []));
testOnDriver(onDevice);
