// Copies one image into scratch rows with padding: [rows][C][phases][width] f32, where place q of phase p of a row holds the
// element `q * stride + p - left` of the operand's row `r - top`, and `fill` where there is none.

import {
  add,
  advance,
  and,
  compare,
  f32,
  for_,
  i32,
  if_,
  let_,
  load,
  mul,
  pointer,
  set,
  shuffle,
  splat,
  store,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func, Stmt } from "../../../ir/kernel/types.ts";
import type { Storage } from "../storage.ts";

export interface PackSpec {
  readonly name: string;
  /** [N, C, H, W] f32; the copied image is the one that the pointer is advanced to. */
  readonly input: Storage;
  readonly rows: number;
  readonly phases: number;
  /** Floats of one phase, a multiple of 4. */
  readonly width: number;
  readonly stride: number;
  readonly top: number;
  readonly left: number;
  /** What stands where there is none. */
  readonly fill: number;
  /** What a team shares out: rows, or the channels of each. Nothing, where each thread copies what it needs. */
  readonly split: "rows" | "channels" | undefined;
}

/** Room for whole vectors of outputs and for the places that their taps reach. */
export const packedRowWidth = (outputs: number, places: number): number => Math.ceil((Math.ceil(outputs / 4) * 4 + places - 1) / 4) * 4;

/** `fill` from float `from` to float `to` behind `ptr`, both multiples of 4. */
function clear(fill: Expr, ptr: Expr, from: number, to: number, name: string): Stmt[] {
  if (from >= to) return [];
  if (to - from <= 16) return Array.from({ length: (to - from) / 4 }, (_, i) => store("f32x4", ptr, fill, (from + 4 * i) * 4));
  const at = variable(name, "ptr");
  const i = variable(`${name}_i`);
  return [
    let_(name, advance(ptr, i32(from * 4))),
    for_(i.kind === "var" ? i.name : "", i32(from), i32(to), [store("f32x4", at, fill), set(name, advance(at, i32(16)))], 4),
  ];
}

/** `count` elements, `step` bytes apart in the operand, to neighbouring floats. */
function copy(s: PackSpec, phase: number, from: Expr, to: Expr, place: number, count: number, first: number): Stmt[] {
  const element = s.input.strides[3]!;
  const width = s.input.shape[3]!;
  const step = s.stride * element;
  const wide = s.stride <= 2 && element === 4;
  // A vector reads 4 or 8 neighbours and must not read past the row.
  const whole = wide ? Math.max(0, Math.min(Math.floor(count / 4), Math.floor((width - first) / (4 * s.stride)))) : 0;
  const [x, y, z, u] = [`x${phase}`, `y${phase}`, `v${phase}`, `i${phase}`];
  const [xp, yp] = [variable(x, "ptr"), variable(y, "ptr")];
  const value = s.stride === 1 ? load("f32x4", xp) : shuffle(load("f32x4", xp), load("f32x4", xp, 16), [0, 2, 4, 6]);
  const body: Stmt[] = [let_(x, advance(from, i32(first * element))), let_(y, advance(to, i32(place * 4)))];
  if (whole > 0) {
    const moves = [store("f32x4", yp, value), set(x, advance(xp, i32(4 * step))), set(y, advance(yp, i32(16)))];
    body.push(for_(z, i32(0), i32(whole), moves));
  }
  const rest = count - 4 * whole;
  if (rest > 0) {
    const moves = [store("f32", yp, load("f32", xp)), set(x, advance(xp, i32(step))), set(y, advance(yp, i32(4)))];
    body.push(for_(u, i32(0), i32(rest), moves));
  }
  return body;
}

export function packRows(s: PackSpec): Func {
  const { input } = s;
  const fill = splat("f32x4", f32(s.fill));
  const [, channelStride, rowStride] = input.strides as [number, number, number, number];
  const [, c, h, w] = input.shape as [number, number, number, number];
  const channel = s.phases * s.width * 4;
  const [from, to] = [variable("from", "ptr"), variable("to", "ptr")];
  const inside: Stmt[] = [];
  for (let phase = 0; phase < s.phases; phase++) {
    // Places q with 0 <= q * stride + phase - left < w.
    const q0 = Math.max(0, Math.ceil((s.left - phase) / s.stride));
    const q1 = Math.min(s.width, Math.ceil((w + s.left - phase) / s.stride));
    const at = phase * s.width;
    if (q1 <= q0) {
      inside.push(...clear(fill, to, at, at + s.width, `z${phase}`));
      continue;
    }
    inside.push(
      ...clear(fill, to, at, at + Math.ceil(q0 / 4) * 4, `z${phase}`),
      ...clear(fill, to, at + Math.floor(q1 / 4) * 4, at + s.width, `w${phase}`),
    );
    inside.push(...copy(s, phase, from, to, at + q0, q1 - q0, q0 * s.stride + phase - s.left));
  }
  const y = add(variable("r"), i32(-s.top));
  const [row, into] = [variable("row", "ptr"), variable("into", "ptr")];
  const rowOf = advance(variable("x", "ptr"), add(mul(y, i32(rowStride)), i32(input.offset)));
  const k = variable("k");
  const fillRow = [for_("k", i32(0), i32(c * channel), [store("f32x4", advance(into, k), fill)], 16)];
  const copyRow = [
    let_("row", rowOf),
    for_(
      "c",
      i32(0),
      i32(c),
      [
        let_("from", advance(row, mul(variable("c"), i32(channelStride)))),
        let_("to", advance(into, mul(variable("c"), i32(channel)))),
        ...inside,
      ],
      1,
      s.split === "channels" ? 1 : undefined,
    ),
  ];
  const within = and(compare("ge", y, i32(0)), compare("lt", y, i32(h)));
  return {
    name: s.name,
    doc: `copies an image of ${c} x ${h} x ${w} to padded rows${s.stride > 1 ? `, columns by phase of ${s.stride}` : ""}`,
    params: [pointer("x", "read", input.bytes), pointer("scratch", "write", s.rows * c * channel)],
    body: [
      for_(
        "r",
        i32(0),
        i32(s.rows),
        [let_("into", advance(variable("scratch", "ptr"), mul(variable("r"), i32(c * channel)))), if_(within, copyRow, fillRow)],
        1,
        s.split === "rows" ? 1 : undefined,
      ),
    ],
  };
}
