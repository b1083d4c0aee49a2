// The three stages of Winograd convolution on a block of vectors: input transform, products, output transform with the epilogue.

import {
  add,
  advance,
  compare,
  div,
  fma,
  for_,
  i32,
  if_,
  let_,
  load,
  min,
  mul,
  pointer,
  rem,
  repeat,
  set,
  splat,
  store,
  sub,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, Stmt } from "../../../ir/kernel/types.ts";
import { constantProduct } from "./constant-product.ts";
import { accumulators } from "./conv-blocks.ts";
import { type ConvFrame, tilePlace } from "./conv-sweep.ts";
import { names, startOf, storeTile } from "./store-tile.ts";
import { tileColumns, tileRow } from "./tile-lanes.ts";
import { inputTransform, outputTransform } from "./winograd-matrices.ts";
import { tilesOf, type WinogradPlan } from "./winograd-plan.ts";

/** Bytes between the planes of two points: an odd number of cache lines, so that one column of them does not fall on one set. */
const planeBytes = (channels: number, vectors: number): number => (Math.ceil((channels * vectors * 16) / 128) * 2 + 1) * 64;

const side = (plan: WinogradPlan): number => plan.m + 2;
const points = (plan: WinogradPlan): number => side(plan) ** 2;

/** Memory between the stages, [point][channel][vector], and for one tile between rows and columns. */
export const stageBytes = (f: ConvFrame, plan: WinogradPlan) => {
  const most = Math.max(...plan.blocks.map((b) => b.size));
  return {
    factors: points(plan) * planeBytes(f.shape.groupIn, most),
    sums: points(plan) * planeBytes(f.shape.groupOut, most),
    tile: points(plan) * 16,
  };
};

const ptr = (name: string): Expr => variable(name, "ptr");
const [x, y, factors, sums, tile] = ["x", "y", "factors", "sums", "tile"].map(ptr) as [Expr, Expr, Expr, Expr, Expr];

/** Passes over the vectors of a block; `at` is the first. Row and column of a vector's tiles are `ty` and `tx`. */
const overVectors = (plan: WinogradPlan, size: number, body: readonly Stmt[]): Stmt =>
  for_("k", i32(0), i32(size), [
    let_("ty", div(add(variable("at"), variable("k")), i32(plan.across))),
    let_("tx", rem(add(variable("at"), variable("k")), i32(plan.across))),
    ...body,
  ]);
const [k, ty, tx] = [variable("k"), variable("ty"), variable("tx")];

interface Scope {
  readonly body: Stmt[];
  readonly keep: (value: Expr) => Expr;
}
function scope(fresh: () => string): Scope {
  const body: Stmt[] = [];
  const keep = (value: Expr): Expr => {
    const name = fresh();
    body.push(let_(name, value));
    return variable(name, value.type);
  };
  return { body, keep };
}

/** Parameters x (tap 0 of image n), factors, tile, at. */
export function inputStage(f: ConvFrame, plan: WinogradPlan, size: number, name: string): Func {
  const { shape, source, spec } = f;
  const { m } = plan;
  const n = side(plan);
  const plane = planeBytes(shape.groupIn, size);
  const matrix = inputTransform(m);
  const ids = names();
  const { body: rows, keep } = scope(() => ids.fresh("r"));
  const row = constantProduct(matrix, tileColumns(m, ptr("xr"), keep), ids, spec.target.fma);
  const column = constantProduct(
    matrix,
    Array.from({ length: n }, (_, i) => load("f32x4", ptr("tc"), 16 * n * i)),
    ids,
    spec.target.fma,
  );
  const bytes = stageBytes(f, plan);
  return {
    name,
    doc: `tiles of ${n} x ${n} inputs to factors`,
    params: [
      pointer("x", "read", source.bytes),
      pointer("factors", "write", bytes.factors),
      pointer("tile", "readwrite", bytes.tile),
      { name: "at", type: "i32" },
    ],
    body: [
      overVectors(plan, size, [
        let_("xc", advance(x, add(mul(ty, i32(m * source.row)), mul(tx, i32(16 * m))))),
        let_("to", advance(factors, mul(k, i32(16)))),
        // Rows below the last one that an output reads are not read.
        let_("last", sub(i32(shape.ho + 1), mul(ty, i32(m)))),
        for_("c", i32(0), i32(shape.groupIn), [
          let_("tr", tile),
          for_("r", i32(0), i32(n), [
            let_("xr", advance(ptr("xc"), mul(min(variable("r"), variable("last")), i32(source.row)))),
            ...rows,
            ...row.body,
            ...row.values.map((v, j) => store("f32x4", ptr("tr"), v, 16 * j)),
            set("tr", advance(ptr("tr"), i32(16 * n))),
          ]),
          let_("tc", tile),
          let_("tp", ptr("to")),
          for_("j", i32(0), i32(n), [
            ...column.body,
            ...column.values.map((v, i) => store("f32x4", ptr("tp"), v, i * n * plane)),
            set("tc", advance(ptr("tc"), i32(16))),
            set("tp", advance(ptr("tp"), i32(plane))),
          ]),
          set("xc", advance(ptr("xc"), i32(source.channel))),
          set("to", advance(ptr("to"), i32(16 * size))),
        ]),
      ]),
    ],
  };
}

