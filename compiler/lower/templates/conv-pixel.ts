// Sparse products with few right-hand sides: output channels in the lanes of vectors, each gathering inputs of its own or sharing them
// with its block; or, where blocks lie along the inputs, inputs in the lanes.

import {
  add,
  advance,
  binary,
  compare,
  extract,
  f32,
  fma,
  for_,
  i32,
  let_,
  load,
  mul,
  pointer,
  repeat,
  replace,
  set,
  splat,
  store,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, PointerParam, Stmt } from "../../../ir/kernel/types.ts";
import type { Binding, Lowered } from "../template.ts";
import { type ConvShape, type ConvSpec, convShape } from "./conv-spec.ts";
import { floats, type Stream, stream } from "./conv-sweep.ts";

const LANES = 4;

type Block = readonly [rows: number, columns: number];

/** With more pixels, vectors along them are faster than pixel after pixel; where blocks save most, it takes more of them. */
export const mostPixels = ([rows, columns]: Block): number =>
  rows % 8 === 0 ? 3 : rows % 4 === 0 || (rows === 1 && columns % 4 === 0) ? 2 : 1;

/** How a band of output channels is computed at once. */
interface Scheme {
  readonly channels: number;
  /** Neighbouring channels that read the same inputs: one index for all of them. */
  readonly share: number;
  /** Neighbouring inputs of one tap. */
  readonly width: 1 | 4;
}

/** The scheme for blocks of `rows` x `columns`; inputs can lie in lanes where they are neighbours in memory. */
function schemeOf([rows, columns]: Block, contiguous: boolean): Scheme {
  const share = [16, 8, 4, 2].find((n) => rows % n === 0) ?? 1;
  // Several sums side by side hide the latency of additions: bands of short blocks hold several of them.
  if (share > 1) return { channels: share === 2 ? 8 : 16, share, width: 1 };
  return columns % LANES === 0 && contiguous ? { channels: 4, share, width: LANES } : { channels: 8, share, width: 1 };
}

/**
 * Channels that share their inputs, `share` from `first` on. Each tap has the column of its first input, and a weight for each channel of
 * the unit and each of the inputs.
 */
interface Unit {
  readonly first: number;
  readonly columns: readonly number[];
  readonly weights: Float32Array;
}

/** Past the last channel, it is repeated: its sum is stored twice. */
const channelOf = (s: ConvShape, first: number, i: number): number => Math.min(s.m - 1, first + i);

function unitsOf(spec: ConvSpec, s: ConvShape, { share, width }: Scheme): Unit[] {
  return Array.from({ length: Math.ceil(s.m / share) }, (_, u) => {
    const rows = Array.from({ length: share }, (_, i) => channelOf(s, u * share, i) * s.c);
    const kept: number[] = [];
    for (let column = 0; column < s.c; column += width) {
      const end = Math.min(s.c, column + width);
      let some = false;
      for (const row of rows) for (let k = column; k < end; k++) some ||= spec.weights[row + k] !== 0;
      if (some) kept.push(column);
    }
    // The last inputs may be fewer: then some are taken up again, with weights of zero.
    const columns = kept.map((column) => Math.max(0, Math.min(column, s.c - width)));
    const weights = new Float32Array(kept.length * share * width);
    kept.forEach((column, t) => {
      for (let i = 0; i < share; i++)
        for (let k = column; k < Math.min(s.c, column + width); k++)
          weights[(t * share + i) * width + k - columns[t]!] = spec.weights[rows[i]! + k]!;
    });
    return { first: u * share, columns, weights };
  });
}

/** `count` taps with the same sum: some are halved, which is exact and keeps infinite inputs where they belong. */
function stretched(unit: Unit, count: number): Unit {
  const taps = unit.columns.length;
  if (taps >= count) return unit;
  const size = unit.weights.length / taps;
  const again = Math.min(taps, count - taps);
  const weights = new Float32Array((taps + again) * size);
  weights.set(unit.weights);
  for (let i = 0; i < again * size; i++) weights[i]! /= 2;
  weights.copyWithin(taps * size, 0, again * size);
  return stretched({ ...unit, columns: [...unit.columns, ...unit.columns.slice(0, again)], weights }, count);
}

/** The streams of all bands. */
interface Bands {
  /** Steps of each band; every one reads a tap of each unit. */
  readonly counts: readonly number[];
  readonly columns: readonly number[];
  readonly weights: Float32Array;
  /** The channels that the lanes of the bands are; then those without taps. */
  readonly order: readonly number[];
  readonly empty: number;
}

