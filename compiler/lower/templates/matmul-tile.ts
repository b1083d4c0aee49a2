// Register tiles of dense matrix products: rows of A are splat, vectors of B and of the result run along the columns.

import {
  add,
  advance,
  callStmt,
  compare,
  fma,
  for_,
  i32,
  let_,
  load,
  mul,
  pointer,
  repeat,
  set,
  splat,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import { mostEven } from "../split.ts";
import type { Storage } from "../storage.ts";
import type { Epilogue } from "../template.ts";
import { accumulators } from "./conv-blocks.ts";
import { startOf, storeTile, type Target, targetOf } from "./store-tile.ts";
import { planShared, type Segment, type TilePlan } from "./tiles.ts";

/** Distances in bytes between rows and along the depth K. */
export interface Left {
  readonly bytes: number;
  readonly row: number;
  readonly depth: number;
}

/** Vectors of columns: `size` of them lie together, `row(size)` bytes after those of the depth before; vector v begins at v * vector. */
export interface Right {
  readonly bytes: number;
  readonly vector: number;
  row(size: number): number;
}

export interface ProductSpec {
  readonly name: string;
  readonly rows: number;
  readonly depth: number;
  readonly left: Left;
  readonly right: Right;
  /** The result seen as [1, rows, 1, columns]. */
  readonly output: Storage;
  /** A vector of first summands for each vector of columns, behind a parameter of this name. */
  readonly bias?: PointerParam;
  /** Its sites have the coordinates [batch, row, 0, column]. */
  readonly epilogue: Epilogue;
  readonly plan: TilePlan;
  /** Which tiles a team shares out; nothing, where whole products are. */
  readonly split?: "rows" | "vectors" | undefined;
}

/** Which tiles of a product are shared out evenly: those of vectors, each with columns of its own, or of rows. */
export const splitProduct = (plan: TilePlan): "rows" | "vectors" =>
  mostEven([
    ["vectors", plan.vectors.map(({ size, count }) => ({ count, cost: size }))],
    ["rows", plan.channels.map(({ size, count }) => ({ count, cost: size }))],
  ]);

/** Tiles of a product; each vector of columns belongs to one segment. */
export const planProduct = (rows: number, columns: number, depth: number, can: Capabilities): TilePlan =>
  planShared(
    {
      rows: 1,
      vectors: Math.ceil(columns / 4),
      outputs: rows,
      channels: depth,
      // Packed, the vectors of a tile fill the cache by themselves.
      channelBytes: 32,
      rowBytes: 0,
      rowStep: 1,
      tapRows: 1,
      tapBytes: 4,
      taps: rows * depth,
    },
    rows,
    can,
  );

type Place = "at" | "batch" | "row" | "column";
const PLACE: readonly Param[] = (["at", "batch", "row", "column"] satisfies Place[]).map((name) => ({ name, type: "i32" }));
const argument = (p: Param): Expr => variable(p.name, p.type);

function tileBody(s: ProductSpec, target: Target, rows: number, vectors: number, last: boolean): Stmt[] {
  const [ap, bp, left] = [variable("ap", "ptr"), variable("bp", "ptr"), variable("left")];
  const acc = accumulators(rows, 1, vectors);
  const columns = Array.from({ length: vectors }, (_, v) => variable(`b${v}`, "f32x4"));
  const bias = s.bias && variable(s.bias.name, "ptr");
  const start = (v: number): Expr => (bias ? load("f32x4", advance(bias, mul(variable("column"), i32(4))), 16 * v) : startOf(undefined, 0));
  const place = {
    dst: variable("y", "ptr"),
    at: variable("at"),
    n: variable("batch"),
    channel: variable("row"),
    y: i32(0),
    x: variable("column"),
    last,
  };
  return [
    ...acc.flatMap((row) => row[0]!.map((a, v) => let_(a.name, start(v)))),
    let_("ap", variable("a", "ptr")),
    let_("bp", variable("b", "ptr")),
    let_("left", i32(s.depth)),
    repeat(
      [
        ...columns.map((b, v) => let_((b as Expr & { kind: "var" }).name, load("f32x4", bp, 16 * v))),
        ...acc.flatMap((row, r) => [
          let_(`a${r}`, splat("f32x4", load("f32", ap, r * s.left.row))),
          ...row[0]!.map((sum, v) => set(sum.name, fma(variable(`a${r}`, "f32x4"), columns[v]!, sum))),
        ]),
        set("ap", advance(ap, i32(s.left.depth))),
        set("bp", advance(bp, i32(s.right.row(vectors)))),
        set("left", add(left, i32(-1))),
      ],
      compare("ne", left, i32(0)),
    ),
    ...storeTile(target, place, acc, s.epilogue),
  ];
}

/**
 * The functions of one product, the last of which, called `name`, takes pointers to A, B and the start of the result's buffer, the byte of the
 * result's first element, the batch's number, and the bias and the epilogue's operands.
 */
export function product(s: ProductSpec): Func[] {
  const target = targetOf(s.output);
  const { plan } = s;
  const passed: readonly Param[] = [...(s.bias ? [s.bias] : []), ...s.epilogue.params];
  const buffers = [pointer("a", "read", s.left.bytes), pointer("b", "read", s.right.bytes), pointer("y", "readwrite", s.output.bytes)];
  const tiles = new Map<string, Func>();
  const tileName = (rows: number, vectors: number, last: boolean): string => {
    const name = `${s.name}_${rows}x${vectors}${last ? "_end" : ""}`;
    if (!tiles.has(name))
      tiles.set(name, { name, params: [...buffers, ...PLACE, ...passed], body: tileBody(s, target, rows, vectors, last) });
    return name;
  };
  const rowStride = s.output.strides[1]!;
  const [a, b, y] = ["a", "b", "y"].map((name) => variable(name, "ptr")) as [Expr, Expr, Expr];

  const down = (vectors: number, last: boolean, ys: Segment, v: Expr, id: string): Stmt => {
    const [row, at] = [variable(`row${id}`), variable(`at${id}`)];
    return for_(
      `row${id}`,
      i32(ys.start),
      i32(ys.start + ys.size * ys.count),
      [
        let_(`at${id}`, add(variable("at"), add(mul(row, i32(rowStride)), mul(v, i32(4 * target.lane))))),
        callStmt(tileName(ys.size, vectors, last), [
          advance(a, mul(row, i32(s.left.row))),
          advance(b, mul(v, i32(s.right.vector))),
          advance(y, at),
          ...[at, variable("batch"), row, mul(v, i32(4))],
          ...passed.map(argument),
        ]),
      ],
      ys.size,
      s.split === "rows" ? ys.size : undefined,
    );
  };

  const body = plan.vectors.flatMap((xs, j) => {
    const ends = j === plan.vectors.length - 1 && target.ends;
    const before = ends ? xs.count - 1 : xs.count;
    const loop = (from: number, count: number, last: boolean, id: string): Stmt =>
      for_(
        `v${id}`,
        i32(from),
        i32(from + xs.size * count),
        plan.channels.map((ys, i) => down(xs.size, last, ys, variable(`v${id}`), `${id}_${i}`)),
        xs.size,
        s.split === "vectors" ? xs.size : undefined,
      );
    return [
      ...(before > 0 ? [loop(xs.start, before, false, `${j}`)] : []),
      ...(ends ? [loop(xs.start + xs.size * before, 1, true, `${j}_end`)] : []),
    ];
  });
  const range: readonly Param[] = ["at", "batch"].map((name) => ({ name, type: "i32" }));
  return [...tiles.values(), { name: s.name, params: [...buffers, ...range, ...passed], body }];
}
