// Lowers one element (or four neighbours) of a value to kernel expressions, from the meaning of the operators in a region.

import { DTYPES } from "../../../ir/dtype.ts";
import type { Node, Value } from "../../../ir/graph.ts";
import {
  add,
  assert,
  binary,
  bitcast,
  cast,
  compare,
  constant,
  fma,
  i32,
  load,
  replace,
  select,
  splat,
  unary,
  wrap,
} from "../../../ir/kernel/build.ts";
import { type Expr, isVector, MEMORY_BYTES, type VectorType } from "../../../ir/kernel/types.ts";
import { operands } from "../../../ir/kernel/walk.ts";
import { coordinate, elementOf, isCompute } from "../../../ir/op.ts";
import { fromF16 } from "../../../ir/scalar/f16.ts";
import { children, readsData, type Scalar, some } from "../../../ir/scalar/scalar.ts";
import type { BinaryOp, CompareOp, ScalarType, UnaryOp } from "../../../ir/scalar/types.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import { memoryOf, type Storage } from "../storage.ts";
import { coefficient } from "./affine.ts";
import type { ElementOptions } from "./element-options.ts";
import { type Emitter, keyOf } from "./emitter.ts";
import { identityOf } from "./identity.ts";
import { NotVectorizable, PACKED_FOUR, VECTOR, VECTOR_BINARY, VECTOR_UNARY } from "./lanes.ts";
import { decide } from "./range.ts";
import { boundedLanes, held, roundedLanes } from "./round.ts";

type Env = ReadonlyMap<string, Expr>;

export class ElementLowering {
  readonly #em: Emitter;
  readonly #options: ElementOptions;
  readonly #mentions = new WeakMap<Expr, boolean>();
  /** Variables that hold products. */
  readonly #products = new WeakSet<Expr>();

  constructor(em: Emitter, options: ElementOptions) {
    this.#em = em;
    this.#options = options;
  }

