// Runs a tensor-level scalar over all elements of a result: expressions become closures over an array of coordinates.

import { errors } from "../diagnostics.ts";
import { DTYPES } from "../dtype.ts";
import { stridesOf, type Tensor } from "../tensor.ts";
import { binary, bitcast, cast, compare, normalize, type ScalarValue, unary, wrap } from "./evaluate.ts";
import { fromF16, toF16 } from "./f16.ts";
import type { ReduceOp, Scalar } from "./scalar.ts";
import type { ScalarType } from "./types.ts";

type Thunk = () => ScalarValue;

interface Scope {
  readonly slots: Map<string, number>;
  readonly env: number[];
  readonly operands: readonly Tensor[];
}

function slot(scope: Scope, name: string): number {
  let s = scope.slots.get(name);
  if (s === undefined) {
    scope.slots.set(name, (s = scope.slots.size));
    scope.env.push(0);
  }
  return s;
}

function compileRead(operand: number, at: readonly Scalar[], scope: Scope): Thunk {
  const t = scope.operands[operand]!;
  const { data, shape } = t;
  const strides = stridesOf(shape);
  const coords = at.map((c) => compile(c, scope) as () => number);
  const half = t.dtype === "f16";
  const truth = t.dtype === "bool";
  return () => {
    let offset = 0;
    for (let axis = 0; axis < coords.length; axis++) {
      const c = coords[axis]!();
      if (c < 0 || c >= shape[axis]!) throw errors.fault(`index ${c} is outside axis ${axis} of extent ${shape[axis]}`);
      offset += c * strides[axis]!;
    }
    const x = data[offset]!;
    return half ? fromF16(x as number) : truth ? (x ? 1 : 0) : x;
  };
}

const EMPTY: Readonly<Record<"sum" | "prod" | "and" | "or", number>> = { sum: 0, prod: 1, and: 1, or: 0 };

function identity(op: "sum" | "prod" | "and" | "or" | "min" | "max", type: ScalarType): ScalarValue {
  const big = type === "i64" || type === "u64";
  if (op !== "min" && op !== "max") return big ? BigInt(EMPTY[op]) : EMPTY[op];
  if (type === "f32" || type === "f64") return op === "min" ? Infinity : -Infinity;
  if (type === "bool") return op === "min" ? 1 : 0;
  const range = DTYPES[type];
  const extreme = op === "min" ? range.max! : range.min!;
  return big ? extreme : Number(extreme);
}

const COMBINE = { sum: "add", prod: "mul", and: "and", or: "or", min: "min", max: "max" } as const;

/** Runs `visit` for every point of the reduction's space. */
function sweep(over: readonly { readonly at: number; readonly extent: () => number }[], env: number[], visit: () => void, depth = 0): void {
  if (depth === over.length) return visit();
  const { at, extent } = over[depth]!;
  const n = extent();
  for (let i = 0; i < n; i++) {
    env[at] = i;
    sweep(over, env, visit, depth + 1);
  }
}

function compileReduce(s: Scalar & { kind: "reduce" }, scope: Scope): Thunk {
  const over = s.over.map((axis) => ({ extent: compile(axis.extent, scope) as () => number, at: slot(scope, axis.name) }));
  const body = compile(s.body, scope);
  const { env } = scope;
  if (s.op.startsWith("arg")) return argReduce(s.op, over, env, body);
  const op = s.op as keyof typeof COMBINE;
  const float = s.type === "f32" || s.type === "f64";
  if (float && (op === "sum" || op === "prod")) {
    return () => {
      let acc = op === "sum" ? 0 : 1;
      sweep(over, env, op === "sum" ? () => (acc += body() as number) : () => (acc *= body() as number));
      return normalize(s.type, acc);
    };
  }
  const start = identity(op, s.type);
  return () => {
    let acc = start;
    sweep(over, env, () => (acc = binary(COMBINE[op], s.type, acc, body())));
    return acc;
  };
}

function argReduce(
  op: ReduceOp,
  over: readonly { readonly at: number; readonly extent: () => number }[],
  env: number[],
  body: Thunk,
): Thunk {
  const least = op.startsWith("argmin");
  const last = op.endsWith("_last");
  return () => {
    let best: ScalarValue | undefined;
    let at = 0;
    let position = 0;
    sweep(over, env, () => {
      const x = body();
      if (best === undefined || (least ? x < best : x > best) || (last && x === best)) {
        best = x;
        at = position;
      }
      position++;
    });
    return at;
  };
}

function compile(s: Scalar, scope: Scope): Thunk {
  switch (s.kind) {
    case "const": {
      const { value } = s;
      return () => value;
    }
    case "index": {
      const at = slot(scope, s.name);
      const { env } = scope;
      return () => env[at]!;
    }
    case "extent": {
      const n = scope.operands[s.operand]!.shape[s.axis]!;
      return () => n;
    }
    case "read":
      return compileRead(s.operand, s.at, scope);
    case "reduce":
      return compileReduce(s, scope);
    case "unary": {
      const a = compile(s.a, scope);
      return () => unary(s.op, s.type, a());
    }
    case "binary": {
      const [a, b] = [compile(s.a, scope), compile(s.b, scope)];
      return () => binary(s.op, s.type, a(), b());
    }
    case "compare": {
      const [a, b] = [compile(s.a, scope), compile(s.b, scope)];
      return () => compare(s.op, a(), b());
    }
    case "select": {
      const [cond, a, b] = [compile(s.cond, scope), compile(s.a, scope), compile(s.b, scope)];
      return () => (cond() ? a() : b());
    }
    case "cast": {
      const a = compile(s.a, scope);
      const from = s.a.type;
      return () => cast(from, s.type, a());
    }
    case "bitcast": {
      const a = compile(s.a, scope);
      const from = s.a.type;
      return () => bitcast(from, s.type, a());
    }
    case "wrap": {
      const a = compile(s.a, scope);
      return () => wrap(s.to, a());
    }
  }
}

/** A function that fills `out` with the element expression over `operands`. */
export function compileElement(element: Scalar, operands: readonly Tensor[], out: Tensor): () => void {
  const scope: Scope = { slots: new Map(), env: [], operands };
  const axes = out.shape.map((extent, axis) => ({ at: slot(scope, `i${axis}`), extent: () => extent }));
  const value = compile(element, scope);
  const data = out.data as { [i: number]: number | bigint };
  const store = out.dtype === "f16" ? (i: number) => (data[i] = toF16(value() as number)) : (i: number) => (data[i] = value());
  return () => {
    let i = 0;
    sweep(axes, scope.env, () => store(i++));
  };
}
