// The first stage of a Winograd block: tiles of inputs to factors of its products.

import { add, advance, for_, i32, let_, load, min, mul, pointer, set, store, sub, variable } from "../../../ir/kernel/build.ts";
import type { Func } from "../../../ir/kernel/types.ts";
import { constantProduct } from "./constant-product.ts";
import { names } from "./store-tile.ts";
import { tileColumns } from "./tile-lanes.ts";
import { type Block, k, keeper, overVectors, planeBytes, ptr, side, stageBytes, tx, ty } from "./winograd-block.ts";
import { inputTransform } from "./winograd-matrices.ts";

/** Parameters x (tap 0 of the image), factors, tile, at. */
export function inputStage(block: Block, name: string): Func {
  const { f, plan, size } = block;
  const { shape, source } = f;
  const { fma } = f.spec.target;
  const { m } = plan;
  const n = side(plan);
  const plane = planeBytes(shape.groupIn, size);
  const matrix = inputTransform(m);
  const ids = names();
  const { body: rows, keep } = keeper(() => ids.fresh("r"));
  const row = constantProduct(matrix, tileColumns(m, ptr("xr"), keep), ids, fma);
  const column = constantProduct(
    matrix,
    Array.from({ length: n }, (_, i) => load("f32x4", ptr("tc"), 16 * n * i)),
    ids,
    fma,
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
      overVectors(block, [
        let_("xc", advance(ptr("x"), add(mul(ty, i32(m * source.row)), mul(tx, i32(16 * m))))),
        let_("to", advance(ptr("factors"), mul(k, i32(16)))),
        // Rows below the last one that an output reads are not read.
        let_("last", sub(i32(shape.ho + 1), mul(ty, i32(m)))),
        for_("c", i32(0), i32(shape.groupIn), [
          let_("tr", ptr("tile")),
          for_("r", i32(0), i32(n), [
            let_("xr", advance(ptr("xc"), mul(min(variable("r"), variable("last")), i32(source.row)))),
            ...rows,
            ...row.body,
            ...row.values.map((v, j) => store("f32x4", ptr("tr"), v, 16 * j)),
            set("tr", advance(ptr("tr"), i32(16 * n))),
          ]),
          let_("tc", ptr("tile")),
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
