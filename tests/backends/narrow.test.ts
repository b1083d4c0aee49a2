// What becomes an integer of 8 bits wraps, whatever stores it and whatever it was: on every host as in the reference.

import { expect, test } from "vitest";
import { js, wasm } from "../../backends/index.ts";
import { compileGraph } from "../../compiler/index.ts";
import type { DType } from "../../ir/dtype.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { type Tensor, tensorOf } from "../../ir/tensor.ts";
import { weightStore } from "../../ir/weights.ts";
import { type Inputs, load } from "../../runtime/index.ts";

const SIZE = 64;
const samples = (dtype: DType): Tensor =>
  tensorOf(
    dtype,
    [SIZE],
    Array.from({ length: SIZE }, (_, i) => {
      const x = ((i * 37 + 11) % 700) - 300;
      return dtype === "u8" ? x & 255 : dtype === "i8" ? (x << 24) >> 24 : dtype === "f32" ? x + 0.4 : x;
    }),
  );

const CASES: readonly (readonly [op: string, from: DType, to: DType])[] = [
  ...(["f32", "i32", "i8", "u8"] as const).flatMap((from) => (["i8", "u8"] as const).map((to) => ["cast", from, to] as const)),
  ["bitcast", "i8", "u8"],
  ["bitcast", "u8", "i8"],
];

test.each(CASES)("%s of %s to %s", async (op, from, to) => {
  const b = new GraphBuilder(standardOps, weightStore());
  const x = b.param("x", from, [SIZE]);
  const y = b.value(op, [x], { to });
  // Read again, in the same kernel.
  const outputs: readonly Value[] = [y, b.value("add", [b.value("cast", [y], { to: "f32" }), b.constant(tensorOf("f32", [], [0.5]))])];
  const graph = { ops: standardOps, name: "narrow", params: [x], outputs, weights: b.weights };
  const expected = interpret(graph, [samples(from)]);
  const { artifact } = await compileGraph(graph, ["y", "z"], { backends: [wasm, js] });
  for (const device of ["wasm:baseline", "js"]) {
    const model = await load(artifact, { device });
    const actual = model.runSync({ x: samples(from) } as unknown as Inputs);
    expect(["y", "z"].map((name) => Array.from(actual[name]!.data as ArrayLike<number>))).toEqual(
      expected.map((t) => Array.from(t.data as ArrayLike<number>)),
    );
    model.dispose();
  }
});