  /** The element of `v` at `coords` (i32), a vector where it differs from lane to lane. */
  value(v: Value, coords: readonly Expr[]): Expr {
    const source = this.#options.source(v);
    switch (source.kind) {
      case "number":
        return this.#number(source.tensor);
      case "memory":
        return this.#load(source.ptr, source.storage, coords);
      case "given":
        return source.value;
      case "node": {
        const key = `node ${this.#em.idOf(source.node)}.${v.index} ${coords.map(keyOf).join()}`;
        let product = false;
        const value = this.#em.once(key, coords, () => {
          const made = this.#compute(source.node, v.index, coords);
          product = this.#isProduct(made);
          return made;
        });
        if (product) this.#products.add(value);
        return value;
      }
    }
  }

  /** `value` where a bounded extent is wanted: the i64 count as an i32. */
  extent(count: Value): Expr {
    return this.#em.once(`extent ${keyOf(this.value(count, []))}`, [], () => cast("i32", this.value(count, [])));
  }

  #compute(node: Node, result: number, coords: readonly Expr[]): Expr {
    const op = this.#options.ops.get(node.op)!;
    if (!isCompute(op)) throw new TypeError(`${node.op} has no indexed expression`);
    const element = elementOf(
      op,
      node.inputs.map((v) => v.type),
      node.results.map((r) => r.type),
      node.attrs,
      result,
    );
    return this.#scalar(element, new Map(coords.map((c, axis) => [coordinate(axis), c])), node);
  }

  #number(t: Tensor): Expr {
    const x = t.data[0]!;
    return constant(DTYPES[t.dtype].compute, t.dtype === "f16" ? fromF16(x as number) : x);
  }

  /** Whether an expression differs from lane to lane. */
  #mentionsLane(e: Expr): boolean {
    if (this.#options.lane === undefined) return false;
    let known = this.#mentions.get(e);
    if (known === undefined) {
      known = e.kind === "var" ? e.name === this.#options.lane : operands(e).some((o) => this.#mentionsLane(o));
      this.#mentions.set(e, known);
    }
    return known;
  }

  #load(base: Expr, storage: Storage, coords: readonly Expr[]): Expr {
    const memory = memoryOf(storage.dtype);
    const bytes = coords.reduce<Expr>((sum, c, axis) => add(sum, this.#scaled(c, storage.strides[axis]!)), i32(storage.offset));
    const wide = coords.some((c) => this.#mentionsLane(c)) && this.#spread(bytes, storage);
    const short = this.#options.sameAddress?.(storage, coords);
    const load4 = (ptr: Expr, offset: number): Expr =>
      load(wide ? (PACKED_FOUR[memory] ?? (VECTOR[DTYPES[storage.dtype].compute] as VectorType)) : memory, ptr, offset);
    if (short) return this.#em.keep(load4(short.ptr(base), short.offset));
    return this.#em.once(`load ${keyOf(base)} ${keyOf(bytes)} ${wide}`, [base, ...coords], () => {
      const { ptr, offset } = this.#em.address(base, bytes);
      return load4(ptr, offset);
    });
  }

  #scaled(c: Expr, stride: number): Expr {
    return binary("mul", c, i32(stride));
  }

  /** Whether the four lanes are neighbours in memory (true) or all the same element (false). */
  #spread(bytes: Expr, storage: Storage): boolean {
    const step = coefficient(bytes, this.#options.lane!, (e) => this.#mentionsLane(e));
    if (step === 0) return false;
    const memory = memoryOf(storage.dtype);
    if (step !== MEMORY_BYTES[memory] || (memory !== "f32" && memory !== "i32" && !PACKED_FOUR[memory])) throw new NotVectorizable();
    return true;
  }

  /** A coordinate as four lanes, each with its own. */
  #counted(e: Expr): Expr {
    const step = coefficient(e, this.#options.lane!, (x) => this.#mentionsLane(x));
    if (step === undefined) throw new NotVectorizable();
    const lanes = [1, 2, 3].reduce<Expr>((v, lane) => replace(v, lane, i32(lane * step)), splat("i32x4", i32(0)));
    return binary("add", splat("i32x4", e), lanes);
  }

  #wide(e: Expr): Expr {
    if (isVector(e.type)) return e;
    const to = VECTOR[e.type];
    if (!to) throw new NotVectorizable();
    return splat(to, e.type === "bool" ? this.#mask(e) : e);
  }

  /** A bool as all ones or all zeros. */
  #mask(e: Expr): Expr {
    return unary("neg", cast("i32", e));
  }

  #both(a: Expr, b: Expr): readonly [Expr, Expr] {
    return isVector(a.type) || isVector(b.type) ? [this.#wide(a), this.#wide(b)] : [a, b];
  }

  #scalar(s: Scalar, env: Env, node: Node): Expr {
    const go = (x: Scalar): Expr => this.#scalar(x, env, node);
    switch (s.kind) {
      case "const":
        return constant(s.type, s.value);
      case "index": {
        const e = env.get(s.name)!;
        return this.#mentionsLane(e) ? this.#counted(e) : e;
      }
      case "extent": {
        const d = node.inputs[s.operand]!.type.shape[s.axis]!;
        return typeof d === "number" ? i32(d) : this.extent(d.value);
      }
      case "read":
        return this.value(
          node.inputs[s.operand]!,
          s.at.map((c, axis) => this.#coordinate(c, env, node, s.operand, axis)),
        );
      case "unary":
        return this.#unary(s.op, go(s.a));
      case "binary":
        return this.#binary(s.op, go(s.a), go(s.b));
      case "compare":
        return this.#compare(s.op, go(s.a), go(s.b));
      case "select":
        return this.#select(s, env, node);
      case "cast": {
        const a = go(s.a);
        if (!isVector(a.type)) return cast(s.type, a);
        // Whole numbers may come as floats.
        if (s.type === "f32" && s.a.type === "i32") return a.type === "i32x4" ? cast("f32x4", a) : a;
        if (s.type === "i32" && a.type === "f32x4") {
          const { tame = false, loose = false, saturated } = this.#options;
          const exact = roundedLanes(a, { tame, moderate: tame && node === saturated, loose });
          return exact ?? (loose ? undefined : boundedLanes(a)) ?? cast("i32x4", a);
        }
        throw new NotVectorizable();
      }
      case "bitcast": {
        const a = go(s.a);
        if (isVector(a.type)) throw new NotVectorizable();
        return bitcast(s.type, a);
      }
      case "wrap": {
        const a = go(s.a);
        if (isVector(a.type)) throw new NotVectorizable();
        return wrap(s.to, a);
      }
      case "reduce":
        return this.#reduce(s, env, node);
    }
  }

  #compare(op: CompareOp, x: Expr, y: Expr): Expr {
    const sure = decide(op, this.#em.range(x), this.#em.range(y));
    if (sure !== undefined) return constant("bool", sure);
    const [a, b] = this.#both(x, y);
    const e = compare(op, a, b);
    // Guards on coordinates belong to the loop whose coordinate they check.
    return x.type === "i32" && coords(x) && coords(y) ? this.#em.shared(e, "c") : e;
  }

  #unary(op: UnaryOp, a: Expr): Expr {
    if (isVector(a.type) && (a.type === "f32x4" ? !VECTOR_UNARY.has(op) : op !== "not" && op !== "neg" && op !== "abs"))
      throw new NotVectorizable();
    return unary(op, a);
  }

  #isProduct(e: Expr): boolean {
    return (e.kind === "binary" && e.op === "mul" && (e.type === "f32" || e.type === "f32x4")) || this.#products.has(e);
  }

  /** A summand whose own rounding counts: what integers are made of must be the same bits everywhere. */
  #summand(e: Expr): Expr {
    return this.#options.loose && this.#options.tame && this.#isProduct(e) ? held(e) : e;
  }

  #binary(op: BinaryOp, x: Expr, y: Expr): Expr {
    if (op === "and" && x.kind === "const" && x.type === "bool") return x.value ? y : x;
    if (op === "and" && y.kind === "const" && y.type === "bool") return y.value ? x : y;
    // What is counted in units of 1 is divided by nothing.
    if (op === "div" && y.kind === "const" && (y.type === "f32" || y.type === "f64") && y.value === 1) return x;
    const sum = op === "add" || op === "sub";
    const [a, b] = sum ? this.#both(this.#summand(x), this.#summand(y)) : this.#both(x, y);
    if (isVector(a.type) && !VECTOR_BINARY[a.type as "f32x4"].has(op)) throw new NotVectorizable();
    return binary(op, a, b);
  }

  /** A coordinate in an operand, checked against its extent when it hangs on data. */
  #coordinate(c: Scalar, env: Env, node: Node, operand: number, axis: number): Expr {
    if (c.kind === "index") return env.get(c.name)!;
    const e = this.#integer(c, env, node);
    if (!readsData(c) || e.kind === "const") return e;
    const d = node.inputs[operand]!.type.shape[axis]!;
    const extent = typeof d === "number" ? i32(d) : this.extent(d.value);
    const at = this.#em.keep(e, "at");
    return this.#em.once(`check ${keyOf(at)} ${keyOf(extent)}`, [at, extent], () => {
      const inside = binary("and", compare("ge", at, i32(0)), compare("lt", at, extent));
      this.#em.emit(assert(inside, this.#options.fault(`${node.op}: an index is outside axis ${axis} of operand ${operand}`)));
      return at;
    });
  }

  /** Coordinates may count along the lanes: integer maths on them stays scalar. */
  #integer(c: Scalar, env: Env, node: Node): Expr {
    if (c.kind === "index") return env.get(c.name)!;
    if (c.kind === "binary" && c.type === "i32") return binary(c.op, this.#integer(c.a, env, node), this.#integer(c.b, env, node));
    const e = this.#scalar(c, env, node);
    if (isVector(e.type)) throw new NotVectorizable();
    return e;
  }

  #varies(s: Scalar, env: Env): boolean {
    return some(s, (x) => x.kind === "index" && env.has(x.name) && this.#mentionsLane(env.get(x.name)!));
  }

  /** Whether lanes are told apart by their coordinates, not only by what lies there. */
  #counts(s: Scalar, env: Env): boolean {
    if (s.kind === "index") return this.#mentionsLane(env.get(s.name)!);
    return s.kind !== "read" && children(s).some((x) => this.#counts(x, env));
  }

  /** Whether an operand has elements at all coordinates that the loops around count. */
  #isInside(s: Scalar & { kind: "read" }, env: Env, node: Node): boolean {
    return s.at.every((at, axis) => {
      if (at.kind === "const") return true;
      const range = at.kind === "index" ? this.#em.range(env.get(at.name)!) : undefined;
      const extent = node.inputs[s.operand]!.type.shape[axis]!;
      return range !== undefined && range.low >= 0 && typeof extent === "number" && range.high < extent;
    });
  }

  #select(s: Scalar & { kind: "select" }, env: Env, node: Node): Expr {
    const cond = this.#scalar(s.cond, env, node);
    const go = (x: Scalar): Expr => this.#scalar(x, env, node);
    if (cond.kind === "const") return go(cond.value ? s.a : s.b);
    if (isVector(cond.type)) {
      // Both sides are computed for all lanes: where coordinates decide, what is read must be there whatever they are.
      const placed = (x: Scalar): boolean => x.kind === "reduce" || (x.kind === "read" && !this.#isInside(x, env, node));
      if (this.#counts(s.cond, env) && [s.a, s.b].some((x) => some(x, placed))) throw new NotVectorizable();
      return select(cond, this.#wide(go(s.a)), this.#wide(go(s.b)));
    }
    const wide = this.#varies(s.a, env) || this.#varies(s.b, env);
    const guarded =
      some(s.a, (x) => x.kind === "read" || x.kind === "reduce") || some(s.b, (x) => x.kind === "read" || x.kind === "reduce");
    if (!guarded && !wide) return select(cond, go(s.a), go(s.b));
    const type = wide ? VECTOR[s.type] : s.type;
    if (!type) throw new NotVectorizable();
    const shaped = (e: Expr): Expr => (wide ? this.#wide(e) : e);
    const zero: Expr = s.type === "bool" && wide ? splat("i32x4", i32(0)) : shaped(constant(s.type, 0));
    const chosen = this.#em.mutable("s", s.b.kind === "const" ? shaped(go(s.b)) : zero);
    this.#em.branch(
      cond,
      () => chosen.assign(shaped(go(s.a))),
      () => {
        if (s.b.kind !== "const") chosen.assign(shaped(go(s.b)));
      },
    );
    return this.#em.freeze(chosen.read);
  }

  #reduce(s: Scalar & { kind: "reduce" }, env: Env, node: Node): Expr {
    const taken = this.#taken(s, env, node);
    if (taken) return taken;
    if (s.op.startsWith("arg")) return this.#argReduce(s, env, node);
    const op = s.op as "sum" | "prod" | "min" | "max" | "and" | "or";
    const wide = this.#varies(s.body, env);
    const start = constant(s.type, identityOf(op, s.type));
    if (wide && s.type !== "f32" && s.type !== "i32") throw new NotVectorizable();
    const acc = this.#em.mutable("acc", wide ? this.#wide(start) : start);
    this.#nest(s.over, env, node, (inner) => {
      // A sum of products is a chain of multiply-adds.
      if (op === "sum" && s.body.kind === "binary" && s.body.op === "mul" && (s.type === "f32" || s.type === "f64")) {
        const [a, b] = [this.#scalar(s.body.a, inner, node), this.#scalar(s.body.b, inner, node)];
        acc.assign(wide ? fma(this.#wide(a), this.#wide(b), acc.read) : fma(a, b, acc.read));
        return;
      }
      const body = this.#scalar(s.body, inner, node);
      const own = op === "sum" ? this.#summand(body) : body;
      acc.assign(binary(COMBINE[op], acc.read, wide ? this.#wide(own) : own));
    });
    return this.#em.freeze(acc.read);
  }

  #taken(s: Scalar & { kind: "reduce" }, env: Env, node: Node): Expr | undefined {
    const extents = s.over.map(({ extent }) => (extent.kind === "const" ? Number(extent.value) : undefined));
    if (!extents.every((d) => d !== undefined)) return undefined;
    const body = (at: readonly Expr[]): Expr =>
      this.#scalar(s.body, new Map([...env, ...s.over.map(({ name }, k) => [name, at[k]!] as const)]), node);
    return this.#options.reduce?.({ op: s.op, type: s.body.type, extents, body });
  }

  #nest(over: readonly { readonly name: string; readonly extent: Scalar }[], env: Env, node: Node, visit: (env: Env) => void): void {
    const [axis, ...rest] = over;
    if (!axis) return visit(env);
    if (axis.extent.kind === "const" && roundsOf(over) <= MOST_UNROLLED) {
      for (let r = 0; r < Number(axis.extent.value); r++) this.#nest(rest, new Map([...env, [axis.name, i32(r)]]), node, visit);
      return;
    }
    this.#em.loop("r", i32(0), this.#integer(axis.extent, env, node), 1, (r) =>
      this.#nest(rest, new Map([...env, [axis.name, r]]), node, visit),
    );
  }

  #argReduce(s: Scalar & { kind: "reduce" }, env: Env, node: Node): Expr {
    if (this.#varies(s.body, env)) throw new NotVectorizable();
    const least = s.op.startsWith("argmin");
    const type = s.body.type as ScalarType;
    const best = this.#em.mutable("best", constant(type, identityOf(least ? "min" : "max", type)));
    const at = this.#em.mutable("at", i32(0));
    const position = this.#em.mutable("n", i32(0));
    this.#nest(s.over, env, node, (inner) => {
      const x = this.#em.keep(this.#scalar(s.body, inner, node), "x");
      const better = compare(s.op.endsWith("_last") ? (least ? "le" : "ge") : least ? "lt" : "gt", x, best.read);
      this.#em.branch(better, () => {
        best.assign(x);
        at.assign(position.read);
      });
      position.assign(add(position.read, i32(1)));
    });
    return this.#em.freeze(at.read);
  }
}

/** Made of coordinates alone. */
const coords = (e: Expr): boolean => e.kind !== "load" && operands(e).every(coords);

/** A 3x3 window, written out: every tap's guards and addresses are its own constants. */
const MOST_UNROLLED = 9;
const roundsOf = (over: readonly { readonly extent: Scalar }[]): number =>
  over.reduce((n, axis) => n * (axis.extent.kind === "const" ? Number(axis.extent.value) : Number.POSITIVE_INFINITY), 1);

export const COMBINE = { sum: "add", prod: "mul", and: "and", or: "or", min: "min", max: "max" } as const;
