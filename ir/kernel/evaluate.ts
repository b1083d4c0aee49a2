// Compiles kernel expressions to closures for the interpreter; every scalar operator is ir/scalar/evaluate.ts, vectors work lane by lane.

import { errors } from "../diagnostics.ts";
import type { ScalarValue } from "../scalar/evaluate.ts";
import * as scalar from "../scalar/evaluate.ts";
import type { BinaryOp, ScalarType } from "../scalar/types.ts";
import { type KernelValue, type Lanes, loader, readLanes, type Window, writeLanes } from "./memory.ts";
import type { Member } from "./team.ts";
import { type Expr, isVector, LANE_TYPE, LANES, type ValueType, type VectorType } from "./types.ts";

/** One activation of a function: its variables, and the buffer behind each pointer parameter. */
export interface Frame {
  readonly slots: KernelValue[];
  readonly windows: readonly Window[];
  readonly member: Member;
}

/** What a run did, in elements: loads of buffers and of shared arrays, and multiply-adds. */
export interface Counts {
  loads: number;
  sharedLoads: number;
  multiplyAdds: number;
}
export type Evaluator = (frame: Frame) => KernelValue;

/** What compiling an expression needs to know of the function around it. */
export interface Scope {
  readonly func: string;
  readonly counts?: Counts | undefined;
  slot(name: string): number;
  /** The index of the pointer parameter into whose buffer `ptr` points. */
  root(ptr: Expr): number;
  call(name: string, args: readonly Expr[]): Evaluator;
}

/** A whole lane in its lane type, wrapped as it would be stored. */
const NARROW: Readonly<Partial<Record<string, (x: number) => number>>> = { i8x16: (x) => (x << 24) >> 24, i16x8: (x) => (x << 16) >> 16 };
const scratch = new DataView(new ArrayBuffer(16));

const laneType = (t: ValueType): ScalarType => (isVector(t) ? LANE_TYPE[t] : (t as ScalarType));

/** Applies `f` to scalars, or lane by lane, wrapping narrow lanes. */
function lift1(t: ValueType, f: (x: ScalarValue) => ScalarValue, a: Evaluator): Evaluator {
  if (!isVector(t)) return (frame) => f(a(frame) as ScalarValue);
  const narrow = NARROW[t];
  const lane = narrow ? (x: ScalarValue) => narrow(f(x) as number) : f;
  return (frame) => (a(frame) as Lanes).map(lane);
}

function lift2(t: ValueType, f: (x: ScalarValue, y: ScalarValue) => ScalarValue, a: Evaluator, b: Evaluator): Evaluator {
  if (!isVector(t)) return (frame) => f(a(frame) as ScalarValue, b(frame) as ScalarValue);
  const narrow = NARROW[t];
  const lane = narrow ? (x: ScalarValue, y: ScalarValue) => narrow(f(x, y) as number) : f;
  return (frame) => {
    const [x, y] = [a(frame) as Lanes, b(frame) as Lanes];
    return x.map((xi, i) => lane(xi, y[i]!));
  };
}

/** The operators of most index arithmetic and inner loops, as `scalar.binary` defines them but without its dispatch. */
const QUICK: Readonly<Partial<Record<string, (x: number, y: number) => number>>> = {
  add_i32: (x, y) => (x + y) | 0,
  sub_i32: (x, y) => (x - y) | 0,
  mul_i32: Math.imul,
  add_f32: (x, y) => Math.fround(x + y),
  sub_f32: (x, y) => Math.fround(x - y),
  mul_f32: (x, y) => Math.fround(x * y),
  add_f64: (x, y) => x + y,
  sub_f64: (x, y) => x - y,
  mul_f64: (x, y) => x * y,
};

function binaryOf(op: BinaryOp, t: ScalarType): (x: ScalarValue, y: ScalarValue) => ScalarValue {
  const quick = QUICK[`${op}_${t}`] as ((x: ScalarValue, y: ScalarValue) => ScalarValue) | undefined;
  return quick ?? ((x, y) => scalar.binary(op, t, x, y));
}

const onesOf = (t: VectorType): ScalarValue => (LANE_TYPE[t] === "i64" ? -1n : -1);
const zeroOf = (t: VectorType): ScalarValue => (LANE_TYPE[t] === "i64" ? 0n : 0);

