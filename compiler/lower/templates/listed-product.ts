// Products of few rows of 16-bit integers or bytes by constant bytes, many of them zeros: four features lie in the lanes, and for each group of
// features there is a list of the words of four neighbouring inputs in which any of them has a weight.

import {
  add,
  advance,
  and,
  barrier,
  binary,
  bitcast,
  callStmt,
  cast,
  compare,
  dot,
  dotBytes,
  for_,
  i32,
  if_,
  let_,
  load,
  mul,
  narrow,
  pointer,
  repeat,
  section,
  set,
  shuffle,
  splat,
  store,
  variable,
} from "../../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES, type Param, type PointerParam, type Stmt } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import { PIECES } from "../split.ts";
import { memoryOf, type Storage } from "../storage.ts";
import type { Binding, Epilogue, Lowered } from "../template.ts";
import { floats, type Stream, stream } from "./conv-sweep.ts";
import { type GroupSize, type Lists, MOST_DEPTH, type Part, WORD, wordLists } from "./word-lists.ts";

/** Operand 0: x [T, K], i32 of 16 bits or u8; operand 1, where sums are scaled: a scale for each row, f32 [T, 1]; result 0: [T, M]. */
export interface ListedProductSpec {
  readonly name: string;
  readonly x: Storage;
  readonly output: Storage;
  /** [M, K]. */
  readonly weights: Int8Array;
  /** Scales of rows, and of features: [M]. Sums stay i32, where left out. See the operator `block_product`. */
  readonly scaling?: { readonly rows: Storage; readonly features: Float32Array };
  /** [M], the first summands. */
  readonly bias?: Int32Array;
  /** Largest magnitude in x. */
  readonly limit: number;
  /** Features that share a list; every word is in it, where left out. */
  readonly group?: GroupSize;
  readonly epilogue: Epilogue;
  readonly target: Capabilities;
}

/**
 * How a word of inputs meets the words of weights: its higher and its lower bytes, both without sign, those of four features at once, four
 * products to a sum; or its 16-bit numbers those of two features, two products to a sum.
 */
type Form = "planes" | "wide";

const count = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
const ptr = (name: string): Expr => variable(name, "ptr");
const times = (a: Expr, by: number): Expr => mul(a, i32(by));
/** Sums: of features, of their products with lower and with higher bytes; or of the halves of the words of two features. */
const sum = (half: "a" | "b", v: number): Expr => variable(`${half}${v}`, "i32x4");

/** Bytes of a word of inputs in scratch: both planes, or all numbers twice. */
const wordBytes = (form: Form): number => (form === "planes" ? 2 : 4) * WORD;
/** Inputs brought to scratch at once. */
const LANES = 8;
/** What is added to inputs so that none is negative. */
const MIDDLE = 0x8000;

/** Brings inputs to scratch as their form wants them. */
function prepareFunction(spec: ListedProductSpec, form: Form): Func {
  const { x } = spec;
  const elements = x.shape[0]! * x.shape[1]!;
  const at = variable("at");
  const all = (value: number): Expr => splat("i16x8", i32(value));
  const [given, planes] = [variable("given", "i16x8"), variable("planes", "i32x4")];
  const bytes = x.dtype === "u8";
  const from = advance(ptr("x"), times(at, bytes ? 1 : 4));
  const to = advance(ptr("words"), times(at, wordBytes(form) / WORD));
  const high = add(binary("shr", given, all(8)), all(MIDDLE >> 8));
  const twice = (first: number): Expr =>
    shuffle(
      given,
      given,
      [0, 1, 2, 3, 0, 1, 2, 3].map((lane) => first + lane),
    );
  const body =
    form === "wide"
      ? [store("i16x8", to, twice(0)), store("i16x8", to, twice(WORD), wordBytes(form))]
      : [
          let_("planes", bitcast("i32x4", narrow("u8", high, and(given, all(0xff))))),
          store("i32x4", to, shuffle(planes, planes, [0, 2, 1, 3])),
        ];
  return {
    name: `${spec.name}_prepare`,
    doc: "words of inputs",
    params: [pointer("x", "read", x.bytes), pointer("words", "write", (elements / WORD) * wordBytes(form))],
    body: [
      for_(
        "at",
        i32(0),
        i32(elements),
        [let_("given", bytes ? load("u8x8", from) : narrow("i16", load("i32x4", from), load("i32x4", from, 16))), ...body],
        LANES,
        1,
      ),
    ],
  };
}

/** Brings a word of inputs, at `xp`, to registers. */
function inputs(form: Form): Stmt[] {
  if (form === "wide") return [let_("x", load("i16x8", ptr("xp")))];
  return [0, 1].map((plane) => let_(`x${plane}`, bitcast("i8x16", splat("i32x4", load("i32", ptr("xp"), WORD * plane)))));
}