function bandsOf(spec: ConvSpec, s: ConvShape, scheme: Scheme): Bands {
  const units = unitsOf(spec, s, scheme);
  const full = units.filter((u) => u.columns.length > 0).sort((a, b) => b.columns.length - a.columns.length || a.first - b.first);
  const perBand = scheme.channels / scheme.share;
  const size = scheme.share * scheme.width;
  const counts = Array.from({ length: Math.ceil(full.length / perBand) }, (_, band) => full[band * perBand]!.columns.length);
  const weights = new Float32Array(counts.reduce((a, b) => a + b, 0) * perBand * size);
  const [columns, order]: [number[], number[]] = [[], []];
  counts.forEach((steps, b) => {
    const band = Array.from({ length: perBand }, (_, i) => full[Math.min(full.length - 1, b * perBand + i)]!);
    const taps = band.map((u) => stretched(u, steps));
    for (let k = 0; k < steps; k++)
      for (const t of taps) {
        weights.set(t.weights.subarray(k * size, (k + 1) * size), columns.length * size);
        columns.push(t.columns[k]!);
      }
    for (const { first } of band) for (let i = 0; i < scheme.share; i++) order.push(channelOf(s, first, i));
  });
  const covered = new Set(order);
  const empty = Array.from({ length: s.m }, (_, m) => m).filter((m) => !covered.has(m));
  return { counts, columns, weights, order: [...order, ...empty], empty: empty.length };
}

const [x, wp, ip, cp, mp, sums] = ["x", "wp", "ip", "cp", "mp", "sums"].map((name) => variable(name, "ptr")) as [
  Expr,
  Expr,
  Expr,
  Expr,
  Expr,
  Expr,
];

/** How wide a stream's numbers are. */
type Width = "u16" | "u32";
const bytesOf = (w: Width): number => (w === "u16" ? 2 : 4);
const number = (w: Width, ptr: Expr, offset = 0): Expr => load(w === "u16" ? "u16" : "i32", ptr, offset);

/** The sums of one band, into `sums` by channel. */
function bandBody(scheme: Scheme, index: Width, place: Width): Stmt[] {
  const { channels, share, width } = scheme;
  const acc = Array.from({ length: (channels * width) / LANES }, (_, v) => variable(`acc${v}`, "f32x4"));
  const tap = (unit: number): Expr => advance(x, number(index, ip, bytesOf(index) * unit));
  const input = (v: number): Expr => {
    if (width === LANES) return load("f32x4", tap(v));
    const unit = (lane: number): number => Math.floor((LANES * v + lane) / share);
    const first = splat("f32x4", load("f32", tap(unit(0))));
    return share >= LANES ? first : [1, 2, 3].reduce<Expr>((all, lane) => replace(all, lane, load("f32", tap(unit(lane)))), first);
  };
  // A block's channels share one vector of inputs.
  const distinct = acc.filter((_, v) => share < LANES || (LANES * v) % share === 0);
  const named = (v: number): Expr => variable(`x${share < LANES ? v : Math.floor((LANES * v) / share)}`, "f32x4");
  const vectors = distinct.map((_, i) => let_(`x${i}`, input(share < LANES ? i : (i * share) / LANES)));
  const step = [
    ...vectors,
    ...acc.map((a, v) => set(`acc${v}`, fma(load("f32x4", wp, 16 * v), named(v), a))),
    set("wp", advance(wp, i32(16 * acc.length))),
    set("ip", advance(ip, i32(bytesOf(index) * (channels / share)))),
    set("left", add(variable("left"), i32(-1))),
  ];
  const sum = (channel: number): Expr => {
    if (width === 1) return extract(acc[Math.floor(channel / LANES)]!, channel % LANES);
    const [a, b, c, d] = [0, 1, 2, 3].map((lane) => extract(acc[channel]!, lane)) as [Expr, Expr, Expr, Expr];
    return add(add(a, b), add(c, d));
  };
  return [
    ...acc.map((_, v) => let_(`acc${v}`, splat("f32x4", f32(0)))),
    let_("left", load("u16", cp)),
    repeat(step, compare("ne", variable("left"), i32(0))),
    ...Array.from({ length: channels }, (_, i) => store("f32", advance(sums, number(place, mp, bytesOf(place) * i)), sum(i))),
    set("cp", advance(cp, i32(2))),
    set("mp", advance(mp, i32(bytesOf(place) * channels))),
  ];
}