function bitcastLanes(from: VectorType, to: VectorType, x: Lanes): Lanes {
  writeLanes(from, scratch, 0, x);
  return readLanes(to, scratch, 0);
}

export function compileExpr(e: Expr, scope: Scope): Evaluator {
  const sub = (x: Expr): Evaluator => compileExpr(x, scope);
  switch (e.kind) {
    case "const": {
      const value = e.value;
      return () => value;
    }
    case "var": {
      const slot = scope.slot(e.name);
      return (frame) => frame.slots[slot]!;
    }
    case "unary": {
      const t = laneType(e.type);
      const op = e.op;
      return lift1(e.type, (x) => scalar.unary(op, t, x), sub(e.a));
    }
    case "binary":
      return lift2(e.type, binaryOf(e.op, laneType(e.type)), sub(e.a), sub(e.b));
    case "compare": {
      const op = e.op;
      const [a, b] = [sub(e.a), sub(e.b)];
      const type = e.type;
      if (!isVector(type)) return (frame) => scalar.compare(op, a(frame) as ScalarValue, b(frame) as ScalarValue);
      const [ones, zero] = [onesOf(type), zeroOf(type)];
      return (frame) => {
        const [x, y] = [a(frame) as Lanes, b(frame) as Lanes];
        return x.map((xi, i) => (scalar.compare(op, xi, y[i]!) ? ones : zero));
      };
    }
    case "select":
      return compileSelect(e.cond, e.a, e.b, sub);
    case "cast": {
      const [from, to] = [laneType(e.a.type), laneType(e.type)];
      return lift1(e.type, (x) => scalar.cast(from, to, x), sub(e.a));
    }
    case "bitcast": {
      const a = sub(e.a);
      const [from, to] = [e.a.type, e.type];
      if (isVector(from) && isVector(to)) return (frame) => bitcastLanes(from, to, a(frame) as Lanes);
      return (frame) => scalar.bitcast(from as ScalarType, to as ScalarType, a(frame) as ScalarValue);
    }
    case "wrap": {
      const to = e.to;
      const a = sub(e.a);
      return (frame) => scalar.wrap(to, a(frame) as ScalarValue);
    }
    case "load": {
      const load = loader(e.memory, e.offset, scope.func);
      const root = scope.root(e.ptr);
      const ptr = sub(e.ptr);
      return (frame) => load(frame.windows[root]!, ptr(frame) as number);
    }
    case "advance": {
      const [ptr, bytes] = [sub(e.ptr), sub(e.bytes)];
      return (frame) => (ptr(frame) as number) + (bytes(frame) as number);
    }
    case "splat": {
      const a = sub(e.a);
      const n = LANES[e.type];
      const narrow = NARROW[e.type];
      return (frame) => {
        const x = a(frame) as ScalarValue;
        return new Array<ScalarValue>(n).fill(narrow ? narrow(x as number) : x);
      };
    }
    case "extract": {
      const a = sub(e.a);
      const lane = e.lane;
      return (frame) => (a(frame) as Lanes)[lane]!;
    }
    case "replace": {
      const [a, value] = [sub(e.a), sub(e.value)];
      const lane = e.lane;
      const narrow = NARROW[e.type];
      return (frame) => {
        const x = value(frame) as ScalarValue;
        return (a(frame) as Lanes).with(lane, narrow ? narrow(x as number) : x);
      };
    }
    case "shuffle": {
      const [a, b] = [sub(e.a), sub(e.b)];
      const lanes = e.lanes;
      return (frame) => {
        const both = [...(a(frame) as Lanes), ...(b(frame) as Lanes)];
        return lanes.map((i) => both[i]!);
      };
    }
    case "fma": {
      const t = laneType(e.type);
      const product = lift2(e.type, binaryOf("mul", t), sub(e.a), sub(e.b));
      const sum = lift2(e.type, binaryOf("add", t), product, sub(e.c));
      const { counts } = scope;
      if (!counts) return sum;
      const lanes = isVector(e.type) ? LANES[e.type] : 1;
      return (frame) => {
        counts.multiplyAdds += lanes;
        return sum(frame);
      };
    }
    case "dot": {
      const [a, b] = [sub(e.a), sub(e.b)];
      return (frame) => {
        const [x, y] = [a(frame) as number[], b(frame) as number[]];
        return [0, 2, 4, 6].map((i) => (x[i]! * y[i]! + x[i + 1]! * y[i + 1]!) | 0);
      };
    }
    case "dot4": {
      const [a, b] = [sub(e.a), sub(e.b)];
      const { counts } = scope;
      return (frame) => {
        if (counts) counts.multiplyAdds += 4;
        const [x, y] = [a(frame) as number, b(frame) as number];
        return [24, 16, 8, 0].reduce((sum, by) => sum + ((x << by) >> 24) * ((y << by) >> 24), 0);
      };
    }
    case "dot_bytes": {
      const [a, b, c] = [sub(e.a), sub(e.b), sub(e.c)];
      const { counts } = scope;
      return (frame) => {
        if (counts) counts.multiplyAdds += 16;
        const [x, y, z] = [a(frame) as number[], b(frame) as number[], c(frame) as number[]];
        if (e.read === "signed") checkPairs(x, y);
        const mask = e.read === "unsigned" ? 255 : -1;
        return z.map((sum, i) => [0, 1, 2, 3].reduce((s, k) => s + x[4 * i + k]! * (y[4 * i + k]! & mask), sum) | 0);
      };
    }
    case "dot_pairs": {
      const [a, b] = [sub(e.a), sub(e.b)];
      const { counts } = scope;
      return (frame) => {
        if (counts) counts.multiplyAdds += 16;
        const [x, y] = [a(frame) as number[], b(frame) as number[]];
        if (e.small && y.some((b) => b < 0)) throw errors.badKernel("dot_pairs", "has a second operand above 127, which is not small");
        return [0, 2, 4, 6, 8, 10, 12, 14].map((i) => {
          const sum = x[i]! * (y[i]! & 255) + x[i + 1]! * (y[i + 1]! & 255);
          if (sum < -32768 || sum > 32767) throw errors.badKernel("dot_pairs", `adds two products up to ${sum}, which leaves 16 bits`);
          return sum;
        });
      };
    }
    case "narrow": {
      const [a, b] = [sub(e.a), sub(e.b)];
      const [low, high] = SATURATED[e.to];
      // Unsigned bytes are kept as the signed ones of the same bits, as all lanes of i8x16.
      const lane = (x: number): number => (Math.min(Math.max(x, low), high) << 24) >> 24;
      const wide = (x: number): number => Math.min(Math.max(x, low), high);
      const one = e.to === "i16" ? wide : lane;
      return (frame) => [...(a(frame) as number[]), ...(b(frame) as number[])].map(one);
    }
    case "team": {
      const { of } = e;
      return (frame) => frame.member[of];
    }
    case "call":
      return scope.call(e.name, e.args);
  }
}

