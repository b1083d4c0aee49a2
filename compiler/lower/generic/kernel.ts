// The generic lowering: a loop nest over a result's elements, from the meaning of the operators. Right for every op; fast for many.

import type { Value } from "../../../ir/graph.ts";
import { add, binary, extract, i32, narrow, pointer, splat, store } from "../../../ir/kernel/build.ts";
import { type Expr, type Func, isVector, MEMORY_BYTES, type MemoryType, type Param, type VectorType } from "../../../ir/kernel/types.ts";
import { isElementwise, type OpSet } from "../../../ir/op.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import { maxShape, sameShape } from "../../../ir/types.ts";
import { sharedAxis } from "../split.ts";
import { memoryOf, type Storage, sameStorage, walk } from "../storage.ts";
import type { Binding, Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { ElementLowering } from "./element.ts";
import type { Source } from "./element-options.ts";
import { Emitter } from "./emitter.ts";
import { NotVectorizable, PACKED_FOUR } from "./lanes.ts";
import { isTame } from "./round.ts";

export interface GenericContext {
  readonly ops: OpSet;
  readonly storageOf: (v: Value) => Storage;
  /** A constant's tensor, for values that are weights. */
  readonly constantOf: (v: Value) => Tensor | undefined;
  /** Whether the target has vectors. */
  readonly vectors: boolean;
  /** Whether the target's compiler may fuse and reorder operations on floats. */
  readonly loose: boolean;
}

/** A constant of one element becomes a number in the code. */
export const isImmediate = (t: Tensor | undefined): t is Tensor => t !== undefined && t.data.length === 1;

/** What the values of a unit are, given pointers to those that lie in memory. */
export function sources(u: Unit, c: GenericContext, ptrs: ReadonlyMap<Value, Expr>): (v: Value) => Source {
  const inside = new Set(u.nodes);
  return (v) => {
    if (inside.has(v.node)) return { kind: "node", node: v.node };
    const outer = u.outside.get(v) ?? v;
    const t = c.constantOf(outer);
    if (isImmediate(t)) return { kind: "number", tensor: t };
    return { kind: "memory", ptr: ptrs.get(outer)!, storage: c.storageOf(outer) };
  };
}

function build(
  u: Unit,
  result: number,
  c: GenericContext,
  name: string,
  lanes: Lanes,
): { func: Func; bindings: Binding[]; faults: string[] } {
  const em = new Emitter();
  const faults: string[] = [];
  const operands = u.operands.filter((v) => !isImmediate(c.constantOf(v)));
  const ptrs = new Map(operands.map((v, k) => [v, em.parameter(`x${k}`, "ptr")]));
  const out = u.node.results[result]!;
  const storage = c.storageOf(out);
  const y = em.parameter("y", "ptr");
  const memory = memoryOf(storage.dtype);
  const inner = laneAxisFor(u, result, c, lanes);
  const order = [...walk(storage).filter((axis) => axis !== inner), ...(inner === undefined ? [] : [inner])];
  const source = sources(u, c, ptrs);
  const tame = c.vectors && isTame(u.nodes, u.operands, c.constantOf);
  const lowering = (lane?: string) =>
    new ElementLowering(em, {
      ops: c.ops,
      source,
      tame,
      ...(lane === undefined ? {} : { lane }),
      fault: (sentence) => {
        const known = faults.indexOf(sentence);
        return known >= 0 ? known : faults.push(sentence) - 1;
      },
    });
  const scalar = lowering();
  const bytesAt = (coords: readonly Expr[]): Expr =>
    coords.reduce<Expr>((sum, x, axis) => add(sum, binary("mul", x, i32(storage.strides[axis]!))), i32(storage.offset));
  const put = (coords: readonly Expr[], value: Expr, as: MemoryType = memory): void => {
    const { ptr, offset } = em.address(y, bytesAt(coords));
    em.emit(store(as, ptr, value, offset));
  };
  const point = (coords: readonly Expr[]): void => put(coords, scalar.value(u.roots[result]!, coords));
  const packed = c.vectors ? PACKED_FOUR[memory] : undefined;
  const vectorType: VectorType | undefined = memory === "f32" ? "f32x4" : memory === "i32" || packed ? "i32x4" : undefined;
  const apart = inner !== undefined && storage.strides[inner] !== MEMORY_BYTES[memory];

  const shared = sharedAxis(order.map((axis) => maxShape(out.type)[axis]!));
  const nest = (depth: number, coords: readonly Expr[]): void => {
    if (depth === order.length) return point(coords);
    const cost = (n: number): number | undefined => (depth === shared ? n : undefined);
    const axis = order[depth]!;
    const d = out.type.shape[axis]!;
    const extent = typeof d === "number" ? i32(d) : scalar.extent(d.value);
    const at = (i: Expr): Expr[] => coords.map((x, k) => (k === axis ? i : x));
    if (depth < order.length - 1 || inner === undefined) {
      em.loop("i", i32(0), extent, 1, (i) => nest(depth + 1, at(i)), cost(1));
      return;
    }
    const n = d as number;
    const whole = n - (n % 4);
    // Bytes are put together until they are a vector.
    const many = packed && !apart ? n - (n % 16) : 0;
    const wideLoop =
      (vectors: 1 | 4) =>
      (i: Expr): void => {
        // A loop of one round has no variable: name the lanes by a variable all the same.
        const v = i.kind === "var" ? i : em.named("v", i);
        const wide = lowering((v as Expr & { kind: "var" }).name);
        const four = (q: number): Expr => {
          const value = wide.value(u.roots[result]!, at(q === 0 ? v : add(v, i32(4 * q))));
          return em.keep(isVector(value.type) ? value : splat(vectorType!, value));
        };
        if (vectors === 4) {
          const [a, b, c, d] = [four(0), four(1), four(2), four(3)];
          return put(at(v), narrow(memory as "u8" | "i8", narrow("i16", a, b), narrow("i16", c, d)), "i8x16");
        }
        const all = four(0);
        if (apart) for (let lane = 0; lane < 4; lane++) put(at(add(v, i32(lane))), extract(all, lane));
        else put(at(v), all, packed ?? vectorType);
      };
    em.loop("v", i32(0), i32(many), 16, wideLoop(4), cost(4));
    em.loop("v", i32(many), i32(whole), 4, wideLoop(1), cost(1));
    em.loop("i", i32(whole), i32(n), 1, (i) => point(at(i)), cost(1));
  };
  nest(
    0,
    order.map(() => i32(0)),
  );
  const params: Param[] = [...operands.map((v, k) => pointer(`x${k}`, "read", c.storageOf(v).bytes)), pointer("y", "write", storage.bytes)];
  const bindings: Binding[] = [
    ...operands.map((v): Binding => ({ kind: "operand", operand: u.operands.indexOf(v) })),
    { kind: "result", result },
  ];
  return { func: { name, doc: docOf(u), params, body: em.body }, bindings, faults };
}

/** How four elements are computed at once: neighbours of the result, neighbours of an operand that the result has apart, or not. */
type Lanes = "result" | "operand" | "none";

/** The axis along which a kernel takes four elements at once, where it does. */
function laneAxisFor(u: Unit, result: number, c: GenericContext, lanes: Lanes): number | undefined {
  const out = u.node.results[result]!;
  const storage = c.storageOf(out);
  const memory = memoryOf(storage.dtype);
  const fits = (axis: number | undefined, s: Storage): axis is number =>
    axis !== undefined &&
    s.strides[axis] === MEMORY_BYTES[memoryOf(s.dtype)] &&
    typeof out.type.shape[axis] === "number" &&
    (out.type.shape[axis] as number) >= 4;
  if (memory !== "f32" && memory !== "i32" && !(c.vectors && PACKED_FOUR[memory])) return undefined;
  if (lanes === "result") {
    const axis = walk(storage).at(-1);
    return fits(axis, storage) ? axis : undefined;
  }
  if (lanes === "none" || !u.nodes.every((n) => isElementwise(c.ops.get(n.op)!))) return undefined;
  const along = u.operands.filter((v) => sameShape(v.type.shape, out.type.shape)).map((v) => c.storageOf(v));
  return along.map((s) => [walk(s).at(-1), s] as const).find(([axis, s]) => fits(axis, s))?.[0];
}

/** Elementwise units read each operand only where they write, when it lies as the result does. */
function overwrites(u: Unit, c: GenericContext): number[] {
  const elementwise = u.nodes.every((n) => isElementwise(c.ops.get(n.op)!));
  if (!elementwise || u.roots.length !== 1) return [];
  const out = u.node.results[0]!;
  return u.operands.flatMap((v, k) =>
    sameShape(v.type.shape, out.type.shape) && sameStorage(c.storageOf(v), c.storageOf(out)) ? [k] : [],
  );
}

const usesVectors = (f: Func): boolean => JSON.stringify(f.body, (_, x: unknown) => (typeof x === "bigint" ? 0 : x)).includes('x4"');

const docOf = (u: Unit): string => u.nodes.map((n) => n.op).join(", ");

/** What the kernel computes, for its name: the heaviest node and what follows it. */
export function kernelName(u: Unit): string {
  const dtype = u.node.results[0]!.type.dtype;
  const ops = [...new Set(u.nodes.map((n) => n.op))];
  const [first = "empty", ...rest] = ops;
  return `${first}_${dtype}${rest
    .slice(0, 2)
    .map((o) => `_${o}`)
    .join("")}${rest.length > 2 ? "_etc" : ""}`;
}

/** By the best lanes that there are. */
function firstBuilt(u: Unit, result: number, c: GenericContext, name: string): ReturnType<typeof build> {
  for (const lanes of c.vectors ? (["result", "operand"] as const) : []) {
    if (laneAxisFor(u, result, c, lanes) === undefined) continue;
    try {
      return build(u, result, c, name, lanes);
    } catch (e) {
      if (!(e instanceof NotVectorizable)) throw e;
    }
  }
  return build(u, result, c, name, "none");
}

/** Lowers every result of a unit to a kernel; one function per result. Needs `isGeneric(u)`. */
export function lowerGeneric(u: Unit, c: GenericContext): Lowered[] {
  return u.roots.map((_, result) => {
    const kernel = `${kernelName(u)}${u.roots.length > 1 ? `_${result}` : ""}`;
    const built = firstBuilt(u, result, c, kernel);
    const vector = usesVectors(built.func);
    return {
      kernel,
      functions: [built.func],
      entry: kernel,
      bindings: built.bindings,
      faults: built.faults,
      overwrites: overwrites(u, c),
      why: `generic loop nest, ${vector ? "four lanes at once" : "one element at a time"}`,
    };
  });
}
