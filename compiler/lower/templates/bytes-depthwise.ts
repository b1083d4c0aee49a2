// Depthwise convolution of bytes, eight channels at a time: rows of a window side by side in lanes, so that one dot product takes a column.

import {
  add,
  advance,
  bitcast,
  dot,
  dotBytes,
  for_,
  i32,
  let_,
  load,
  mul,
  set,
  shuffle,
  splat,
  variable,
} from "../../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES, type Stmt } from "../../../ir/kernel/types.ts";
import { sharedAxis } from "../split.ts";
import { memoryOf } from "../storage.ts";
import type { Lowered, Packed } from "../template.ts";
import { count, framed, type Streams, type Sweep, streamsOf, sweepCall, sweepFunction } from "./bytes-frame.ts";
import { asRead, asSummed, type BytesShape, type BytesSpec, bytesShape, readingOf, usesBytes, weightSums } from "./bytes-spec.ts";
import { lanesOf } from "./bytes-store.ts";
import { balanced } from "./tiles.ts";

/** Rows of a window whose products one word of weights holds. */
const ROWS = 4;
/** Windows of more elements are written out no more. */
const MOST_TAPS = 25;
/** Channels at a time. */
const CHANNELS = 8;

/** Weights as [8 channels][column][4 rows][4 channels][row], one or two bytes each. */
function pack(spec: BytesSpec, s: BytesShape): Packed {
  const [kh, kw] = spec.kernel;
  const bands = Math.ceil(kh / ROWS);
  const eights = Math.ceil(s.m / CHANNELS);
  const out = new Int16Array(eights * kw * bands * CHANNELS * ROWS);
  let to = 0;
  for (let eight = 0; eight < eights; eight++)
    for (let kx = 0; kx < kw; kx++)
      for (let band = 0; band < bands; band++)
        for (let c = 0; c < CHANNELS; c++)
          for (let r = 0; r < ROWS; r++, to++) {
            const [channel, ky] = [eight * CHANNELS + c, band * ROWS + r];
            if (channel < s.m && ky < kh) out[to] = spec.weights[(channel * kh + ky) * kw + kx]!;
          }
  return { kind: "bytes", bytes: s.wide ? new Uint8Array(out.buffer) : new Uint8Array(Int8Array.from(out).buffer) };
}

/** Vectors that each column of inputs becomes, and what they are multiplied by. */
interface Column {
  /** Statements that make them, of the rows from pointer `xt` plus `displacement` on; names begin with `prefix`. */
  load(displacement: number, prefix: string): readonly Stmt[];
  /** Adds the products with column `kx` of the weights to the accumulator `acc` of four channels. */
  add(acc: string, quad: number, kx: number, prefix: string): Stmt;
  /** Statements before the loop: the weights, in registers. */
  readonly weights: readonly Stmt[];
}

/** Bytes: four rows of four channels to a vector. */
function byteColumn(spec: BytesSpec, rowStep: number, quads: number): Column {
  const [kh, kw] = spec.kernel;
  const bands = Math.ceil(kh / ROWS);
  const name = (kx: number, band: number, quad: number): string => `w${kx}_${band}_${quad}`;
  const zero = splat("i8x16", i32(0));
  const pairs = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
  const eight = (ky: number, displacement: number): Expr =>
    ky < kh ? asRead(spec, load("i8x16", variable("xt", "ptr"), displacement + ky * rowStep)) : zero;
  return {
    weights: count(kw).flatMap((kx) =>
      count(bands).flatMap((band) =>
        count(quads).map((quad) => let_(name(kx, band, quad), load("i8x16", variable("wg", "ptr"), 32 * (kx * bands + band) + 16 * quad))),
      ),
    ),
    load: (displacement, prefix) =>
      count(bands).flatMap((band) => {
        const [ab, cd] = [`${prefix}ab${band}`, `${prefix}cd${band}`];
        const pair = (first: number): Expr => {
          const row = ROWS * band + first;
          return row < kh ? shuffle(eight(row, displacement), eight(row + 1, displacement), pairs) : zero;
        };
        const [low, high] = [variable(ab, "i8x16"), variable(cd, "i8x16")].map((v) => bitcast("i16x8", v)) as [Expr, Expr];
        return [
          let_(ab, pair(0)),
          let_(cd, pair(2)),
          ...count(quads).map((quad) => {
            const lanes = count(4).flatMap((i) => [4 * quad + i, 8 + 4 * quad + i]);
            return let_(`${prefix}q${band}_${quad}`, bitcast("i8x16", shuffle(low, high, lanes)));
          }),
        ];
      }),
    add: (acc, quad, kx, prefix) => {
      const sum = count(bands).reduce<Expr>(
        (a, band) => dotBytes(variable(name(kx, band, quad), "i8x16"), variable(`${prefix}q${band}_${quad}`, "i8x16"), a, readingOf(spec)),
        variable(acc, "i32x4"),
      );
      return set(acc, sum);
    },
  };
}

