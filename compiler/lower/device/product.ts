// Tiled products: a workgroup brings tiles of both sides to shared memory, and each of its threads sums a block of the result in registers.

import {
  add,
  barrier,
  callStmt,
  compare,
  div,
  extract,
  i32,
  load,
  lt,
  mul,
  rem,
  select,
  shuffle,
  splat,
  store,
  team,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, SharedArray } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import { type Arithmetic, floats } from "./arithmetic.ts";
import type { Side } from "./operand.ts";
import type { Put } from "./put.ts";
import { type Tiling, threadsOf } from "./tiling.ts";

export interface Product {
  readonly name: string;
  readonly doc: string;
  readonly batches: number;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly left: Side;
  readonly right: Side;
  readonly tiling: Tiling;
  readonly put: Put;
  /** Floats, where left out. */
  readonly arithmetic?: Arithmetic;
  /** First summands of four rows, the same along a row; or of four columns. */
  readonly start?: Start;
  readonly startOf?: "rows" | "columns";
}

/** Reads what the sums of four results start with. */
export type Start = (em: Emitter, batch: Expr, quad: Expr) => Expr;

/** Columns of four rows of four. */
export function transposed(em: Emitter, rows: readonly Expr[]): Expr[] {
  const [a, b, c, d] = rows as [Expr, Expr, Expr, Expr];
  const pick = (x: Expr, y: Expr, lanes: readonly number[]): Expr => em.named("t", shuffle(x, y, lanes));
  const [low, low2] = [pick(a, b, [0, 4, 1, 5]), pick(c, d, [0, 4, 1, 5])];
  const [high, high2] = [pick(a, b, [2, 6, 3, 7]), pick(c, d, [2, 6, 3, 7])];
  return [pick(low, low2, [0, 1, 4, 5]), pick(low, low2, [2, 3, 6, 7]), pick(high, high2, [0, 1, 4, 5]), pick(high, high2, [2, 3, 6, 7])];
}

/** A tile of one side in shared memory: [depth][fours of lines], or where it is deep, each line's fours, four lines apart by one more. */
interface Tile {
  /** Vectors of shared memory that it takes. */
  readonly length: number;
  /** Reads this thread's part of the tile that starts at depth `round` tiles, and gives the statements that share it. */
  fetch(round: Expr): () => void;
  /** For `step` depths from slice-wide number `at` on: the four lines (or, deep, four depths) `k` of quad `quad`. */
  read(quad: Expr, at: Expr, k: number): Expr;
}

/** The one array of shared memory, of vectors: both sides' tiles, and what slices summed once these are done with. */
const SHARED = "tile";
const vector = (em: Emitter, index: Expr): { readonly ptr: Expr; readonly offset: number } =>
  em.address(variable(SHARED, "ptr"), mul(index, i32(16)));
const readVector = (em: Emitter, index: Expr, memory: Arithmetic["vector"]): Expr => {
  const { ptr, offset } = vector(em, index);
  return em.named("s", load(memory, ptr, offset));
};
const writeVector = (em: Emitter, index: Expr, value: Expr): void => {
  const { ptr, offset } = vector(em, index);
  em.emit(store(value.type as Arithmetic["vector"], ptr, value, offset));
};

/** The tile whose vectors start at number `from`. */
function tileOf(
  em: Emitter,
  from: number,
  side: Side,
  extent: number,
  t: Tiling,
  memory: Arithmetic["vector"],
  [batch, first, rank]: readonly [batch: Expr, first: Expr, rank: Expr],
): Tile {
  const threads = threadsOf(t);
  const quads = extent / 4;
  const along = t.depth / 4;
  const total = quads * t.depth;
  const rounds = Math.ceil(total / threads);
  const inner = side.deep ? along : quads;
  const [x0, y0] = threads === inner ? [rank, i32(0)] : (em.coordinates(rank, [threads / inner, inner], [0, 1]).reverse() as [Expr, Expr]);
  const steps = Array.from({ length: rounds }, (_, k) => add(y0, i32((k * threads) / inner)));
  // Along the lines, a thread's fours are all of the same lines.
  const lines = side.deep ? steps.map((s) => side.open(em, batch, add(mul(first, i32(4)), s))) : [side.open(em, batch, add(first, x0))];
  const slot = (k: number): Expr => {
    const own = add(rank, i32(from + k * threads));
    return side.deep ? add(own, div(steps[k]!, i32(4))) : own;
  };
  return {
    length: side.deep ? quads * (t.depth + 1) : total,
    fetch(round) {
      const values = steps.map((s, k) => {
        const depth = side.deep ? add(mul(round, i32(along)), x0) : add(mul(round, i32(t.depth)), s);
        return lines[side.deep ? k : 0]!(depth);
      });
      return () =>
        values.forEach((value, k) => {
          const put = (): void => writeVector(em, slot(k), value);
          if ((k + 1) * threads <= total) put();
          else em.branch(lt(rank, i32(total - k * threads)), put);
        });
    },
    read(quad, at, k) {
      const index = side.deep
        ? add(add(mul(quad, i32(t.depth + 1)), i32(k * along)), at)
        : add(add(mul(at, i32(quads)), quad), i32(k * quads));
      return readVector(em, add(index, i32(from)), memory);
    },
  };
}