/** What a word of inputs adds to the sums of four features, whose weights for it lie at `wp`. */
function products(form: Form, v: number): Stmt[] {
  if (form === "wide")
    return (["a", "b"] as const).map((half, k) =>
      set(`${half}${v}`, add(sum(half, v), dot(load("i8x8", ptr("wp"), 16 * v + 8 * k), variable("x", "i16x8")))),
    );
  return [
    let_(`w${v}`, load("i8x16", ptr("wp"), 16 * v)),
    ...(["b", "a"] as const).map((half, plane) =>
      set(`${half}${v}`, dotBytes(variable(`w${v}`, "i8x16"), variable(`x${plane}`, "i8x16"), sum(half, v), "unsigned")),
    ),
  ];
}

/** The sums of four features. */
function totalOf(spec: ListedProductSpec, form: Form, v: number): Expr {
  const [a, b] = [sum("a", v), sum("b", v)];
  const total =
    form === "planes" ? add(a, binary("shl", b, splat("i32x4", i32(8)))) : add(shuffle(a, b, [0, 2, 4, 6]), shuffle(a, b, [1, 3, 5, 7]));
  return hasStarts(spec, form) ? add(total, load("i32x4", advance(ptr("starts"), times(variable("m"), 4)), 16 * v)) : total;
}

const hasStarts = ({ bias }: ListedProductSpec, form: Form): boolean => form === "planes" || bias !== undefined;

/** First summands, less what the middle added to inputs makes of each feature's sum. */
function startsOf({ weights, x, output, bias }: ListedProductSpec, form: Form): Uint8Array {
  const depth = x.shape[1]!;
  const middle = form === "planes" ? MIDDLE : 0;
  const starts = new Int32Array(output.shape[1]!);
  for (let m = 0; m < starts.length; m++) {
    let total = 0;
    for (let k = m * depth; k < (m + 1) * depth; k++) total += weights[k]!;
    starts[m] = (bias?.[m] ?? 0) - Math.imul(total, middle);
  }
  return new Uint8Array(starts.buffer);
}

/** Where lists are read: bytes of a number in them, and of the inputs that it stands for. */
interface Reach {
  readonly taps: 2 | 4;
  readonly row: number;
}

/** The function of a part of the groups, for all rows. */
function partFunction(spec: ListedProductSpec, form: Form, features: GroupSize, reach: Reach, params: readonly Param[]): Func {
  const { output, x, epilogue, scaling } = spec;
  const element = output.strides[1]!;
  const memory = memoryOf(output.dtype);
  const vectors = count(features / 4);
  const [m, t, left] = [variable("m"), variable("t"), variable("left")];
  const step: Stmt[] = [
    let_("xp", advance(ptr("row"), load(reach.taps === 2 ? "u16" : "i32", ptr("ip")))),
    ...inputs(form),
    ...vectors.flatMap((v) => products(form, v)),
    set("wp", advance(ptr("wp"), i32(WORD * features))),
    set("ip", advance(ptr("ip"), i32(reach.taps))),
  ];
  let kept = 0;
  const stores = vectors.flatMap((v): Stmt[] => {
    const body: Stmt[] = [];
    const keep = (e: Expr): Expr => {
      if (e.kind === "var" || e.kind === "const") return e;
      const n = `t${kept++}`;
      body.push(let_(n, e));
      return variable(n, e.type);
    };
    const at = 4 * element * v;
    const site = { coords: [t, add(m, i32(4 * v))], offset: variable("to"), displacement: at, lanes: 4, axis: 1 } as const;
    const total = totalOf(spec, form, v);
    const scales = load("f32x4", advance(ptr("scales"), times(m, 4)), 16 * v);
    const first = keep(scaling ? mul(mul(cast("f32x4", total), variable("sx", "f32x4")), scales) : total);
    const value = epilogue.apply(first, site, keep);
    const as = memory === "u8" || memory === "i8" ? (`${memory}x4` as const) : memory === "f32" ? "f32x4" : "i32x4";
    return [...body, store(as, advance(ptr("y"), variable("to")), value, at)];
  });
  const row: Stmt[] = [
    let_("row", advance(ptr("words"), times(t, reach.row))),
    let_("wp", ptr("w")),
    let_("ip", ptr("i")),
    let_("end", advance(ptr("i"), times(left, reach.taps))),
    ...vectors.flatMap((v) => (["a", "b"] as const).map((half) => let_(`${half}${v}`, splat("i32x4", i32(0))))),
    if_(compare("gt", left, i32(0)), [repeat(step, compare("ne", ptr("ip"), ptr("end")))]),
    ...(scaling ? [let_("sx", splat("f32x4", load("f32", advance(ptr("scale"), times(t, 4)))))] : []),
    let_("to", add(add(times(t, output.strides[0]!), times(m, element)), i32(output.offset))),
    ...stores,
  ];
  const group: Stmt[] = [
    let_("left", load("u16", ptr("c"))),
    for_("t", i32(0), i32(x.shape[0]!), row),
    set("w", advance(ptr("w"), times(left, WORD * features))),
    set("i", advance(ptr("i"), times(left, reach.taps))),
    set("c", advance(ptr("c"), i32(2))),
  ];
  return {
    name: `${spec.name}_by${features}`,
    params: [...params, { name: "first", type: "i32" }, { name: "end_m", type: "i32" }, ...epilogue.params],
    body: [
      let_("w", ptr("weights")),
      let_("i", ptr("taps")),
      let_("c", ptr("counts")),
      for_("m", variable("first"), variable("end_m"), group, features),
    ],
  };
}

