// How four neighbours of a result go to memory, through the epilogue: a function that kernels call for each four that they have.

import { add, and, compare, extract, i32, lt, mul, pointer, select, store, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { NotVectorizable } from "../generic/lanes.ts";
import type { Storage } from "../storage.ts";
import type { Binding, Epilogue } from "../template.ts";
import type { Unit } from "../unit.ts";
import { bytesAt, extentOf, isAligned, linear, type Span, vectorsOf } from "./span.ts";

/** A result as a batch of matrices. */
export interface Target {
  readonly storage: Storage;
  readonly batch: Span;
  readonly row: Span;
  readonly column: Span;
  /** The result's coordinates of an element. */
  coords(batch: Expr, row: Expr, column: Expr): readonly Expr[];
  /** What must hold of coordinates besides, where not every row has an element in every column. */
  within?(coords: readonly Expr[]): readonly Expr[];
  /** The same for the first of four columns, which are neighbours along `axis`, where there are four at once. */
  readonly wide?: { readonly axis: number; coords(batch: Expr, row: Expr, quad: Expr): readonly Expr[] };
}

/** What a kernel needs to store: further parameters with their bindings, and the function. */
export interface Put {
  readonly func: Func;
  readonly params: readonly Param[];
  readonly bindings: readonly Binding[];
  /** Arguments for four elements (f32x4) of one row from column 4 `quad` on; those beyond the ends are dropped. */
  args(value: Expr, batch: Expr, row: Expr, quad: Expr): readonly Expr[];
}

/** Whether four neighbours along `axis` of a result of `rank` axes are a whole vector of the operand, or one element. */
export function isLaneSafe(s: Storage, rank: number, axis: number): boolean {
  const own = axis - (rank - s.shape.length);
  if (own < 0 || s.shape[own] === 1) return true;
  const others = s.strides.every((stride, k) => k === own || s.shape[k] === 1 || stride % 16 === 0);
  return s.dtype === "f32" && s.strides[own] === 4 && s.offset % 16 === 0 && others;
}

/** The storages of what an epilogue reads. */
export const epilogueStorages = (u: Unit, epilogue: Epilogue, c: GenericContext): readonly Storage[] =>
  epilogue.bindings.flatMap((b) => (b.kind === "operand" ? [c.storageOf(u.operands[b.operand]!)] : []));

const vectorTarget = (t: Target): Span | undefined =>
  t.wide && t.storage.offset % 16 === 0 && isAligned(t.batch) && isAligned(t.row) ? vectorsOf(t.column) : undefined;

/** The function, four at once where the target says so. Raises NotVectorizable where the epilogue does. */
function build(name: string, t: Target, epilogue: Epilogue, vectors: Span | undefined): Func {
  const em = new Emitter();
  const value = em.parameter("value", "f32x4");
  const y = em.parameter("y", "ptr");
  for (const p of epilogue.params) em.parameter(p.name, p.type);
  const [batch, row, quad] = ["batch", "row", "quad"].map((n) => em.parameter(n, "i32")) as [Expr, Expr, Expr];
  const keep = (e: Expr): Expr => em.named("t", e);
  const base = add(add(i32(t.storage.offset), bytesAt(t.batch, batch)), bytesAt(t.row, row));
  const put = (acc: Expr, offset: Expr, lanes: 1 | 4, coords: readonly Expr[]): void => {
    const site = { coords, offset: linear(offset), displacement: 0, lanes, ...(lanes === 4 ? { axis: t.wide!.axis } : {}) };
    const last = epilogue.apply(acc, site, keep, em);
    em.emit(store(lanes === 4 ? "f32x4" : "f32", { kind: "advance", type: "ptr", ptr: y, bytes: site.offset }, last));
  };
  const inRow = lt(row, i32(extentOf(t.row)));
  if (vectors)
    em.branch(and(inRow, lt(quad, i32(extentOf(vectors)))), () =>
      put(value, add(base, bytesAt(vectors, quad)), 4, t.wide!.coords(batch, row, quad)),
    );
  else
    em.branch(inRow, () => {
      em.loop("lane", i32(0), i32(4), 1, (lane) => {
        const column = em.named("c", add(mul(quad, i32(4)), lane));
        const own = [0, 1, 2].reduceRight((rest, k) => select(compare("eq", lane, i32(k)), extract(value, k), rest), extract(value, 3));
        const coords = t.coords(batch, row, column);
        const inside = [lt(column, i32(extentOf(t.column))), ...(t.within?.(coords) ?? [])].reduce(and);
        em.branch(inside, () => put(own, add(base, bytesAt(t.column, column)), 1, coords));
      });
    });
  const params: Param[] = [
    { name: "value", type: "f32x4" },
    pointer("y", "write", t.storage.bytes),
    ...epilogue.params,
    ...["batch", "row", "quad"].map((n): Param => ({ name: n, type: "i32" })),
  ];
  return { name, params, body: em.body };
}

function putFunction(name: string, t: Target, epilogue: Epilogue): Func {
  const vectors = vectorTarget(t);
  try {
    if (vectors) return build(name, t, epilogue, vectors);
  } catch (e) {
    if (!(e instanceof NotVectorizable)) throw e;
  }
  return build(name, t, epilogue, undefined);
}

/** Stores for a target. Raises NotVectorizable where an epilogue can neither be applied to four elements nor to one. */
export function putOf(name: string, t: Target, epilogue: Epilogue): Put {
  const func = putFunction(name, t, epilogue);
  return {
    func,
    params: [pointer("y", "write", t.storage.bytes), ...epilogue.params],
    bindings: [{ kind: "result", result: 0 }, ...epilogue.bindings],
    args: (value, batch, row, quad) => [
      value,
      variable("y", "ptr"),
      ...epilogue.params.map((p) => variable(p.name, "ptr")),
      batch,
      row,
      quad,
    ],
  };
}