/** The functions of a tiled product, its entry last. */
export function tiledProduct(p: Product): readonly Func[] {
  const { left, right, tiling: t, put, arithmetic = floats } = p;
  const { vector: four, zero } = arithmetic;
  const em = new Emitter();
  const params = [...left.params, ...right.params, ...put.params];
  for (const x of params) em.parameter(x.name, x.type);
  em.parameter(SHARED, "ptr");
  const [down, across] = [t.rows / (4 * t.high), t.columns / (4 * t.wide)];
  const tiles = [p.batches, Math.ceil(p.rows / t.rows), Math.ceil(p.columns / t.columns)];
  const [batch, tileRow, tileColumn] = em.coordinates(team("group"), tiles, [0, 1, 2]) as [Expr, Expr, Expr];
  const rank = em.named("rank", team("rank"));
  const [slice, y, x] = em.coordinates(rank, [t.slices, down, across], [0, 1, 2]) as [Expr, Expr, Expr];
  const firstRow = mul(tileRow, i32(t.rows / 4));
  const firstColumn = mul(tileColumn, i32(t.columns / 4));
  const a = tileOf(em, 0, left, t.rows, t, four, [batch, firstRow, rank]);
  const b = tileOf(em, a.length, right, t.columns, t, four, [batch, firstColumn, rank]);

  const rowQuads = Array.from({ length: t.high }, (_, h) => add(y, i32(h * down)));
  const columnQuads = Array.from({ length: t.wide }, (_, g) => add(x, i32(g * across)));
  const byColumns = p.startOf === "columns";
  const [quads, firstQuad] = byColumns ? [columnQuads, firstColumn] : [rowQuads, firstRow];
  const starts = quads.map((q) => p.start && em.named("b", p.start(em, batch, add(firstQuad, q))));
  const sums = rowQuads.map((_, h) =>
    [0, 1, 2, 3].map((i) =>
      columnQuads.map((_, g) => {
        const first = byColumns ? starts[g] : starts[h] && splat(four, extract(starts[h], i));
        return em.mutable("acc", !first ? zero : t.slices === 1 ? first : select(compare("eq", slice, i32(0)), first, zero));
      }),
    ),
  );

  const rounds = Math.ceil(p.depth / t.depth);
  const step = left.deep || right.deep ? 4 : 1;
  const own = t.depth / t.slices / step;
  em.loop("round", i32(0), i32(rounds), 1, (round) => {
    const shares = [a.fetch(round), b.fetch(round)];
    // Everyone is done with the tiles of the round before.
    if (rounds > 1) em.emit(barrier);
    for (const share of shares) share();
    em.emit(barrier);
    em.loop("k", i32(0), i32(own), 1, (k) => {
      const at = add(mul(slice, i32(own)), k);
      const fours = (tile: Tile, side: Side, quad: Expr): Expr[] =>
        Array.from({ length: step }, (_, j) => tile.read(quad, side.deep || step === 1 ? at : mul(at, i32(4)), j));
      const rows = rowQuads.map((q) => fours(a, left, q));
      const columns = columnQuads.map((q) => {
        const found = fours(b, right, q);
        return right.deep ? transposed(em, found) : found;
      });
      for (let j = 0; j < step; j++)
        sums.forEach((four, h) =>
          four.forEach((row, i) =>
            row.forEach((acc, g) => {
              const factor = left.deep ? extract(rows[h]![i]!, j) : extract(rows[h]![j]!, i);
              acc.assign(arithmetic.multiplyAdd(factor, columns[g]![j]!, acc.read));
            }),
          ),
        );
    });
  });

  const line = (block: Expr): Expr => add(mul(add(firstRow, y), i32(4)), block);
  const put4 = (value: Expr, row: Expr, quad: Expr): void =>
    em.emit(callStmt(put.func.name, put.args(value, batch, row, add(firstColumn, quad))));
  // In loops, so that what follows the product is written once.
  if (t.slices === 1)
    columnQuads.forEach((quad, g) =>
      em.loop("r", i32(0), i32(4 * t.high), 1, (r) => {
        const rows = sums.flatMap((four) => four.map((row) => row[g]!.read));
        const value = rows.reduceRight((rest, acc, k) => select(compare("eq", r, i32(k)), acc, rest));
        put4(value, line(t.high === 1 ? r : add(mul(div(r, i32(4)), i32(4 * down)), rem(r, i32(4)))), quad);
      }),
    );
  else {
    // Slices share what they summed; then each adds up some of the rows.
    const members = down * across;
    const mine = em.named("mine", rem(rank, i32(members)));
    em.emit(barrier);
    sums.flat(2).forEach((sum, i) => writeVector(em, add(add(mul(slice, i32(4 * members)), mine), i32(i * members)), sum.read));
    em.emit(barrier);
    em.loop("r", i32(0), i32(4 / t.slices), 1, (r) => {
      const row = add(mul(slice, i32(4 / t.slices)), r);
      const parts = Array.from({ length: t.slices }, (_, s) =>
        readVector(em, add(add(mul(row, i32(members)), mine), i32(4 * s * members)), four),
      );
      put4(parts.reduce(add), line(row), columnQuads[0]!);
    });
  }
  const length = Math.max(a.length + b.length, t.slices === 1 ? 0 : 4 * threadsOf(t));
  const shared: SharedArray = { name: SHARED, memory: four, length };
  const grid = { workgroups: tiles.reduce((n, d) => n * d, 1), size: threadsOf(t), shared: [shared] };
  const entry: Func = { name: p.name, doc: p.doc, params, body: em.body, grid };
  return [put.func, ...arithmetic.functions, entry];
}