/** The streams of lists of words of which there are `across` in a row. */
function listStreams(l: Lists, across: number, form: Form, taps: 2 | 4): readonly Stream[] {
  const columns = across <= 256 ? Uint8Array.from(l.words) : l.words;
  return [
    stream("weights", { kind: "bytes", bytes: new Uint8Array(l.weights.buffer) }),
    stream("taps", { kind: "indices", columns, expanded: taps === 2 ? "u16" : "u32", bound: across, radix: [[across, wordBytes(form)]] }),
    stream("counts", { kind: "counts", counts: l.counts, expanded: "u16", total: l.words.length }),
  ];
}

/** Features that share a list where zeros lie in such blocks. */
export const groupOf = ([features]: readonly [features: number, inputs: number]): GroupSize => (features % 8 === 0 ? 8 : 4);

/** Undefined where inputs are no whole vectors, features no whole fours, or values lie in another way than row by row. */
export function listedProduct(spec: ListedProductSpec): Lowered | undefined {
  const { x, output, name, scaling } = spec;
  const [rows, depth] = x.shape as [number, number];
  const features = output.shape[1]!;
  const width = x.dtype === "u8" ? 1 : 4;
  const packed = x.strides[1] === width && x.strides[0] === width * depth && x.offset === 0 && (scaling?.rows.offset ?? 0) === 0;
  const sideBySide = output.strides[1] === MEMORY_BYTES[memoryOf(output.dtype)];
  if (spec.limit > 32767 || depth % LANES !== 0 || depth > MOST_DEPTH || features % 4 !== 0 || !packed || !sideBySide) return undefined;
  const form: Form = spec.target.byteDots === "unsigned" ? "planes" : "wide";
  const row = (depth / WORD) * wordBytes(form);
  const reach: Reach = { taps: row <= 65536 ? 2 : 4, row };
  const lists = wordLists(spec.weights, features, depth, spec.group ?? 8, spec.group === undefined, PIECES);
  const streams: readonly Stream[] = [
    ...listStreams(lists, depth / WORD, form, reach.taps),
    ...(scaling ? [stream("scales", floats(scaling.features))] : []),
    ...(hasStarts(spec, form) ? [stream("starts", { kind: "bytes", bytes: startsOf(spec, form) })] : []),
  ];
  const words: PointerParam = { name: "words", type: "ptr", access: "readwrite", bytes: rows * row };
  const own: readonly Param[] = [
    ...(scaling ? [pointer("scale", "read", scaling.rows.bytes)] : []),
    pointer("y", "readwrite", output.bytes),
    words,
    ...streams.map((s) => s.param),
  ];
  const prepare = prepareFunction(spec, form);
  const sizes = [...new Set(lists.parts.map((p) => p.features))];
  const functions = new Map(sizes.map((n) => [n, partFunction(spec, form, n, reach, own)]));
  const argument = (p: Param): Expr => variable(p.name, p.type);
  const call = (p: Part): Stmt => {
    const from = new Map([
      ["weights", p.byte],
      ["taps", reach.taps * p.word],
      ["counts", 2 * p.group],
    ]);
    const pointers = own.map((q) => advance(argument(q), i32(from.get(q.name) ?? 0)));
    return callStmt(functions.get(p.features)!.name, [...pointers, i32(p.first), i32(p.end), ...spec.epilogue.params.map(argument)]);
  };
  return {
    kernel: scaling ? "matmul_i16_i8_lists" : "matmul_u8_lists",
    functions: [
      prepare,
      ...functions.values(),
      {
        name,
        doc: `${rows} x ${depth} by words of ${features} features`,
        params: [pointer("x", "read", x.bytes), ...own, ...spec.epilogue.params],
        body: [
          callStmt(prepare.name, [ptr("x"), ptr("words")]),
          barrier,
          ...lists.parts.map((p, k) => section(`part${k}`, [call(p)], 1 + p.words)),
        ],
      },
    ],
    entry: name,
    bindings: [
      { kind: "operand", operand: 0 },
      ...(scaling ? [{ kind: "operand", operand: 1 } as const] : []),
      { kind: "result", result: 0 },
      { kind: "scratch", bytes: words.bytes, each: false },
      ...streams.map((s): Binding => ({ kind: "packed", packed: s.packed })),
      ...spec.epilogue.bindings,
    ],
    faults: [],
    why:
      `${lists.weights.length} of ${features * depth} small integers are in words of which some ${spec.group ?? 8} features have one, ` +
      (form === "planes" ? "four products to a sum at once" : "two products of 16 bits to a sum at once"),
  };
}