/** Two neighbours' products, added up before the others, must not leave 16 bits. */
function checkPairs(x: readonly number[], y: readonly number[]): void {
  for (let i = 0; i < x.length; i += 2)
    if (x[i]! * y[i]! + x[i + 1]! * y[i + 1]! > 32767) throw errors.badKernel("dot_bytes", "adds 128^2 and 128^2, which leaves 16 bits");
}

const SATURATED = { i16: [-32768, 32767], i8: [-128, 127], u8: [0, 255] } as const;

/** Only the chosen side of a select by a bool is evaluated; a lane mask takes bits from both. */
function compileSelect(c: Expr, x: Expr, y: Expr, sub: (e: Expr) => Evaluator): Evaluator {
  const [cond, a, b] = [sub(c), sub(x), sub(y)];
  const [mask, type] = [c.type, x.type];
  if (!isVector(mask) || !isVector(type)) return (frame) => (cond(frame) ? a(frame) : b(frame));
  return (frame) => {
    const m = bitcastLanes(mask, "i64x2", cond(frame) as Lanes) as bigint[];
    const p = bitcastLanes(type, "i64x2", a(frame) as Lanes) as bigint[];
    const q = bitcastLanes(type, "i64x2", b(frame) as Lanes) as bigint[];
    return bitcastLanes(
      "i64x2",
      type,
      m.map((bits, i) => (p[i]! & bits) | (q[i]! & ~bits)),
    );
  };
}
