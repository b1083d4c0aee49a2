// Brings a value from one storage to another: a thread for each element, or each word of them.

import { add, advance, i32, load, lt, mul, pointer, store, team } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import { memoryOf, type Storage, walk } from "../storage.ts";
import type { Lowered } from "../template.ts";
import { SIZE } from "./elements.ts";
import { wordsOf } from "./words.ts";

export function moveElements(from: Storage, to: Storage): Lowered {
  const em = new Emitter();
  const [x, y] = [em.parameter("x", "ptr"), em.parameter("y", "ptr")];
  const words = wordsOf(to);
  const count = words?.count ?? to.shape.reduce((a, b) => a * b, 1);
  const number = em.named("n", add(mul(team("group"), i32(SIZE)), team("rank")));
  const bytes = (s: Storage, coords: readonly Expr[]): Expr =>
    coords.reduce<Expr>((sum, c, axis) => add(sum, mul(c, i32(s.strides[axis]!))), i32(s.offset));
  if (count > 0)
    em.branch(lt(number, i32(count)), () => {
      const read = (coords: readonly Expr[]): Expr => load(memoryOf(from.dtype), advance(x, bytes(from, coords)));
      if (words) return words.store(em, y, number, read);
      const coords = em.coordinates(number, to.shape, walk(to));
      em.emit(store(memoryOf(to.dtype), advance(y, bytes(to, coords)), read(coords)));
    });
  const kernel = `move_${to.dtype}`;
  const params = [pointer("x", "read", from.bytes), pointer("y", "write", to.bytes)];
  const grid = { workgroups: Math.max(1, Math.ceil(count / SIZE)), size: SIZE, shared: [] };
  return {
    kernel,
    functions: [{ name: kernel, doc: `${from.name} to ${to.name}`, params, body: em.body, grid }],
    entry: kernel,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
    ],
    faults: [],
    moves: true,
    why: `moves ${from.name} to ${to.name}`,
  };
}
