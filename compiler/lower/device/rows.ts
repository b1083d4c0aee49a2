// Rows that are reduced and then written, as in softmax and norms, and plain reductions of many elements: a team of threads at each row.

import type { Node } from "../../../ir/graph.ts";
import { add, and, i32, mul, pointer, store } from "../../../ir/kernel/build.ts";
import type { Expr, Param } from "../../../ir/kernel/types.ts";
import { elementOf, isCompute, isElementwise } from "../../../ir/op.ts";
import { type Scalar, some } from "../../../ir/scalar/scalar.ts";
import { isStatic, sameShape } from "../../../ir/types.ts";
import type { Capabilities } from "../../backend.ts";
import { ElementLowering } from "../generic/element.ts";
import { Emitter } from "../generic/emitter.ts";
import { type GenericContext, isImmediate, kernelName, sources } from "../generic/kernel.ts";
import { rowsOf } from "../generic/rows.ts";
import { memoryOf } from "../storage.ts";
import type { Binding, Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { canReduce, Team, teamsFor } from "./team.ts";

/** What a team does: reduces `count` elements by each of `reductions`, then writes the row's elements, which are along `axes` of the result. */
interface Plan {
  readonly reductions: readonly Node[];
  readonly axes: readonly number[];
  readonly count: number;
  /** Whether neighbours in memory are in neighbouring rows. */
  readonly across: boolean;
}

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);
const sizes = (n: Node): readonly number[] => n.results[0]!.type.shape as readonly number[];

/** The innermost axis of more than one element. */
const innermost = (shape: readonly number[]): number => shape.findLastIndex((d) => d > 1);

function rows(u: Unit, c: GenericContext): Plan | undefined {
  const found = rowsOf(u, c.ops);
  if (!found || found.few) return undefined;
  const { reductions, axes } = found;
  const shape = sizes(u.roots[0]!.node);
  // An element has the same coordinates in every pass, so that what was computed of it is known.
  const alike = reductions.every((n) => (n.attrs["axes"] as readonly number[]).filter((axis) => shape[axis] !== 1).join() === axes.join());
  return alike ? { reductions, axes, count: product(axes.map((a) => shape[a]!)), across: !axes.includes(innermost(shape)) } : undefined;
}

/** Elements of a result with fewer of which threads at each of them leave a device idle. */
const FEW_RESULTS = 16384;
/** The same where what is reduced may lie far apart in memory. */
const VERY_FEW_RESULTS = 1024;
/** Elements of a row with fewer of which one thread reduces them. */
const FEW_ELEMENTS = 32;

/** A unit of elementwise operators and one other node, whose element is made by a reduction of a constant number of terms. */
function reduction(u: Unit, c: GenericContext): Plan | undefined {
  const [n, ...others] = u.nodes.filter((x) => !isElementwise(c.ops.get(x.op)!));
  if (!n || others.length > 0 || u.roots.length !== 1 || n.results.length !== 1) return undefined;
  if (!sameShape(n.results[0]!.type.shape, u.roots[0]!.type.shape)) return undefined;
  if (![...n.inputs, ...n.results, ...u.node.results].every((v) => isStatic(v.type))) return undefined;
  const op = c.ops.get(n.op)!;
  if (!isCompute(op)) return undefined;
  const types = [n.inputs.map((v) => v.type), n.results.map((v) => v.type)] as const;
  const found: (Scalar & { kind: "reduce" })[] = [];
  some(elementOf(op, ...types, n.attrs, 0), (s) => {
    if (s.kind === "reduce") found.push(s);
    return false;
  });
  const [r] = found;
  if (!r || found.length !== 1 || !canReduce(r.body.type) || !r.over.every(({ extent }) => extent.kind === "const")) return undefined;
  const count = product(r.over.map(({ extent }) => Number((extent as Scalar & { kind: "const" }).value)));
  const total = product(sizes(n));
  const axes = (n.attrs["axes"] as readonly number[] | undefined) ?? (n.op === "arg_reduce" ? [n.attrs["axis"] as number] : undefined);
  const across = axes !== undefined && !axes.includes(innermost(n.inputs[0]!.type.shape as readonly number[]));
  const most = axes ? (across ? FEW_RESULTS : Number.POSITIVE_INFINITY) : n.op === "pool" ? FEW_RESULTS : VERY_FEW_RESULTS;
  if (total === 0 || total >= most || count < FEW_ELEMENTS) return undefined;
  return { reductions: [n], axes: [], count, across };
}

/** A team of threads for each row; undefined for units that are none of these. */
export function lowerRows(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const plan = rows(u, c) ?? reduction(u, c);
  if (!plan) return undefined;
  const em = new Emitter();
  const operands = u.operands.filter((v) => !isImmediate(c.constantOf(v)));
  const ptrs = new Map(operands.map((v, k) => [v, em.parameter(`x${k}`, "ptr")]));
  const y = em.parameter("y", "ptr");
  const storage = c.storageOf(u.node.results[0]!);
  const { shape } = storage;
  const free = shape.map((d, axis) => (plan.axes.includes(axis) ? 1 : d));
  const total = product(free);
  const teams = teamsFor(plan.count, total, plan.across);
  const team = new Team(em, teams, total, can.device?.swaps);
  const start = em.coordinates(team.row, free, [...free.keys()]);
  let shared = 0;
  const lowering = new ElementLowering(em, {
    ops: c.ops,
    source: sources(u, c, ptrs),
    reduce: (r) => {
      const found = team.reduce(r);
      if (found) shared++;
      return found;
    },
    fault: () => {
      throw new TypeError("a row's operator checks what it reads");
    },
  });
  for (const n of plan.reductions) lowering.value(n.results[0]!, start);
  if (shared < plan.reductions.length) return undefined;
  const put = (coords: readonly Expr[], conditions: readonly (Expr | undefined)[]): void => {
    const value = em.keep(lowering.value(u.roots[0]!, coords));
    const bytes = coords.reduce<Expr>((sum, x, axis) => add(sum, mul(x, i32(storage.strides[axis]!))), i32(storage.offset));
    const { ptr, offset } = em.address(y, bytes);
    const write = (): void => em.emit(store(memoryOf(storage.dtype), ptr, value, offset));
    const conds = conditions.filter((x) => x !== undefined);
    if (conds.length === 0) write();
    else em.branch(conds.reduce(and), write);
  };
  if (plan.axes.length === 0) put(start, [team.isFirst, team.hasRow]);
  else
    team.each(
      plan.axes.map((axis) => shape[axis]!),
      ({ at, inside }) =>
        put(
          start.map((x, axis) => (plan.axes.includes(axis) ? at[plan.axes.indexOf(axis)]! : x)),
          [inside, team.hasRow],
        ),
    );
  const kernel = kernelName(u);
  const params: Param[] = [...operands.map((v, k) => pointer(`x${k}`, "read", c.storageOf(v).bytes)), pointer("y", "write", storage.bytes)];
  const bindings: Binding[] = [
    ...operands.map((v): Binding => ({ kind: "operand", operand: u.operands.indexOf(v) })),
    { kind: "result", result: 0 },
  ];
  const { threads, rows: side } = teams;
  const grid = { workgroups: Math.ceil(total / side), size: threads * side, shared: team.shared };
  const doc = u.nodes.map((n) => n.op).join(", ");
  return {
    kernel,
    functions: [{ name: kernel, doc, params, body: em.body, grid }],
    entry: kernel,
    bindings,
    faults: [],
    why: `${threads} threads at each row, ${side} rows a workgroup`,
  };
}