/** 16 bits: two rows of four channels to a vector. */
function pairColumn(spec: BytesSpec, wide: boolean, rowStep: number, quads: number): Column {
  const [kh, kw] = spec.kernel;
  const [bands, pairs] = [Math.ceil(kh / ROWS), Math.ceil(kh / 2)];
  const name = (kx: number, pair: number, quad: number): string => `w${kx}_${pair}_${quad}`;
  const zero = splat("i16x8", i32(0));
  const size = wide ? 2 : 1;
  return {
    weights: count(kw).flatMap((kx) =>
      count(pairs).flatMap((pair) =>
        count(quads).map((quad) => {
          const at = size * (32 * (kx * bands + Math.floor(pair / 2)) + 16 * quad);
          const half = (h: number): Expr => bitcast("i32x4", load(wide ? "i16x8" : "i8x8", variable("wg", "ptr"), at + 8 * size * h));
          const lanes = pair % 2 === 0 ? [0, 2, 4, 6] : [1, 3, 5, 7];
          return let_(name(kx, pair, quad), bitcast("i16x8", shuffle(half(0), half(1), lanes)));
        }),
      ),
    ),
    load: (displacement, prefix) => [
      ...count(kh).map((ky) => let_(`${prefix}r${ky}`, load("u8x8", variable("xt", "ptr"), displacement + ky * rowStep))),
      ...count(pairs).flatMap((pair) =>
        count(quads).map((quad) => {
          const lanes = count(4).flatMap((i) => [4 * quad + i, 8 + 4 * quad + i]);
          const second = 2 * pair + 1 < kh ? variable(`${prefix}r${2 * pair + 1}`, "i16x8") : zero;
          return let_(`${prefix}q${pair}_${quad}`, shuffle(variable(`${prefix}r${2 * pair}`, "i16x8"), second, lanes));
        }),
      ),
    ],
    add: (acc, quad, kx, prefix) => {
      const sum = count(pairs).reduce<Expr>(
        (a, pair) => add(a, dot(variable(name(kx, pair, quad), "i16x8"), variable(`${prefix}q${pair}_${quad}`, "i16x8"))),
        variable(acc, "i32x4"),
      );
      return set(acc, sum);
    },
  };
}

