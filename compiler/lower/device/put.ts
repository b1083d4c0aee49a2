// How four neighbours of a result go to memory, through the epilogue: a function that kernels call for each four that they have.

import { add, and, compare, extract, i32, lt, mul, pointer, select, store, variable } from "../../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES, type MemoryType, type Param } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { NotVectorizable } from "../generic/lanes.ts";
import { memoryOf, type Storage } from "../storage.ts";
import type { Binding, Epilogue } from "../template.ts";
import type { Unit } from "../unit.ts";
import type { Arithmetic } from "./arithmetic.ts";
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
  /** Arguments for four elements of one row from column 4 `quad` on; those beyond the ends are dropped. */
  args(value: Expr, batch: Expr, row: Expr, quad: Expr): readonly Expr[];
}

/** How four neighbours lie in memory, where they can be loaded and stored at once. */
const FOUR: Readonly<Partial<Record<MemoryType, MemoryType>>> = { f32: "f32x4", i32: "i32x4", u8: "u8x4", i8: "i8x4" };

/** Whether four neighbours along `axis` of a result of `rank` axes are a whole vector of the operand, or one element. */
export function isLaneSafe(s: Storage, rank: number, axis: number): boolean {
  const own = axis - (rank - s.shape.length);
  if (own < 0 || s.shape[own] === 1) return true;
  const memory = memoryOf(s.dtype);
  const size = MEMORY_BYTES[memory];
  const others = s.strides.every((stride, k) => k === own || s.shape[k] === 1 || stride % (4 * size) === 0);
  return FOUR[memory] !== undefined && s.strides[own] === size && s.offset % (4 * size) === 0 && others;
}

/** What a template has summed four of. */
type Sums = Arithmetic["vector"];

/** The storages of what an epilogue reads. */
export const epilogueStorages = (u: Unit, epilogue: Epilogue, c: GenericContext): readonly Storage[] =>
  epilogue.bindings.flatMap((b) => (b.kind === "operand" ? [c.storageOf(u.operands[b.operand]!)] : []));

function vectorTarget(t: Target): Span | undefined {
  const memory = memoryOf(t.storage.dtype);
  const size = MEMORY_BYTES[memory];
  const whole = FOUR[memory] !== undefined && t.storage.offset % (4 * size) === 0 && isAligned(t.batch, size) && isAligned(t.row, size);
  return t.wide && whole ? vectorsOf(t.column, size) : undefined;
}

/** The function, four at once where the target says so. Raises NotVectorizable where the epilogue does. */
function build(name: string, t: Target, epilogue: Epilogue, sums: Sums, vectors: Span | undefined): Func {
  const em = new Emitter();
  const value = em.parameter("value", sums);
  const memory = memoryOf(t.storage.dtype);
  const y = em.parameter("y", "ptr");
  for (const p of epilogue.params) em.parameter(p.name, p.type);
  const [batch, row, quad] = ["batch", "row", "quad"].map((n) => em.parameter(n, "i32")) as [Expr, Expr, Expr];
  const keep = (e: Expr): Expr => em.named("t", e);
  const base = add(add(i32(t.storage.offset), bytesAt(t.batch, batch)), bytesAt(t.row, row));
  const put = (acc: Expr, offset: Expr, lanes: 1 | 4, coords: readonly Expr[]): void => {
    const site = { coords, offset: linear(offset), displacement: 0, lanes, ...(lanes === 4 ? { axis: t.wide!.axis } : {}) };
    const last = epilogue.apply(acc, site, keep, em);
    em.emit(store(lanes === 4 ? FOUR[memory]! : memory, { kind: "advance", type: "ptr", ptr: y, bytes: site.offset }, last));
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
    { name: "value", type: sums },
    pointer("y", "write", t.storage.bytes),
    ...epilogue.params,
    ...["batch", "row", "quad"].map((n): Param => ({ name: n, type: "i32" })),
  ];
  return { name, params, body: em.body };
}

function putFunction(name: string, t: Target, epilogue: Epilogue, sums: Sums): Func {
  const vectors = vectorTarget(t);
  try {
    if (vectors) return build(name, t, epilogue, sums, vectors);
  } catch (e) {
    if (!(e instanceof NotVectorizable)) throw e;
  }
  return build(name, t, epilogue, sums, undefined);
}

/** Stores for a target. Raises NotVectorizable where an epilogue can neither be applied to four elements nor to one. */
export function putOf(name: string, t: Target, epilogue: Epilogue, sums: Sums = "f32x4"): Put {
  const func = putFunction(name, t, epilogue, sums);
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
