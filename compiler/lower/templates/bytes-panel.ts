// The inputs of a tile of pixels, brought together for sparse products: rows of a few channels of each pixel, pixels side by side.

import {
  add,
  advance,
  bitcast,
  cast,
  extract,
  for_,
  i32,
  let_,
  load,
  min,
  mul,
  shuffle,
  store,
  sub,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import { count } from "./bytes-frame.ts";
import { asRead, type BytesShape, type BytesSpec } from "./bytes-spec.ts";
import { extentOf, LANES, type Tiling } from "./bytes-tiling.ts";

/**
 * What a row holds of a pixel: four neighbouring channels, two of them in 16 bits, one as f32, whose products and sums below 2^24 are exact,
 * or one as it is (`planes`), any four of which a dot product takes together.
 */
export type Form = "bytes" | "pairs" | "floats" | "planes";

interface Shape {
  /** Channels in a row, rows to a unit of the lists, and bytes of a pixel in a row. */
  readonly channels: number;
  readonly rows: number;
  readonly pixel: number;
  /** Rows that are filled at once. */
  readonly chunk: number;
}
const SHAPES: Readonly<Record<Form, Shape>> = {
  bytes: { channels: 4, rows: 1, pixel: 4, chunk: 4 },
  pairs: { channels: 2, rows: 2, pixel: 4, chunk: 4 },
  floats: { channels: 1, rows: 1, pixel: 4, chunk: 4 },
  planes: { channels: 1, rows: 1, pixel: 1, chunk: 16 },
};

/** Whether a unit of the lists is one weight, and not a word of four neighbours. */
export const bySingles = (form: Form): boolean => form === "floats" || form === "planes";

export interface Panel {
  readonly form: Form;
  /** Pixels that a line of the tile takes in a row: its own, and what windows reach beyond them. */
  readonly line: number;
  /** Pixels of a row, and its bytes. */
  readonly width: number;
  readonly row: number;
  /** Panels for the columns of the kernel: one for all where pixels that are neighbours are read by neighbours. */
  readonly across: number;
  /** Rows for each row of the kernel and each of its columns that has a panel of its own. */
  readonly rows: number;
  /** Blocks of channels that it is filled with, one after the other, so that it stays in the cache; and units of a block. */
  readonly blocks: number;
  readonly units: number;
  readonly bytes: number;
  /** Digits of a unit's number, [row of the kernel][column][unit], and the bytes that each is worth. */
  readonly radix: readonly (readonly [extent: number, stride: number])[];
}

/**
 * What stays in the first cache beside sums and lists, where units are of the most bytes and tiles of the most pixels that there are: lists
 * are of the same blocks for all targets, which then share them.
 */
const [MOST_BYTES, MOST_PIXELS] = [48 * 1024, 40];
/** So many units of a tap have numbers of a byte. */
const MOST_UNITS = 256;

export function panelOf(spec: BytesSpec, s: BytesShape, form: Form, t: Tiling): Panel {
  const [kh, kw] = spec.kernel;
  const reach = (kw - 1) * spec.dilations[1];
  const across = spec.strides[1] === 1 ? 1 : kw;
  const line = extentOf(t) + (across === 1 ? reach : 0);
  const width = t.down * line;
  const row = SHAPES[form].pixel * width;
  const single = bySingles(form);
  const all = single ? s.c : Math.ceil(s.c / 4);
  const widest = 4 * MOST_PIXELS * (single ? 1 : 2) * kh * (across === 1 ? 1 : kw);
  // Whole chunks, whichever form they are brought together in.
  const chunk = single ? 16 : 4;
  const units = chunk * Math.min(Math.ceil(all / chunk), MOST_UNITS / chunk, Math.max(1, Math.floor(MOST_BYTES / widest / chunk)));
  const rows = units * SHAPES[form].rows;
  return {
    form,
    line,
    width,
    row,
    across,
    rows,
    blocks: Math.ceil(all / units),
    units,
    // The last vector of a row of planes may be cut off behind it.
    bytes: kh * across * rows * row + (form === "planes" ? 16 : 0),
    radix: [
      [kh, across * rows * row],
      [kw, across === 1 ? SHAPES[form].pixel * spec.dilations[1] : rows * row],
      [units, SHAPES[form].rows * row],
    ],
  };
}

/** Vectors a, b, c, d as the first, second, third and fourth lanes of all. */
export function transposed([a, b, c, d]: readonly [Expr, Expr, Expr, Expr], keep: (e: Expr) => Expr): readonly Expr[] {
  const [low, high] = [
    [0, 4, 1, 5],
    [2, 6, 3, 7],
  ] as const;
  const halves = [low, high].map((lanes) => [keep(shuffle(a, b, lanes)), keep(shuffle(c, d, lanes))] as const);
  return halves.flatMap(([x, y]) => [shuffle(x, y, [0, 1, 4, 5]), shuffle(x, y, [2, 3, 6, 7])]);
}

/** What is brought to the rows of a chunk of a pixel, from the channels at `ptr + offset`. */
function lanes(spec: BytesSpec, form: Form, ptr: Expr, offset: number): Expr {
  if (form === "bytes") return asRead(spec, load("i32x4", ptr, offset));
  if (form === "planes") return load("i32x4", ptr, offset);
  return form === "pairs" ? bitcast("i32x4", load("u8x8", ptr, offset)) : cast("f32x4", load("u8x4", ptr, offset));
}

/** Lanes of one half of two vectors of 2n lanes, in turn. */
export const zipped = (n: number, half: number): number[] => count(n).flatMap((i) => [n * half + i, 2 * n + n * half + i]);

/** Four pixels' sixteen channels each, as sixteen channels' four pixels each: four of them to a vector. */
function interleaved([a, b, c, d]: readonly [Expr, Expr, Expr, Expr], keep: (e: Expr) => Expr): readonly Expr[] {
  const as = (e: Expr): Expr => bitcast("i8x16", e);
  return [0, 1].flatMap((half) => {
    const [x, y] = [shuffle(as(a), as(b), zipped(8, half)), shuffle(as(c), as(d), zipped(8, half))].map((e) =>
      keep(bitcast("i16x8", e)),
    ) as [Expr, Expr];
    return [0, 1].map((part) => keep(bitcast("i32x4", shuffle(x, y, zipped(4, part)))));
  });
}

/** Fills the panel behind `panel` with block `block` of what the windows of the pixels from pointer `x` on read. */
export function fillPanel(spec: BytesSpec, s: BytesShape, p: Panel, t: Tiling, block: Expr): Stmt[] {
  const { channels, chunk: size, pixel } = SHAPES[p.form];
  const chunks = Math.ceil(s.c / (size * channels));
  const first = mul(block, i32(p.rows / size));
  const here = p.blocks === 1 ? i32(chunks) : min(i32(p.rows / size), sub(i32(chunks), first));
  const pitch = spec.input.strides[s.matrix ? 0 : 3]!;
  const down = (s.matrix ? 0 : spec.input.strides[2]!) * spec.dilations[0];
  const step = p.across === 1 ? pitch : s.from.pixel;
  const type = p.form === "floats" ? "f32x4" : "i32x4";
  const { row } = p;
  // The last four pixels may have been copied already, in part.
  const along = count(Math.ceil(p.line / LANES)).map((i) => Math.min(LANES * i, p.line - LANES));
  const fours = count(t.down).flatMap((y) => along.map((x) => ({ from: y * s.from.row + x * step, to: y * p.line + x })));
  return count(spec.kernel[0]).flatMap((ky) =>
    count(p.across).map((kx) => {
      const from = ky * down + kx * pitch * spec.dilations[1];
      const to = (ky * p.across + kx) * p.rows * row;
      const own = (name: string): string => `${name}${ky}_${kx}`;
      const [xc, pc, chunk] = [variable(own("xc"), "ptr"), variable(own("pc"), "ptr"), variable(own("chunk"))];
      const body: Stmt[] = [
        let_(own("xc"), advance(variable("x", "ptr"), mul(add(first, chunk), i32(size * channels)))),
        let_(own("pc"), advance(variable("panel", "ptr"), mul(chunk, i32(size * row)))),
      ];
      fours.forEach((at, i) => {
        const keep = (e: Expr): Expr => {
          const name = own(`v${i}_${body.length}_`);
          body.push(let_(name, e));
          return variable(name, e.type);
        };
        const four = count(4).map((q) => keep(lanes(spec, p.form, xc, from + at.from + q * step)));
        const pixels = four as unknown as readonly [Expr, Expr, Expr, Expr];
        const place = (q: number): number => to + q * row + pixel * at.to;
        if (p.form === "planes")
          interleaved(pixels, keep).forEach((v, q) => {
            for (const lane of count(4)) body.push(store("i32", pc, extract(v, lane), place(4 * q + lane)));
          });
        else transposed(pixels, keep).forEach((r, q) => body.push(store(type, pc, r, place(q))));
      });
      return for_(own("chunk"), i32(0), here, body);
    }),
  );
}
