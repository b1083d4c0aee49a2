// The generic lowering for devices: a thread for each element of a result, from the meaning of the operators.

import { add, and, i32, lt, mul, pointer, store, team } from "../../../ir/kernel/build.ts";
import type { Expr, Param } from "../../../ir/kernel/types.ts";
import { maxShape } from "../../../ir/types.ts";
import { ElementLowering } from "../generic/element.ts";
import { Emitter } from "../generic/emitter.ts";
import { type GenericContext, isImmediate, kernelName, sources } from "../generic/kernel.ts";
import { memoryOf, walk } from "../storage.ts";
import type { Binding, Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";

/** Threads of a workgroup that share nothing. */
export const SIZE = 64;

/** One result of a unit. Threads are neighbours where elements are. */
function lowerResult(u: Unit, result: number, c: GenericContext): Lowered {
  const em = new Emitter();
  const faults: string[] = [];
  const operands = u.operands.filter((v) => !isImmediate(c.constantOf(v)));
  const ptrs = new Map(operands.map((v, k) => [v, em.parameter(`x${k}`, "ptr")]));
  const out = u.node.results[result]!;
  const storage = c.storageOf(out);
  const y = em.parameter("y", "ptr");
  const shape = maxShape(out.type);
  const count = shape.reduce((a, b) => a * b, 1);
  const lowering = new ElementLowering(em, {
    ops: c.ops,
    source: sources(u, c, ptrs),
    fault: (sentence) => {
      const known = faults.indexOf(sentence);
      return known >= 0 ? known : faults.push(sentence) - 1;
    },
  });
  const order = walk(storage);
  const store1 = (coords: readonly Expr[]): void => {
    const bytes = coords.reduce<Expr>((sum, x, axis) => add(sum, mul(x, i32(storage.strides[axis]!))), i32(storage.offset));
    const value = lowering.value(u.roots[result]!, coords);
    const { ptr, offset } = em.address(y, bytes);
    em.emit(store(memoryOf(storage.dtype), ptr, value, offset));
  };
  const element = (number: Expr): void => {
    const coords = em.coordinates(number, shape, order);
    const cuts = out.type.shape.flatMap((d, axis) => (typeof d === "number" ? [] : [lt(coords[axis]!, lowering.extent(d.value))]));
    if (cuts.length === 0) return store1(coords);
    em.branch(cuts.reduce(and), () => store1(coords));
  };
  const number = em.named("n", add(mul(team("group"), i32(SIZE)), team("rank")));
  if (count > 0) em.branch(lt(number, i32(count)), () => element(number));
  const kernel = `${kernelName(u)}${u.roots.length > 1 ? `_${result}` : ""}`;
  const params: Param[] = [...operands.map((v, k) => pointer(`x${k}`, "read", c.storageOf(v).bytes)), pointer("y", "write", storage.bytes)];
  const bindings: Binding[] = [
    ...operands.map((v): Binding => ({ kind: "operand", operand: u.operands.indexOf(v) })),
    { kind: "result", result },
  ];
  const grid = { workgroups: Math.max(1, Math.ceil(count / SIZE)), size: SIZE, shared: [] };
  const doc = u.nodes.map((n) => n.op).join(", ");
  return {
    kernel,
    functions: [{ name: kernel, doc, params, body: em.body, grid }],
    entry: kernel,
    bindings,
    faults,
    why: "a thread for each element",
  };
}

/** A kernel for each result. Needs `isGeneric(u)`. */
export const lowerElements = (u: Unit, c: GenericContext): Lowered[] => u.roots.map((_, result) => lowerResult(u, result, c));
