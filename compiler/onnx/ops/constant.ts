// ONNX operators that make tensors from nothing: Constant, ConstantOfShape, Range.

import type { DType } from "../../../ir/dtype.ts";
import { tensorOf } from "../../../ir/tensor.ts";
import { defineOnnxOp, type OnnxOp } from "../op.ts";

const constant = defineOnnxOp({
  name: "Constant",
  import(c) {
    const dense = c.tensor("value") ?? c.tensor("sparse_value");
    if (dense) return c.constant(dense);
    if (c.attribute("value_float")) return c.scalar("f32", c.float("value_float"));
    if (c.attribute("value_floats")) return c.constant(tensorOf("f32", [c.floats("value_floats").length], c.floats("value_floats")));
    for (const name of ["value_int", "value_ints"]) {
      const a = c.attribute(name);
      if (a?.kind === "int") return c.scalar("i64", BigInt(a.value));
      if (a?.kind === "ints") return c.constant(tensorOf("i64", [a.value.length], a.value.map(BigInt)));
    }
    if (c.attribute("value_string") || c.attribute("value_strings")) return c.unsupported("strings are not supported");
    return c.bad("it gives no value");
  },
});

const constantOfShape = defineOnnxOp({
  name: "ConstantOfShape",
  shapeOperands: [0],
  import(c) {
    const shape = c.numbers(0);
    if (shape.some((d) => d < 0)) c.bad(`shape [${shape}]`);
    const value = c.tensor("value") ?? tensorOf("f32", [1], [0]);
    if (value.data.length !== 1) c.bad(`attribute 'value' has ${value.data.length} elements, expected 1`);
    return c.add("expand", [c.constant({ ...value, shape: [] })], { shape });
  },
});

const RANGES: ReadonlySet<DType> = new Set(["f32", "f64", "i16", "i32", "i64", "f16"]);

const range = defineOnnxOp({
  name: "Range",
  shapeOperands: [0, 1, 2],
  import(c) {
    const [start, limit, delta] = [0, 1, 2].map((k) => c.numbers(k)[0] ?? c.bad(`operand ${k} is empty`)) as [number, number, number];
    const { dtype } = c.input(0).type;
    if (!RANGES.has(dtype)) c.unsupported(`ranges of ${dtype}`);
    if (delta === 0 || !Number.isFinite((limit - start) / delta)) c.bad(`from ${start} to ${limit} in steps of ${delta}`);
    const count = Math.max(0, Math.ceil((limit - start) / delta));
    const scalar = (k: number) => (c.input(k).type.shape.length === 0 ? c.input(k) : c.add("reshape", [c.input(k)], { shape: [] }));
    return c.add("range", [scalar(0), scalar(2)], { count });
  },
});

export const constantTable: readonly OnnxOp[] = [constant, constantOfShape, range];
