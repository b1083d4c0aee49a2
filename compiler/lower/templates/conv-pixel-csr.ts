// Sparse products with few right-hand sides: four output channels in the four lanes, each gathering inputs of its own.

import {
  add,
  advance,
  binary,
  div,
  extract,
  f32,
  fma,
  for_,
  i32,
  let_,
  load,
  min,
  pointer,
  replace,
  set,
  splat,
  store,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, Stmt } from "../../../ir/kernel/types.ts";
import type { Binding, Lowered } from "../template.ts";
import { type ConvShape, type ConvSpec, convShape } from "./conv-spec.ts";
import { floats, type Stream, stream } from "./conv-sweep.ts";

/** With more pixels, vectors along them are faster. */
const MOST_PIXELS = 3;
const LANES = 4;

interface Rows {
  /** Output channels, those with the most non-zeros first: four neighbours have nearly as many. */
  readonly order: readonly number[];
  /** Non-zeros of each, in that order; and all of them: four by four, one of each channel in turn, then what is left of each. */
  readonly counts: readonly number[];
  readonly columns: readonly number[];
  readonly weights: readonly number[];
}

function rowsOf(spec: ConvSpec, s: ConvShape): Rows {
  const taps = Array.from({ length: s.m }, (_, m) => {
    const columns: number[] = [];
    for (let k = 0; k < s.c; k++) if (spec.weights[m * s.c + k] !== 0) columns.push(k);
    return columns;
  });
  const order = taps.map((_, m) => m).sort((a, b) => taps[b]!.length - taps[a]!.length || a - b);
  const columns: number[] = [];
  const weights: number[] = [];
  const put = (m: number, k: number): void => {
    columns.push(k);
    weights.push(spec.weights[m * s.c + k]!);
  };
  for (let first = 0; first < s.m; first += LANES) {
    const group = order.slice(first, first + LANES);
    const common = group.length < LANES ? 0 : Math.min(...group.map((m) => taps[m]!.length));
    for (let i = 0; i < common; i++) for (const m of group) put(m, taps[m]![i]!);
    for (const m of group) for (const k of taps[m]!.slice(common)) put(m, k);
  }
  return { order, counts: order.map((m) => taps[m]!.length), columns, weights };
}

const [x, y, wp, ip, cp, mp] = ["x", "y", "wp", "ip", "cp", "mp"].map((name) => variable(name, "ptr")) as [
  Expr,
  Expr,
  Expr,
  Expr,
  Expr,
  Expr,
];

/** What differs with the width of a stream's numbers. */
interface Widths {
  readonly index: "u16" | "u32";
  readonly place: "u16" | "u32";
}
const bytesOf = (w: "u16" | "u32"): number => (w === "u16" ? 2 : 4);
const number = (w: "u16" | "u32", ptr: Expr, offset = 0): Expr => load(w === "u16" ? "u16" : "i32", ptr, offset);

/** Moves the streams of taps on by `n`. */
const consume = (n: number, w: Widths): Stmt[] => [set("wp", advance(wp, i32(4 * n))), set("ip", advance(ip, i32(bytesOf(w.index) * n)))];
const input = (w: Widths, lane: number): Expr => load("f32", advance(x, number(w.index, ip, bytesOf(w.index) * lane)));

/** Adds what is left of one channel, from tap `from` to its count, to `acc`. */
const rest = (acc: string, from: Expr, count: Expr, w: Widths): Stmt =>
  for_(`k_${acc}`, from, count, [set(acc, fma(load("f32", wp), input(w, 0), variable(acc, "f32"))), ...consume(1, w)]);

/** Stores the sum of the channel whose place in the output is next in the stream `mp`. */
function finish(spec: ConvSpec, acc: string, lane: number, w: Widths): Stmt[] {
  const { output, epilogue, bias } = spec;
  const [place, channel, at] = [`o_${acc}`, `m_${acc}`, `at_${acc}`];
  const made: Stmt[] = [];
  const keep = (value: Expr): Expr => {
    if (value.kind === "var" || value.kind === "const") return value;
    const name = `t_${acc}_${made.length}`;
    made.push(let_(name, value));
    return variable(name, value.type);
  };
  const head = [
    let_(place, number(w.place, mp, bytesOf(w.place) * lane)),
    let_(channel, div(variable(place), i32(output.strides[1]!))),
    let_(at, add(variable("to"), variable(place))),
  ];
  const sum = bias
    ? binary("add", variable(acc, "f32"), load("f32", advance(variable("bias", "ptr"), binary("mul", variable(channel), i32(4)))))
    : variable(acc, "f32");
  const coords = [variable("n"), variable(channel), variable("h"), variable("w")];
  const value = epilogue.apply(keep(sum), { coords, offset: variable(at), displacement: 0, lanes: 1 }, keep);
  return [...head, ...made, store("f32", advance(y, variable(at)), value)];
}