/** Parameters weights, factors, sums: for each point a product of its weights [M, C] and its factors [C, vectors]. */
export function productsStage(f: ConvFrame, plan: WinogradPlan, size: number, name: string): Func {
  const { groupIn, groupOut } = f.shape;
  const [planeIn, planeOut] = [planeBytes(groupIn, size), planeBytes(groupOut, size)];
  const bytes = stageBytes(f, plan);
  const tiles = plan.channels.map((c, i): Stmt[] => {
    const [weights, to] = [`weights${i}`, `to${i}`];
    const products = tilesOf(plan, size).flatMap((v, j): Stmt[] => {
      const id = `${i}_${j}`;
      const acc = accumulators(c.size, 1, v.size).map((a) => a[0]!.map((e) => ({ ...e, name: `${e.name}_${id}` })));
      const [from, wp, left, at] = [`from${id}`, `w${id}`, `left${id}`, `at${id}`];
      const inputs = Array.from({ length: v.size }, (_, q) => `x${id}_${q}`);
      return [
        for_(
          at,
          i32(v.start),
          i32(v.start + v.size * v.count),
          [
            let_(from, advance(ptr("plane"), mul(variable(at), i32(16)))),
            let_(wp, ptr(weights)),
            let_(left, i32(groupIn)),
            ...acc.flat().map((a) => let_(a.name, startOf(undefined, 0))),
            repeat(
              [
                ...inputs.map((input, q) => let_(input, load("f32x4", ptr(from), 16 * q))),
                ...acc.flatMap((row, r) => [
                  let_(`s${id}_${r}`, splat("f32x4", load("f32", ptr(wp), 4 * r))),
                  ...row.map((a, q) => set(a.name, fma(variable(`s${id}_${r}`, "f32x4"), variable(inputs[q]!, "f32x4"), a))),
                ]),
                set(wp, advance(ptr(wp), i32(4 * c.size))),
                set(from, advance(ptr(from), i32(16 * size))),
                set(left, sub(variable(left), i32(1))),
              ],
              compare("ne", variable(left), i32(0)),
            ),
            ...acc.flatMap((row, r) =>
              row.map((a, q) => store("f32x4", advance(ptr(to), mul(variable(at), i32(16))), a, 16 * (r * size + q))),
            ),
          ],
          v.size,
        ),
      ];
    });
    return [
      let_(to, advance(ptr("result"), i32(16 * size * c.start))),
      for_(`g${i}`, i32(0), i32(c.count), [
        ...products,
        set(weights, advance(ptr(weights), i32(4 * c.size * groupIn))),
        set(to, advance(ptr(to), i32(16 * size * c.size))),
      ]),
    ];
  });
  return {
    name,
    doc: `${points(plan)} products ${groupOut} x ${groupIn} x ${4 * size}`,
    params: [...weightParams(f, plan), pointer("factors", "read", bytes.factors), pointer("sums", "write", bytes.sums)],
    body: [
      let_("plane", factors),
      let_("result", sums),
      ...plan.channels.map((_, i) => let_(`weights${i}`, ptr(`u${i}`))),
      for_("p", i32(0), i32(points(plan)), [
        ...tiles.flat(),
        set("plane", advance(ptr("plane"), i32(planeIn))),
        set("result", advance(ptr("result"), i32(planeOut))),
      ]),
    ],
  };
}

