// The second stage of a Winograd block: for each point, a small product of matrices.

import {
  advance,
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
  store,
  sub,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Func, Param, Stmt } from "../../../ir/kernel/types.ts";
import { accumulators } from "./conv-blocks.ts";
import type { ConvFrame } from "./conv-sweep.ts";
import { startOf } from "./store-tile.ts";
import type { Segment } from "./tiles.ts";
import { type Block, planeBytes, points, ptr, stageBytes } from "./winograd-block.ts";
import { tilesOf, type WinogradPlan } from "./winograd-plan.ts";

/** Transformed weights of a run of output channels: [point][channels / run's size][C][run's size]. */
export const weightsParam = (f: ConvFrame, plan: WinogradPlan, run: Segment): Param =>
  pointer("weights", "read", 4 * points(plan) * run.size * run.count * f.shape.groupIn);

/** Sums of all input channels, for a run of output channels and vectors \`v\` of the block. */
function tile(block: Block, run: Segment, v: Segment, id: number): Stmt {
  const { f, size } = block;
  const acc = accumulators(run.size, 1, v.size).map((rows) => rows[0]!.map((a) => ({ ...a, name: `${a.name}_${id}` })));
  const [from, wp, left, at] = [`from${id}`, `w${id}`, `left${id}`, `at${id}`];
  const inputs = Array.from({ length: v.size }, (_, i) => `x${id}_${i}`);
  const weight = (r: number): string => `weight${id}_${r}`;
  return for_(
    at,
    i32(v.start),
    i32(v.start + v.size * v.count),
    [
      let_(from, advance(ptr("plane"), mul(variable(at), i32(16)))),
      let_(wp, ptr("group")),
      let_(left, i32(f.shape.groupIn)),
      ...acc.flat().map((a) => let_(a.name, startOf(undefined, 0))),
      repeat(
        [
          ...inputs.map((input, i) => let_(input, load("f32x4", ptr(from), 16 * i))),
          ...acc.flatMap((row, r) => [
            let_(weight(r), splat("f32x4", load("f32", ptr(wp), 4 * r))),
            ...row.map((a, i) => set(a.name, fma(variable(weight(r), "f32x4"), variable(inputs[i]!, "f32x4"), a))),
          ]),
          set(wp, advance(ptr(wp), i32(4 * run.size))),
          set(from, advance(ptr(from), i32(16 * size))),
          set(left, sub(variable(left), i32(1))),
        ],
        compare("ne", variable(left), i32(0)),
      ),
      ...acc.flatMap((row, r) => row.map((a, i) => store("f32x4", advance(ptr("to"), mul(variable(at), i32(16))), a, 16 * (r * size + i)))),
    ],
    v.size,
  );
}

/**
 * Parameters weights, factors, sums: for each point the product of the weights of a run of output channels and the factors [C, vectors]. One
 * function for each run: in one for all, V8 keeps addresses of one loop for the next, on the stack.
 */
export function productsStage(block: Block, run: Segment, name: string): Func {
  const { f, plan, size } = block;
  const { groupIn, groupOut } = f.shape;
  const bytes = stageBytes(f, plan);
  return {
    name,
    doc: `${points(plan)} products ${run.size * run.count} x ${groupIn} x ${4 * size}`,
    params: [weightsParam(f, plan, run), pointer("factors", "read", bytes.factors), pointer("sums", "write", bytes.sums)],
    body: [
      let_("plane", ptr("factors")),
      let_("result", advance(ptr("sums"), i32(16 * size * run.start))),
      let_("group", ptr("weights")),
      for_("p", i32(0), i32(points(plan)), [
        let_("to", ptr("result")),
        for_("g", i32(0), i32(run.count), [
          ...tilesOf(plan, size).map((v, id) => tile(block, run, v, id)),
          set("group", advance(ptr("group"), i32(4 * run.size * groupIn))),
          set("to", advance(ptr("to"), i32(16 * size * run.size))),
        ]),
        set("plane", advance(ptr("plane"), i32(planeBytes(groupIn, size)))),
        set("result", advance(ptr("result"), i32(planeBytes(groupOut, size)))),
      ]),
    ],
  };
}
