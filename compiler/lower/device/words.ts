// Narrow elements as the whole words that a device stores: stores of a part of one are slow, and disturb others.

import { add, i32, min, mul, store } from "../../../ir/kernel/build.ts";
import { type Expr, MEMORY_BYTES } from "../../../ir/kernel/types.ts";
import type { Emitter } from "../generic/emitter.ts";
import { memoryOf, type Storage, walk } from "../storage.ts";
import { isWhole } from "./fours.ts";

/** Bytes of the least that a device stores. */
const WORD = 4;

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

export interface Words {
  /** Elements of a word, and words of the storage. */
  readonly each: number;
  readonly count: number;
  /** Computes and stores the elements of word `number`. Behind the last one of a row is room: that one stands there again. */
  store(em: Emitter, y: Expr, number: Expr, value: (coords: readonly Expr[]) => Expr): void;
}

/** The words of a storage, or undefined where elements are words, or other values' lie in theirs. */
export function wordsOf(s: Storage): Words | undefined {
  const size = MEMORY_BYTES[memoryOf(s.dtype)];
  if (size >= WORD) return undefined;
  return isWhole(s) ? rowMajor(s, size) : along(s, size);
}

/** Stores elements into the word at byte `at` of the result. */
function put(em: Emitter, s: Storage, y: Expr, at: Expr, values: readonly Expr[]): void {
  const memory = memoryOf(s.dtype);
  values.forEach((value, k) => {
    const { ptr, offset } = em.address(y, add(at, i32(k * MEMORY_BYTES[memory])));
    em.emit(store(memory, ptr, value, offset));
  });
}

/** All elements one after the other. */
function rowMajor(s: Storage, size: number): Words {
  const [each, count] = [WORD / size, product(s.shape)];
  const axes = [...s.shape.keys()];
  return {
    each,
    count: Math.ceil(count / each),
    store(em, y, number, value) {
      const first = em.named("n", mul(number, i32(each)));
      const values = Array.from({ length: each }, (_, k) => {
        const next = add(first, i32(k));
        const own = em.named("n", k === 0 || count % each === 0 ? next : min(next, i32(count - 1)));
        return em.keep(value(em.coordinates(own, s.shape, axes)));
      });
      put(em, s, y, mul(number, i32(WORD)), values);
    },
  };
}

/** Rows of neighbours, each from a whole word on. */
function along(s: Storage, size: number): Words | undefined {
  const each = WORD / size;
  const several = s.strides.findIndex((d, k) => d === size && s.shape[k]! > 1);
  const axis = several < 0 ? s.strides.indexOf(size) : several;
  if (axis < 0 || s.offset % WORD !== 0) return undefined;
  const extent = s.shape[axis]!;
  const words = Math.ceil(extent / each);
  const others = s.strides.filter((_, k) => k !== axis && s.shape[k]! > 1);
  if (!others.every((d) => d % WORD === 0)) return undefined;
  if (extent % each !== 0 && (s.part === true || others.some((d) => d < words * WORD))) return undefined;
  const shape = s.shape.with(axis, words);
  const order = [...walk(s).filter((k) => k !== axis), axis];
  return {
    each,
    count: product(shape),
    store(em, y, number, value) {
      const coords = em.coordinates(number, shape, order);
      const first = em.named("c", mul(coords[axis]!, i32(each)));
      const values = Array.from({ length: each }, (_, k) => {
        const next = add(first, i32(k));
        return em.keep(value(coords.with(axis, k === 0 || extent % each === 0 ? next : min(next, i32(extent - 1)))));
      });
      const at = s.strides.reduce<Expr>((sum, d, k) => add(sum, mul(coords[k]!, i32(k === axis ? WORD : d))), i32(s.offset));
      put(em, s, y, at, values);
    },
  };
}