/** The function of a tile of `pixels` outputs by `quads` times four channels; a team shares its rows, or calls of it. */
function tileFunction(
  spec: BytesSpec,
  s: BytesShape,
  streams: Streams,
  { name, pixels, quads, lanes, rows }: Pick<Sweep, "name" | "pixels" | "lanes"> & { readonly quads: number; readonly rows: boolean },
): Func {
  const [rowStep, pixelStep] = [spec.input.strides[2]! * spec.dilations[0], spec.input.strides[3]!];
  const column = usesBytes(spec, s) ? byteColumn(spec, rowStep, quads) : pairColumn(spec, s.wide, rowStep, quads);
  const [stride, dilation, kw] = [spec.strides[1], spec.dilations[1], spec.kernel[1]];
  const acc = (p: number, q: number): string => `a${p}_${q}`;
  const zero = splat("i32x4", i32(0));
  const columns = [...new Set(count(pixels).flatMap((p) => count(kw).map((kx) => p * stride + kx * dilation)))].sort((a, b) => a - b);
  const sum: Stmt[] = [
    ...count(pixels).flatMap((p) =>
      count(quads).map((q) => let_(acc(p, q), spec.bias ? load("i32x4", variable("bp", "ptr"), 16 * q) : zero)),
    ),
    ...columns.flatMap((at): Stmt[] => {
      const users = count(pixels).flatMap((p) =>
        count(kw)
          .filter((kx) => p * stride + kx * dilation === at)
          .map((kx) => [p, kx] as const),
      );
      const prefix = `c${at}`;
      return [
        ...column.load(at * pixelStep, prefix),
        ...users.flatMap(([p, kx]) => count(quads).map((q) => column.add(acc(p, q), q, kx, prefix))),
      ];
    }),
  ];
  return sweepFunction(spec, s, streams, {
    ...{ name, pixels, lanes, sum },
    size: 1,
    shared: rows ? "rows" : undefined,
    before: column.weights,
    sums: (p) => count(quads).map((q) => variable(acc(p, q), "i32x4")),
  });
}

/** Depthwise convolution of bytes, one output for each input channel. Undefined for others, and for windows of more than 25 elements. */
export function bytesDepthwise(given: BytesSpec): Lowered | undefined {
  const s = bytesShape(given);
  const [kh, kw] = given.kernel;
  const size = MEMORY_BYTES[memoryOf(given.output.dtype)];
  if (!s || s.matrix || given.groups !== s.c || s.m !== s.c || s.c === 1 || kh * kw > MOST_TAPS || s.to.channel !== size) return undefined;
  const spec = usesBytes(given, s) ? asSummed(given, weightSums(given, s.m)) : given;
  const weights = pack(given, s);
  const eightBytes = CHANNELS * ROWS * Math.ceil(kh / ROWS) * kw * (s.wide ? 2 : 1);
  const whole = Math.floor(s.m / CHANNELS);
  const rest = s.m % CHANNELS;
  const rows = sharedAxis([s.ho, whole]) !== 1;
  const streams = streamsOf(spec, s, weights, CHANNELS);
  const functions: Func[] = [];
  const body: Stmt[] = [];
  const part = (first: number, n: number, quads: number, lanes: number): void => {
    if (n === 0) return;
    const [g, m] = [variable(`g${first}`), variable(`m${first}`)];
    const from = advance(variable("x", "ptr"), add(mul(variable("n"), i32(s.from.image)), m));
    const calls = balanced(s.wo, 3).map((xs) => {
      const name = `${spec.name}_${xs.size}x${4 * quads}${lanes < 4 ? `_${lanes}` : ""}`;
      if (!functions.some((f) => f.name === name))
        functions.push(tileFunction(spec, s, streams, { name, pixels: xs.size, quads, lanes, rows }));
      const at = mul(add(g, i32(first / CHANNELS)), i32(eightBytes));
      return sweepCall(spec, s, { name, size: 1 }, from, xs, { m, of: m, weights: at });
    });
    const each = [let_(`m${first}`, add(i32(first), mul(g, i32(CHANNELS)))), ...calls];
    body.push(for_(`g${first}`, i32(0), i32(n), each, 1, rows ? undefined : 1));
  };
  part(0, whole, 2, 4);
  if (rest > 0) part(whole * CHANNELS, 1, Math.ceil(rest / 4), lanesOf(spec, s));
  return framed(spec, s, streams, {
    kernel: "conv_u8_depthwise",
    doc: `depthwise convolution of bytes, ${s.c} channels, ${kh} x ${kw} taps`,
    ...{ functions, body, scratch: [], before: [] },
    why: `small integers, each channel by itself, ${usesBytes(spec, s) ? "four rows" : "two rows"} of a window to a sum at once`,
  });
}
