// Writing at positions that are data: scatter in its two forms, as kernels that copy and then write in order.

import {
  add,
  and,
  assert,
  binary,
  cast,
  compare,
  constant,
  div,
  for_,
  i32,
  let_,
  mul,
  rem,
  select,
  set,
  variable,
  wrap,
} from "../kernel/build.ts";
import { type Elements, tensorElements } from "../kernel/elements.ts";
import type { Expr, Stmt } from "../kernel/types.ts";
import { defineOp, type InferContext, type KernelContext, type KernelMeaning } from "../op.ts";
import type { BinaryOp } from "../scalar/types.ts";
import { elementCount, stridesOf } from "../tensor.ts";
import { sameShape, type TensorType, typeToString } from "../types.ts";
import { axisAttr, LOGICAL, NUMBER, operandOf, sharedDType, stringAttr } from "./rules.ts";
import { extentsOf, staticShape } from "./static-shape.ts";

const REDUCTIONS = ["none", "add", "mul", "min", "max", "and", "or"] as const;
const COMBINE = new Map<string, BinaryOp>([
  ["add", "add"],
  ["mul", "mul"],
  ["min", "min"],
  ["max", "max"],
  ["and", "and"],
  ["or", "or"],
]);

function check(c: InferContext): {
  readonly x: readonly number[];
  readonly indices: readonly number[];
  readonly updates: readonly number[];
  readonly type: TensorType;
} {
  const reduction = stringAttr(c, "reduction", REDUCTIONS);
  if (reduction !== "none") operandOf(c, 0, reduction === "and" || reduction === "or" ? LOGICAL : NUMBER);
  const at = c.types[1]!;
  if (at.dtype !== "i32" && at.dtype !== "i64") c.fail(`the indices must be i32 or i64, got ${typeToString(at)}`);
  const dtype = sharedDType(c, [0, 2]);
  const x = staticShape(c, 0);
  return { x, indices: staticShape(c, 1), updates: staticShape(c, 2), type: { dtype, shape: x } };
}

interface Parts {
  readonly x: Elements;
  readonly indices: Elements;
  readonly updates: Elements;
  readonly out: Elements;
}

const v = (name: string): Expr => variable(name);

/** Declares the i32 `name`: index `at`, counted from the end when negative, held to lie below `extent`. */
function position(name: string, index: Expr, extent: number): readonly Stmt[] {
  const wide = index.type as "i32" | "i64";
  const raw = variable(`${name}_raw`, wide);
  const n = constant(wide, extent);
  const zero = constant(wide, 0);
  return [
    let_(`${name}_raw`, index),
    set(`${name}_raw`, select(compare("lt", raw, zero), add(raw, n), raw)),
    assert(and(compare("ge", raw, zero), compare("lt", raw, n)), 0),
    let_(name, cast("i32", raw)),
  ];
}

/** out[at] = out[at] combined with `value`, brought back to the element type. */
function write(c: KernelContext, out: Elements, at: Expr, value: Expr): Stmt {
  const op = COMBINE.get(c.attrs["reduction"] as string);
  const result = op ? binary(op, out.at(at), value) : value;
  const { dtype } = c.results[0]!;
  return out.set(at, dtype === "i4" || dtype === "u4" ? wrap(dtype, result) : result);
}

function meaning(c: KernelContext, name: string, body: (parts: Parts) => readonly Stmt[]): KernelMeaning {
  const parts: Parts = {
    x: tensorElements("x", c.types[0]!, "read"),
    indices: tensorElements("indices", c.types[1]!, "read"),
    updates: tensorElements("updates", c.types[2]!, "read"),
    out: tensorElements("out", c.results[0]!, "readwrite"),
  };
  const copy = for_("e", i32(0), i32(elementCount(extentsOf(c.results[0]!))), [parts.out.set(v("e"), parts.x.at(v("e")))]);
  const { x, indices, updates, out } = parts;
  return {
    functions: [{ name, params: [x.param, indices.param, updates.param, out.param], body: [copy, ...body(parts)] }],
    entry: name,
    scratch: 0,
    faults: ["an index is outside the tensor that it writes to"],
  };
}

export const scatterElements = defineOp({
  name: "scatter_elements",
  doc:
    "x, with each element of `updates` written at its own coordinates but for `axis`, where `indices` says (i32 or i64, negative ones from " +
    "the end), in row-major order; `reduction` says how it meets what is there (none replaces). Outside: a fault.",
  operands: ["x", "indices", "updates"],
  infer(c) {
    const { x, indices, updates, type } = check(c);
    const axis = axisAttr(c, x.length);
    const fits = indices.length === x.length && sameShape(indices, updates) && indices.every((d, i) => i === axis || d <= x[i]!);
    if (!fits) c.fail(`indices [${indices}] and updates [${updates}] do not fit into ${typeToString(type)} along axis ${axis}`);
    return type;
  },
  kernel(c) {
    const axis = c.attrs["axis"] as number;
    const [x, indices] = [extentsOf(c.types[0]!), extentsOf(c.types[1]!)];
    const [strides, steps] = [stridesOf(x), stridesOf(indices)];
    const coordinate = (k: number): Expr => rem(div(v("u"), i32(Math.max(1, steps[k]!))), i32(Math.max(1, indices[k]!)));
    return meaning(c, "scatter_elements", ({ indices: positions, updates, out }) => [
      for_("u", i32(0), i32(elementCount(indices)), [
        ...position("p", positions.at(v("u")), x[axis]!),
        let_(
          "at",
          x.reduce((sum: Expr, _, k) => add(sum, mul(k === axis ? v("p") : coordinate(k), i32(strides[k]!))), i32(0)),
        ),
        write(c, out, v("at"), updates.at(v("u"))),
      ]),
    ]);
  },
});

export const scatterNd = defineOp({
  name: "scatter_nd",
  doc:
    "x, with each slice of `updates` written at the coordinates that the last axis of `indices` holds (i32 or i64, negative ones from the end), " +
    "in row-major order; `reduction` says how it meets what is there (none replaces). Outside: a fault.",
  operands: ["x", "indices", "updates"],
  infer(c) {
    const { x, indices, updates, type } = check(c);
    const depth = indices.at(-1) ?? c.fail("the indices must have an axis of coordinates");
    const expected = [...indices.slice(0, -1), ...x.slice(depth)];
    if (depth > x.length || !sameShape(updates, expected))
      c.fail(`indices [${indices}] into ${typeToString(type)} need updates [${expected}], got [${updates}]`);
    return type;
  },
  kernel(c) {
    const [x, indices] = [extentsOf(c.types[0]!), extentsOf(c.types[1]!)];
    const depth = indices.at(-1)!;
    const strides = stridesOf(x);
    const inner = elementCount(x.slice(depth));
    return meaning(c, "scatter_nd", ({ indices: positions, updates, out }) => [
      for_("u", i32(0), i32(elementCount(indices.slice(0, -1))), [
        let_("base", i32(0)),
        ...Array.from({ length: depth }, (_, k) => [
          ...position(`p${k}`, positions.at(add(mul(v("u"), i32(depth)), i32(k))), x[k]!),
          set("base", add(v("base"), mul(v(`p${k}`), i32(strides[k]!)))),
        ]).flat(),
        for_("j", i32(0), i32(inner), [write(c, out, add(v("base"), v("j")), updates.at(add(mul(v("u"), i32(inner)), v("j"))))]),
      ]),
    ]);
  },
});

export const scatterOps = [scatterElements, scatterNd] as const;
