// The third stage of a Winograd block: sums of products to tiles of outputs, through the epilogue into the result.

import {
  add,
  advance,
  compare,
  for_,
  i32,
  if_,
  let_,
  load,
  min,
  mul,
  pointer,
  set,
  store,
  sub,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, Stmt } from "../../../ir/kernel/types.ts";
import { constantProduct } from "./constant-product.ts";
import { tilePlace } from "./conv-sweep.ts";
import { names, startOf, storeTile } from "./store-tile.ts";
import { tileRow } from "./tile-lanes.ts";
import { type Block, k, keeper, overVectors, planeBytes, ptr, side, stageBytes, tx, ty } from "./winograd-block.ts";
import { outputTransform } from "./winograd-matrices.ts";

/** Parameters sums, tile, y, at, n, first, end (output channels), bias if any, and the epilogue's. */
export function outputStage(block: Block, name: string): Func {
  const { f, plan, size } = block;
  const { shape, spec, target } = f;
  const { fma } = spec.target;
  const { m } = plan;
  const n = side(plan);
  const plane = planeBytes(shape.groupOut, size);
  const matrix = outputTransform(m);
  const ids = names();
  const read = (from: string, step: number): Expr[] => Array.from({ length: n }, (_, i) => load("f32x4", ptr(from), step * i));
  const column = constantProduct(matrix, read("sc", n * plane), ids, fma);
  const row = constantProduct(matrix, read("tr", 16), ids, fma);
  const { body: finish, keep } = keeper(() => ids.fresh("o"));
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
      overVectors(block, [
        let_("ox", mul(tx, i32(width))),
        let_("top", mul(ty, i32(m))),
        let_("rows", min(i32(m), sub(i32(shape.ho), variable("top")))),
        let_("from", advance(ptr("sums"), mul(k, i32(16)))),
        ...(spec.bias ? [let_("bp", ptr("bias"))] : []),
        for_("ch", variable("first"), variable("end"), [
          let_("sc", ptr("from")),
          let_("tc", ptr("tile")),
          for_("j", i32(0), i32(n), [
            ...column.body,
            ...column.values.map((v, i) => store("f32x4", ptr("tc"), v, 16 * n * i)),
            set("sc", advance(ptr("sc"), i32(plane))),
            set("tc", advance(ptr("tc"), i32(16))),
          ]),
          let_("tr", ptr("tile")),
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
            let_("dst", advance(ptr("y"), variable("here"))),
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