/** Transformed weights, a stream for each run of channels: [point][channels / run's size][C][run's size]. */
export const weightParams = (f: ConvFrame, plan: WinogradPlan): Param[] =>
  plan.channels.map((c, i) => pointer(`u${i}`, "read", 4 * points(plan) * c.size * c.count * f.shape.groupIn));

/** Parameters sums, tile, y, at, n, first, end (output channels), bias if any, and the epilogue's. */
export function outputStage(f: ConvFrame, plan: WinogradPlan, size: number, name: string): Func {
  const { shape, spec, target } = f;
  const { m } = plan;
  const n = side(plan);
  const plane = planeBytes(shape.groupOut, size);
  const matrix = outputTransform(m);
  const ids = names();
  const read = (from: string, step: number): Expr[] => Array.from({ length: n }, (_, i) => load("f32x4", ptr(from), step * i));
  const column = constantProduct(matrix, read("sc", n * plane), ids, spec.target.fma);
  const row = constantProduct(matrix, read("tr", 16), ids, spec.target.fma);
  const { body: finish, keep } = scope(() => ids.fresh("o"));
  const shift = spec.bias ? startOf(ptr("bp"), 0) : undefined;
  const values = tileRow(m, row.values, keep).map((v) => (shift ? keep(add(v, shift)) : v));
  const [image, channel, line] = spec.output.strides as [number, number, number, number];
  const width = 4 * m;
  const place = (last: boolean) => tilePlace(ptr("dst"), variable("here"), variable("ch"), last);
  const where = { n: variable("n"), y: variable("oy"), x: variable("ox") };
  const stored = (vectors: number, last: boolean): Stmt[] =>
    storeTile(target, { ...place(last), ...where }, [[values.slice(0, vectors)]], spec.epilogue, ids);
  const ends = Math.ceil((shape.wo - width * (plan.across - 1)) / 4);
  const cut = shape.wo % width !== 0 || target.gap > 0;
  const end = stored(ends, true);
  const whole = plan.across > 1 || !cut ? stored(m, false) : [];
  const bytes = stageBytes(f, plan);
  const numbers: Param[] = ["at", "n", "first", "end"].map((p) => ({ name: p, type: "i32" }));
  return {
    name,
    doc: `sums to tiles of ${m} x ${m} outputs`,
    params: [
      pointer("sums", "read", bytes.sums),
      pointer("tile", "readwrite", bytes.tile),
      pointer("y", "readwrite", spec.output.bytes),
      ...numbers,
      ...(spec.bias ? [pointer("bias", "read", 4 * shape.m)] : []),
      ...spec.epilogue.params,
    ],
    body: [
      overVectors(plan, size, [
        let_("ox", mul(tx, i32(width))),
        let_("top", mul(ty, i32(m))),
        let_("rows", min(i32(m), sub(i32(shape.ho), variable("top")))),
        let_("from", advance(sums, mul(k, i32(16)))),
        ...(spec.bias ? [let_("bp", ptr("bias"))] : []),
        for_("ch", variable("first"), variable("end"), [
          let_("sc", ptr("from")),
          let_("tc", tile),
          for_("j", i32(0), i32(n), [
            ...column.body,
            ...column.values.map((v, i) => store("f32x4", ptr("tc"), v, 16 * n * i)),
            set("sc", advance(ptr("sc"), i32(plane))),
            set("tc", advance(ptr("tc"), i32(16))),
          ]),
          let_("tr", tile),
          for_("r", i32(0), variable("rows"), [
            ...row.body,
            ...finish,
            let_("oy", add(variable("top"), variable("r"))),
            let_(
              "here",
              [
                mul(variable("n"), i32(image)),
                mul(variable("ch"), i32(channel)),
                mul(variable("oy"), i32(line)),
                mul(variable("ox"), i32(target.lane)),
              ].reduce((sum, e) => add(sum, e), i32(spec.output.offset)),
            ),
            let_("dst", advance(y, variable("here"))),
            ...(!cut ? whole : plan.across === 1 ? end : [if_(compare("lt", tx, i32(plan.across - 1)), whole, end)]),
            set("tr", advance(ptr("tr"), i32(16 * n))),
          ]),
          set("from", advance(ptr("from"), i32(16 * size))),
          ...(spec.bias ? [set("bp", advance(ptr("bp"), i32(4)))] : []),
        ]),
      ]),
    ],
  };
}