/** All output channels from their sums: bias and epilogue, in order. */
function finish(spec: ConvSpec, s: ConvShape): Stmt {
  const { output, epilogue, bias } = spec;
  const made: Stmt[] = [];
  const keep = (value: Expr): Expr => {
    if (value.kind === "var" || value.kind === "const") return value;
    const name = `t${made.length}`;
    made.push(let_(name, value));
    return variable(name, value.type);
  };
  const [m, offset] = [variable("m"), mul(variable("m"), i32(4))];
  const sum = load("f32", advance(sums, offset));
  const whole = keep(bias ? add(sum, load("f32", advance(variable("bias", "ptr"), offset))) : sum);
  const at = keep(add(variable("to"), mul(m, i32(output.strides[1]!))));
  const coords = [variable("n"), m, variable("h"), variable("w")];
  const value = epilogue.apply(whole, { coords, offset: at, displacement: 0, lanes: 1 }, keep);
  return for_("m", i32(0), i32(s.m), [...made, store("f32", advance(variable("y", "ptr"), at), value)]);
}

/** Sparse 1x1 convolution of few pixels, all images together; undefined for anything else. */
export function convPixel(spec: ConvSpec): Lowered | undefined {
  const s = convShape(spec);
  if (!s || s.kh * s.kw !== 1 || spec.groups !== 1 || spec.pads.some((p) => p !== 0) || spec.strides.some((d) => d !== 1)) return undefined;
  const block = spec.block ?? [1, 1];
  if (s.n * s.ho * s.wo > mostPixels(block)) return undefined;
  const { input: from, output } = spec;
  const feature = from.strides[1]!;
  if (feature < 0 || s.c > 65535 || s.m > 65535) return undefined;
  const scheme = schemeOf(block, feature === 4 && s.c >= LANES);
  const bands = bandsOf(spec, s, scheme);
  const width = (reach: number): Width => (reach < 65536 ? "u16" : "u32");
  const [index, place] = [width((s.c - 1) * feature), width((s.m - 1) * 4)];
  const indices = (columns: readonly number[], expanded: Width, bound: number, stride: number) =>
    ({ kind: "indices", columns: Uint16Array.from(columns), expanded, bound, radix: [[bound, stride]] }) as const;
  const total = bands.counts.reduce((a, b) => a + b, 0);
  const streams: readonly Stream[] = [
    stream("weights", floats(bands.weights)),
    stream("taps", indices(bands.columns, index, s.c, feature)),
    stream("counts", { kind: "counts", counts: Uint16Array.from(bands.counts), expanded: "u16", total }),
    stream("places", indices(bands.order, place, s.m, 4)),
    ...(spec.bias ? [stream("bias", floats(spec.bias))] : []),
  ];
  const clear = [store("f32", advance(sums, number(place, mp)), f32(0)), set("mp", advance(mp, i32(bytesOf(place))))];
  const offsetOf = (strides: readonly number[], start: number): Expr =>
    ["n", "h", "w"].reduce<Expr>((sum, name, i) => add(sum, binary("mul", variable(name), i32(strides[[0, 2, 3][i]!]!))), i32(start));
  const pixel = [
    let_("x", advance(variable("input", "ptr"), offsetOf(from.strides, from.offset))),
    let_("to", offsetOf(output.strides, output.offset)),
    ...[
      ["wp", "weights"],
      ["ip", "taps"],
      ["cp", "counts"],
      ["mp", "places"],
    ].map(([name, param]) => let_(name!, variable(param!, "ptr"))),
    ...(bands.counts.length > 0 ? [for_("band", i32(0), i32(bands.counts.length), bandBody(scheme, index, place))] : []),
    ...(bands.empty > 0 ? [for_("none", i32(0), i32(bands.empty), clear)] : []),
    finish(spec, s),
  ];
  const scratch: PointerParam = { name: "sums", type: "ptr", access: "readwrite", bytes: 4 * s.m };
  const func: Func = {
    name: spec.name,
    doc: `${scheme.channels} output channels at a time`,
    params: [
      pointer("input", "read", from.bytes),
      ...streams.map((t) => t.param),
      ...spec.epilogue.params,
      scratch,
      pointer("y", "write", output.bytes),
    ],
    body: [for_("n", i32(0), i32(s.n), [for_("h", i32(0), i32(s.ho), [for_("w", i32(0), i32(s.wo), pixel)])])],
  };
  const bindings: Binding[] = [
    { kind: "operand", operand: 0 },
    ...streams.map((t): Binding => ({ kind: "packed", packed: t.packed })),
    ...spec.epilogue.bindings,
    { kind: "scratch", bytes: scratch.bytes },
    { kind: "result", result: 0 },
  ];
  const nonzeros = spec.weights.reduce((n, w) => n + (w === 0 ? 0 : 1), 0);
  return {
    kernel: "conv_f32_sparse_pixel",
    functions: [func],
    entry: func.name,
    bindings,
    faults: [],
    why: `${nonzeros} of ${spec.weights.length} weights are not zero: skips the others, ${func.doc}`,
  };
}