/** All output channels of one pixel. */
function pixelBody(spec: ConvSpec, s: ConvShape, w: Widths): Stmt[] {
  const whole = s.m - (s.m % LANES);
  const counts = [0, 1, 2, 3].map((lane) => variable(`n${lane}`));
  const gathered = [1, 2, 3].reduce<Expr>((v, lane) => replace(v, lane, input(w, lane)), splat("f32x4", input(w, 0)));
  const four: Stmt[] = [
    ...counts.map((_, lane) => let_(`n${lane}`, load("u16", cp, 2 * lane))),
    let_("common", counts.slice(1).reduce(min, counts[0]!)),
    let_("acc", splat("f32x4", f32(0))),
    for_("k", i32(0), variable("common"), [set("acc", fma(load("f32x4", wp), gathered, variable("acc", "f32x4"))), ...consume(LANES, w)]),
    ...counts.flatMap((count, lane) => [
      let_(`acc${lane}`, extract(variable("acc", "f32x4"), lane)),
      rest(`acc${lane}`, variable("common"), count, w),
      ...finish(spec, `acc${lane}`, lane, w),
    ]),
    set("cp", advance(cp, i32(2 * LANES))),
    set("mp", advance(mp, i32(bytesOf(w.place) * LANES))),
  ];
  const one: Stmt[] = [
    let_("single", f32(0)),
    rest("single", i32(0), load("u16", cp), w),
    ...finish(spec, "single", 0, w),
    set("cp", advance(cp, i32(2))),
    set("mp", advance(mp, i32(bytesOf(w.place)))),
  ];
  return [
    let_("wp", variable("weights", "ptr")),
    let_("ip", variable("taps", "ptr")),
    let_("cp", variable("counts", "ptr")),
    let_("mp", variable("places", "ptr")),
    ...(whole > 0 ? [for_("g", i32(0), i32(whole), four, LANES)] : []),
    ...(whole < s.m ? [for_("r", i32(whole), i32(s.m), one)] : []),
  ];
}

/** Sparse 1x1 convolution of at most three pixels, all images together; undefined for anything else. */
export function convPixelCsr(spec: ConvSpec): Lowered | undefined {
  const s = convShape(spec);
  if (!s || s.kh * s.kw !== 1 || spec.groups !== 1 || spec.pads.some((p) => p !== 0) || spec.strides.some((d) => d !== 1)) return undefined;
  if (s.n * s.ho * s.wo > MOST_PIXELS) return undefined;
  const { input: from, output } = spec;
  const [feature, channel] = [from.strides[1]!, output.strides[1]!];
  const rows = rowsOf(spec, s);
  const width = (reach: number): "u16" | "u32" => (reach < 65536 ? "u16" : "u32");
  const w: Widths = { index: width((s.c - 1) * feature), place: width((s.m - 1) * channel) };
  if (feature < 0 || channel < 1 || s.c > 65535 || s.m > 65535) return undefined;
  const indices = (columns: readonly number[], expanded: "u16" | "u32", bound: number, stride: number) =>
    ({ kind: "indices", columns: Uint16Array.from(columns), expanded, bound, radix: [[bound, stride]] }) as const;
  const streams: readonly Stream[] = [
    stream("weights", floats(Float32Array.from(rows.weights))),
    stream("taps", indices(rows.columns, w.index, s.c, feature)),
    stream("counts", { kind: "counts", counts: Uint16Array.from(rows.counts), expanded: "u16", total: rows.columns.length }),
    stream("places", indices(rows.order, w.place, s.m, channel)),
    ...(spec.bias ? [stream("bias", floats(spec.bias))] : []),
  ];
  const offsetOf = (strides: readonly number[], start: number): Expr =>
    ["n", "h", "w"].reduce<Expr>((sum, name, i) => add(sum, binary("mul", variable(name), i32(strides[[0, 2, 3][i]!]!))), i32(start));
  const body = [
    let_("x", advance(variable("input", "ptr"), offsetOf(from.strides, from.offset))),
    let_("to", offsetOf(output.strides, output.offset)),
    ...pixelBody(spec, s, w),
  ];
  const pixels = for_("n", i32(0), i32(s.n), [for_("h", i32(0), i32(s.ho), [for_("w", i32(0), i32(s.wo), body)])]);
  const func: Func = {
    name: spec.name,
    doc: "four output channels at a time",
    params: [
      pointer("input", "read", from.bytes),
      ...streams.map((t) => t.param),
      ...spec.epilogue.params,
      pointer("y", "write", output.bytes),
    ],
    body: [pixels],
  };
  const bindings: Binding[] = [
    { kind: "operand", operand: 0 },
    ...streams.map((t): Binding => ({ kind: "packed", packed: t.packed })),
    ...spec.epilogue.bindings,
    { kind: "result", result: 0 },
  ];
  return {
    kernel: "conv_f32_csr_pixel",
    functions: [func],
    entry: func.name,
    bindings,
    faults: [],
    why: `${rows.columns.length} of ${spec.weights.length} weights are not zero: skips the others, four output channels at a time`,
    format: "csr",
  };
}
