// The generic lowering for devices: a thread for each element of a result, or for a few neighbours, from the meaning of the operators.

import { add, and, i32, lt, mul, pointer, splat, store, team } from "../../../ir/kernel/build.ts";
import { type Expr, type Func, isVector, type Param } from "../../../ir/kernel/types.ts";
import { mapFunc } from "../../../ir/kernel/walk.ts";
import { isStatic } from "../../../ir/types.ts";
import { ElementLowering } from "../generic/element.ts";
import type { ElementOptions } from "../generic/element-options.ts";
import { Emitter } from "../generic/emitter.ts";
import { type GenericContext, isImmediate, kernelName, sources } from "../generic/kernel.ts";
import { NotVectorizable } from "../generic/lanes.ts";
import { isTame } from "../generic/round.ts";
import { memoryOf, type Storage, walk } from "../storage.ts";
import type { Binding, Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { fours } from "./fours.ts";
import { wordsOf } from "./words.ts";

/** Threads of a workgroup that share nothing. */
export const SIZE = 64;
const LANE = "lane";

/** One result of a unit, as a kernel in the making. */
interface Frame {
  readonly u: Unit;
  readonly result: number;
  readonly em: Emitter;
  readonly y: Expr;
  readonly storage: Storage;
  /** A lowering of elements, four at once with `lane`. */
  lowering(lane?: string): ElementLowering;
}

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

const bytesAt = (s: Storage, coords: readonly Expr[]): Expr =>
  coords.reduce<Expr>((sum, x, axis) => add(sum, mul(x, i32(s.strides[axis]!))), i32(s.offset));

/** A piece of work for each thread: how many there are, and what the one of a number is. */
interface Work {
  readonly count: number;
  readonly why: string;
  readonly emit: (number: Expr) => void;
}

/** Four elements to a thread, where all that is read and written lies so. Emitting may raise NotVectorizable. */
function inFours(f: Frame, c: GenericContext): Work | undefined {
  const { u, em, storage } = f;
  const from = fours(u, f.result, c);
  if (from === undefined) return undefined;
  const { shape } = storage;
  const quads = Math.ceil(product(shape.slice(from)) / 4);
  const inner = shape.findLastIndex((d) => d > 1);
  const lane = em.parameter(LANE, "i32");
  return {
    count: product(shape.slice(0, from)) * quads,
    why: "a thread for four elements",
    emit: (number) => {
      const places = em.coordinates(number, [...shape.slice(0, from), quads], [...Array(from + 1).keys()]);
      // Counted along the innermost axis, as if it went on over those around it.
      const coords = shape.map((_, axis) =>
        axis < from ? places[axis]! : axis === inner ? add(mul(places[from]!, i32(4)), lane) : i32(0),
      );
      const value = f.lowering(LANE).value(u.roots[f.result]!, coords);
      const { ptr, offset } = em.address(f.y, bytesAt(storage, coords));
      const type = storage.dtype === "f32" ? "f32x4" : "i32x4";
      em.emit(store(type, ptr, isVector(value.type) ? value : splat(type, value), offset));
    },
  };
}

/** A whole word to a thread, where several elements lie in one. */
function inWords(f: Frame): Work | undefined {
  const { u, em, storage } = f;
  const words = isStatic(u.node.results[f.result]!.type) ? wordsOf(storage) : undefined;
  if (!words) return undefined;
  const lowering = f.lowering();
  return {
    count: words.count,
    why: `a thread for ${words.each} elements`,
    emit: (number) => words.store(em, f.y, number, (coords) => lowering.value(u.roots[f.result]!, coords)),
  };
}

function oneByOne(f: Frame): Work {
  const { u, em, storage } = f;
  const { type } = u.node.results[f.result]!;
  const lowering = f.lowering();
  return {
    count: product(storage.shape),
    why: "a thread for each element",
    emit: (number) => {
      const coords = em.coordinates(number, storage.shape, walk(storage));
      const cuts = type.shape.flatMap((d, axis) => (typeof d === "number" ? [] : [lt(coords[axis]!, lowering.extent(d.value))]));
      const put = (): void => {
        const value = lowering.value(u.roots[f.result]!, coords);
        const { ptr, offset } = em.address(f.y, bytesAt(storage, coords));
        em.emit(store(memoryOf(storage.dtype), ptr, value, offset));
      };
      if (cuts.length === 0) put();
      else em.branch(cuts.reduce(and), put);
    },
  };
}

/** The first of four lanes stands for all: the variable that they are counted by is 0. */
const withoutLane = (f: Func): Func =>
  mapFunc(f, (e): Expr => {
    if (e.kind === "var" && e.name === LANE) return i32(0);
    if (e.kind === "binary" && e.op === "mul" && e.a.kind === "const" && e.a.value === 0) return e.a;
    return e.kind === "advance" && e.bytes.kind === "const" && e.bytes.value === 0 ? e.ptr : e;
  });

/** One result of a unit. Threads are neighbours where elements are. */
function lowerResult(u: Unit, result: number, c: GenericContext, workOf: (f: Frame) => Work | undefined): Lowered | undefined {
  const em = new Emitter();
  const faults: string[] = [];
  const operands = u.operands.filter((v) => !isImmediate(c.constantOf(v)));
  const ptrs = new Map(operands.map((v, k) => [v, em.parameter(`x${k}`, "ptr")]));
  const out = u.node.results[result]!;
  const storage = c.storageOf(out);
  const y = em.parameter("y", "ptr");
  const options: ElementOptions = {
    ops: c.ops,
    tame: isTame(u.nodes, u.operands, c.constantOf),
    loose: c.loose,
    source: sources(u, c, ptrs),
    fault: (sentence) => {
      const known = faults.indexOf(sentence);
      return known >= 0 ? known : faults.push(sentence) - 1;
    },
  };
  const lowering = (lane?: string) => new ElementLowering(em, { ...options, ...(lane === undefined ? {} : { lane }) });
  const work = workOf({ u, result, em, y, storage, lowering });
  if (!work) return undefined;
  const number = em.named("n", add(mul(team("group"), i32(SIZE)), team("rank")));
  if (work.count > 0) em.branch(lt(number, i32(work.count)), () => work.emit(number));
  const kernel = `${kernelName(u)}${u.roots.length > 1 ? `_${result}` : ""}`;
  const params: Param[] = [...operands.map((v, k) => pointer(`x${k}`, "read", c.storageOf(v).bytes)), pointer("y", "write", storage.bytes)];
  const bindings: Binding[] = [
    ...operands.map((v): Binding => ({ kind: "operand", operand: u.operands.indexOf(v) })),
    { kind: "result", result },
  ];
  const grid = { workgroups: Math.max(1, Math.ceil(work.count / SIZE)), size: SIZE, shared: [] };
  const doc = u.nodes.map((n) => n.op).join(", ");
  return {
    kernel,
    functions: [withoutLane({ name: kernel, doc, params, body: em.body, grid })],
    entry: kernel,
    bindings,
    faults,
    why: work.why,
  };
}

/** A kernel for each result. Needs `isGeneric(u)`. */
export const lowerElements = (u: Unit, c: GenericContext): Lowered[] =>
  u.roots.map((_, result) => {
    try {
      const lowered = lowerResult(u, result, c, (f) => inFours(f, c));
      if (lowered) return lowered;
    } catch (e) {
      if (!(e instanceof NotVectorizable)) throw e;
    }
    return lowerResult(u, result, c, (f) => inWords(f) ?? oneByOne(f))!;
  });
