// Sparse products of bytes: inputs of a tile of pixels in a panel, pixels in the lanes of vectors, and for each output a list of its weights.

import {
  add,
  advance,
  callStmt,
  compare,
  div,
  f32,
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
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, Param, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import { mostEven } from "../split.ts";
import { type Binding, type Lowered, type Packed, packedBytes } from "../template.ts";
import { count } from "./bytes-frame.ts";
import { listsOf, packLists, tapBytes } from "./bytes-lists.ts";
import { type Form, fillPanel, panelOf, transposed } from "./bytes-panel.ts";
import { asSummed, type BytesShape, type BytesSpec, bytesShape, readingOf, usesBytes, weightSums } from "./bytes-spec.ts";
import { type Group, isBlocked, type Plan, singlesOf, step, sumType, tp, wp } from "./bytes-steps.ts";
import { lanesOf, storeChannels } from "./bytes-store.ts";
import { extentOf, LANES, type Tiling, tilingOf, vectorsOf } from "./bytes-tiling.ts";
import { names } from "./store-tile.ts";

const [cp, bp] = [variable("cp", "ptr"), variable("bp", "ptr")];

/** Outputs whose sums are stored together, as bytes side by side. */
const GROUP = 16;
/** Floats are exact below this, and whatever is added up of them. */
const EXACT = 2 ** 24;

/** Whether sums of f32 are the integers that they stand for. */
function sumsAreExact(spec: BytesSpec, s: BytesShape): boolean {
  const depth = spec.weights.length / s.m;
  return count(s.m).every((m) => {
    let sum = 0;
    for (let k = m * depth; k < (m + 1) * depth; k++) sum += Math.abs(spec.weights[k]!);
    // A bias alone is rounded as it would be later.
    return sum === 0 || 255 * sum + Math.abs(spec.bias?.[m] ?? 0) < EXACT;
  });
}

/** The sums of a group, each output's in a row of `sums`; where there are several blocks of channels, added to what is there. */
function sumUp(spec: BytesSpec, plan: Plan, g: Group): Stmt[] {
  const { panel, vectors } = plan;
  const own = (name: string): string => `${name}${g.suffix}`;
  const [tap, sp, left] = [variable(own("tap"), "ptr"), variable(own("sp"), "ptr"), variable(own("left"))];
  const wide = tapBytes(panel);
  const { body, weights } = step(plan, g, tap, left);
  const loop = [
    let_(own("tap"), advance(variable("panel", "ptr"), load(wide === 2 ? "u16" : "i32", tp))),
    ...body,
    set("wp", advance(wp, i32(weights))),
    set("tp", advance(tp, i32(wide * singlesOf(panel.form)))),
    set(own("left"), add(left, i32(-singlesOf(panel.form)))),
  ];
  // The last four may be fewer: then the next list begins with what is left of them.
  const back = [set("wp", advance(wp, left)), set("tp", advance(tp, mul(left, i32(wide))))];
  const type = sumType(panel.form);
  const [scalar, zero] = panel.form === "floats" ? (["f32", f32(0)] as const) : (["i32", i32(0)] as const);
  const first = variable(own("first"), type);
  const sums = count(vectors).map((v) => own(`a${v}`));
  const starts = isBlocked(plan)
    ? sums.map((a, v) => let_(a, load(type, sp, 16 * v)))
    : [let_(own("first"), splat(type, spec.bias ? load(scalar, bp) : zero)), ...sums.map((a) => let_(a, first))];
  return [
    let_(own("sp"), variable("sums", "ptr")),
    for_(own("r"), i32(0), i32(g.outputs), [
      ...starts,
      let_(own("left"), load("u16", cp)),
      if_(compare("gt", left, i32(0)), [repeat(loop, compare("gt", left, i32(0)))]),
      ...(panel.form === "planes" ? back : []),
      ...sums.map((a, v) => store(type, sp, variable(a, type), 16 * v)),
      set(own("sp"), advance(sp, i32(16 * vectors))),
      set("cp", advance(cp, i32(2))),
      ...(spec.bias && !isBlocked(plan) ? [set("bp", advance(bp, i32(4)))] : []),
    ]),
  ];
}

/** Brings the biases of `outputs` outputs to `sums`. */
function startSums(spec: BytesSpec, { panel, vectors }: Plan, outputs: number): Stmt {
  const type = sumType(panel.form);
  const b = variable("b");
  const [scalar, zero] = panel.form === "floats" ? (["f32", f32(0)] as const) : (["i32", i32(0)] as const);
  const bias = spec.bias ? load(scalar, advance(variable("bias", "ptr"), mul(b, i32(4)))) : zero;
  const [start, to] = [variable("start", type), variable("start_to", "ptr")];
  return for_("b", i32(0), i32(outputs), [
    let_("start", splat(type, bias)),
    let_("start_to", advance(variable("sums", "ptr"), mul(b, i32(16 * vectors)))),
    ...count(vectors).map((v) => store(type, to, start, 16 * v)),
  ]);
}

/** Stores a group's channels, from `m` on, of all pixels of the tile: four by four, sums of pixels become those of channels. */
function storeSums(spec: BytesSpec, s: BytesShape, plan: Plan, g: Group, m: Expr): Stmt[] {
  const { panel, vectors, tiling } = plan;
  const scope = names();
  const own = (name: string): string => `${name}${g.suffix}`;
  const [j, to, from] = [variable(own("j")), variable(own("to")), variable(own("from"), "ptr")];
  const body: Stmt[] = [
    let_(own("from"), advance(variable("sums", "ptr"), add(mul(j, i32(16)), isBlocked(plan) ? mul(m, i32(16 * vectors)) : i32(0)))),
    let_(own("down"), div(j, i32(tiling.starts.length))),
    let_(own("along"), min(mul(rem(j, i32(tiling.starts.length)), i32(LANES)), i32(tiling.starts.at(-1)!))),
    let_(own("away"), add(mul(variable(own("down")), i32(s.to.row)), mul(variable(own("along")), i32(s.to.pixel)))),
    let_(own("to"), add(variable("at"), add(mul(m, i32(s.to.channel)), variable(own("away"))))),
    let_(own("dst"), advance(variable("y", "ptr"), to)),
  ];
  const own4 = { ...scope, fresh: (hint: string): string => own(scope.fresh(hint)) };
  const keep = (e: Expr): Expr => {
    const name = own4.fresh("s");
    body.push(let_(name, e));
    return variable(name, e.type);
  };
  const quads = count(g.outputs / 4).map((q) => {
    const rows = count(4).map((i) => keep(load(sumType(panel.form), from, 16 * vectors * (4 * q + i))));
    return transposed(rows as unknown as readonly [Expr, Expr, Expr, Expr], keep).map(keep);
  });
  const image = tiling.flat && !s.matrix;
  for (const p of count(4)) {
    const pixel = add(variable("ox"), add(variable(own("along")), i32(p)));
    const place = {
      dst: variable(own("dst"), "ptr"),
      at: to,
      displacement: p * s.to.pixel,
      n: variable("n"),
      channel: m,
      y: image ? div(pixel, i32(s.wo)) : add(variable("oy"), variable(own("down"))),
      x: image ? rem(pixel, i32(s.wo)) : pixel,
    };
    const sums = quads.map((q) => q[p]!);
    body.push(...storeChannels(spec, s, place, sums, g.lanes, own4));
  }
  return [for_(own("j"), i32(0), i32(vectors), body)];
}

interface Stream {
  readonly name: string;
  readonly packed: Packed;
}

const PLACE = ["at", "n", "oy", "ox"] as const;

/** The function of a tile: fills the panel, then takes the outputs group by group. */
function tileFunction(
  spec: BytesSpec,
  s: BytesShape,
  plan: Plan,
  scratch: readonly Param[],
  streams: readonly Stream[],
  name: string,
): Func {
  const groups = Math.floor(s.m / GROUP);
  const rest = s.m - groups * GROUP;
  const outputs = 4 * Math.ceil(s.m / 4);
  const all: Group = { outputs, lanes: 4, suffix: "a" };
  const block = variable("block");
  const blocks = [
    startSums(spec, plan, outputs),
    for_("block", i32(0), i32(plan.panel.blocks), [...fillPanel(spec, s, plan.panel, plan.tiling, block), ...sumUp(spec, plan, all)]),
  ];
  const blocked = isBlocked(plan);
  const group = (g: Group, m: Expr): Stmt[] => [...(blocked ? [] : sumUp(spec, plan, g)), ...storeSums(spec, s, plan, g, m)];
  const last: Group = { outputs: 4 * Math.ceil(rest / 4), lanes: lanesOf(spec, s), suffix: "r" };
  const pointers = [
    ["weights", "wp"],
    ["taps", "tp"],
    ["counts", "cp"],
    ["bias", "bp"],
  ].filter(([stream]) => streams.some((t) => t.name === stream)) as [string, string][];
  return {
    name,
    params: [
      pointer("x", "read", spec.input.bytes),
      pointer("y", "readwrite", spec.output.bytes),
      ...scratch,
      ...streams.map((t) => pointer(t.name, "read", packedBytes(t.packed))),
      ...PLACE.map((p): Param => ({ name: p, type: "i32" })),
      ...spec.epilogue.params,
    ],
    body: [
      ...pointers.map(([stream, inside]) => let_(inside, variable(stream, "ptr"))),
      ...(blocked ? blocks : fillPanel(spec, s, plan.panel, plan.tiling, i32(0))),
      ...(groups > 0
        ? [for_("m", i32(0), i32(groups * GROUP), group({ outputs: GROUP, lanes: 4, suffix: "" }, variable("m")), GROUP)]
        : []),
      ...(rest > 0 ? group(last, i32(groups * GROUP)) : []),
    ],
  };
}

/** The form of a panel that a sparse product had better have on its target. */
function formOf(spec: BytesSpec, s: BytesShape): Form {
  const byWords = spec.block !== undefined && spec.block[1] % 4 === 0;
  const bytes = usesBytes(spec, s);
  // Floats or not, all targets share the lists of single weights.
  if (byWords || !spec.epilogue.wholes || !sumsAreExact(spec, s)) return bytes ? "bytes" : "pairs";
  // Signed bytes would want first summands of their own, which are many bytes beside few weights.
  return bytes && readingOf(spec) === "unsigned" ? "planes" : "floats";
}

/** Vectors for which there are registers beside four rows of inputs. */
const MOST_GATHERED = 8;

/** Whether the vectors of a tile lie side by side in planes: no window reaches beyond its pixel, and no vector overlaps another. */
const isWhole = (spec: BytesSpec, t: Tiling): boolean => spec.kernel[1] === 1 && t.starts.every((x, i) => x === LANES * i);

/** Sparse product of bytes by weights that have a sparse layout, with one group. Undefined where there are fewer than four pixels to a line. */
export function bytesSparse(given: BytesSpec): Lowered | undefined {
  const s = bytesShape(given);
  if (!s || !given.block || given.groups !== 1) return undefined;
  const wanted = formOf(given, s);
  const tiling = tilingOf(given, s, wanted === "planes" ? MOST_GATHERED : given.target.accumulators);
  if (!tiling) return undefined;
  const form = wanted === "planes" && !isWhole(given, tiling) ? "floats" : wanted;
  const spec = form === "bytes" ? asSummed(given, weightSums(given, s.m)) : given;
  const plan: Plan = { tiling, panel: panelOf(spec, s, form, tiling), vectors: vectorsOf(tiling), read: readingOf(spec) };
  const lists = listsOf(spec, s, plan.panel);
  if (!lists) return undefined;
  const packed = packLists(lists, plan.panel, s.wide);
  const padded = 4 * Math.ceil(s.m / 4);
  const start = new (form === "floats" ? Float32Array : Int32Array)(padded);
  start.set(spec.bias ?? []);
  const streams: Stream[] = [
    { name: "weights", packed: packed.weights },
    { name: "taps", packed: packed.taps },
    { name: "counts", packed: packed.counts },
    ...(spec.bias ? [{ name: "bias", packed: { kind: "bytes", bytes: new Uint8Array(start.buffer) } as const }] : []),
  ];
  const scratch = [
    pointer("panel", "readwrite", plan.panel.bytes),
    pointer("sums", "readwrite", 16 * plan.vectors * (isBlocked(plan) ? padded : GROUP)),
  ] as PointerParam[];
  const tile = tileFunction(spec, s, plan, scratch, streams, `${spec.name}_tile`);
  const [n, oy, ox] = [variable("n"), variable("oy"), variable("ox")];
  const { rows, columns, down } = tiling;
  const shared = mostEven<"rows" | "columns">([
    ["rows", [{ count: rows, cost: 1 }]],
    ["columns", [{ count: columns, cost: 1 }]],
  ]);
  const away = (t: BytesShape["from"] | BytesShape["to"], base: number): Expr =>
    add(add(mul(n, i32(t.image)), mul(oy, i32(t.row))), add(mul(ox, i32(t.pixel)), i32(base)));
  const call = [
    let_("ox", min(mul(variable("column"), i32(extentOf(tiling))), i32(tiling.pixels - extentOf(tiling)))),
    callStmt(tile.name, [
      advance(variable("x", "ptr"), away(s.from, s.from.base)),
      ...["y", ...scratch.map((p) => p.name), ...streams.map((p) => p.name)].map((name) => variable(name, "ptr")),
      ...[away(s.to, spec.output.offset), n, oy, ox],
      ...spec.epilogue.params.map((p) => variable(p.name, "ptr")),
    ]),
  ];
  const parallel = (loop: "rows" | "columns"): 1 | undefined => (shared === loop ? 1 : undefined);
  const row = [
    let_("oy", min(mul(variable("row"), i32(down)), i32(tiling.lines - down))),
    for_("column", i32(0), i32(columns), call, 1, parallel("columns")),
  ];
  const sweep = [for_("row", i32(0), i32(rows), row, 1, parallel("rows"))];
  const [kh, kw] = spec.kernel;
  const entry: Func = {
    name: spec.name,
    doc: `sparse ${s.matrix ? "product" : `convolution, ${kh} x ${kw} taps,`} of bytes, ${s.c} channels to ${s.m}`,
    params: [
      pointer("x", "read", spec.input.bytes),
      pointer("y", "readwrite", spec.output.bytes),
      ...scratch,
      ...streams.map((p) => pointer(p.name, "read", packedBytes(p.packed))),
      ...spec.epilogue.params,
    ],
    body: s.n === 1 ? [let_("n", i32(0)), ...sweep] : [for_("n", i32(0), i32(s.n), sweep)],
  };
  const kept = spec.weights.reduce((sum, w) => sum + (w === 0 ? 0 : 1), 0);
  const how = {
    planes: "any four to a dot product",
    bytes: "four neighbours to a dot product",
    pairs: "four neighbours to two products of 16 bits",
    floats: "as exact floats",
  }[form];
  return {
    kernel: `${s.matrix ? "matmul" : "conv"}_u8_sparse`,
    functions: [tile, entry],
    entry: spec.name,
    bindings: [
      { kind: "operand", operand: 0 },
      { kind: "result", result: 0 },
      ...scratch.map((p): Binding => ({ kind: "scratch", bytes: p.bytes, each: true })),
      ...streams.map((p): Binding => ({ kind: "packed", packed: p.packed })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why: `${kept} of ${spec.weights.length} small integers are not zero: skips the others, ${how}`,
  };
}
