// Both sides of a product of bytes as a device reads them: words of four channels, of signed bytes, so that one dot product takes four at once.

import { add, binary, i32, load, lt, mul, pointer, splat, sub, variable } from "../../../ir/kernel/build.ts";
import type { Expr } from "../../../ir/kernel/types.ts";
import type { Emitter } from "../generic/emitter.ts";
import type { Arithmetic } from "./arithmetic.ts";
import { type BytesSpec, tapsOf, WORD, wordsOf } from "./bytes-spec.ts";
import { isPadded } from "./conv-spec.ts";
import { gathered, guarded, type Reach, type Side, strided } from "./operand.ts";
import { isWithin } from "./pixels.ts";
import type { Start } from "./product.ts";
import { bytesAt, linear, spanOf, unravel } from "./span.ts";

/** Flips the sign bit of each byte: what is left is signed, and 128 less. */
const SIGNS = 0x80808080 | 0;
const OFFSET = 128;

/** Weights of more than 8 bits as sums of several of 8: how many are wanted for all of them. */
export function partsOf(spec: BytesSpec): number {
  let most = 0;
  let least = 0;
  for (let m = 0; m < spec.groups * spec.outputs; m++)
    for (let k = 0; k < spec.inputs; k++)
      for (let tap = 0; tap < tapsOf(spec); tap++) {
        const w = spec.weight(m, k, tap);
        most = Math.max(most, w);
        least = Math.min(least, w);
      }
  return Math.max(1, Math.ceil(most / 127), Math.ceil(least / -128));
}

/** What is left for part `part` of a weight once those before took as much as fits them. */
function partOf(weight: number, part: number): number {
  let rest = weight;
  for (let k = 0; ; k++) {
    const own = Math.max(-128, Math.min(127, rest));
    if (k === part) return own;
    rest -= own;
  }
}

/** [group][part, tap, word][outputs of the group, padded to fours], and as one more depth what each sum starts with. */
function pack(spec: BytesSpec, parts: number, pitch: number): Int32Array {
  const { groups, outputs, inputs } = spec;
  const [taps, each] = [tapsOf(spec), wordsOf(spec)];
  const depth = parts * taps * each;
  const values = new Int32Array(groups * (depth + 1) * pitch);
  for (let g = 0; g < groups; g++)
    for (let m = 0; m < outputs; m++) {
      const own = g * outputs + m;
      const at = g * (depth + 1) * pitch + m;
      let sum = 0;
      for (let tap = 0; tap < taps; tap++)
        for (let k = 0; k < inputs; k++) {
          const w = spec.weight(own, k, tap);
          sum += w;
          for (let part = 0; part < parts; part++) {
            const word = (part * taps + tap) * each + Math.floor(k / WORD);
            values[at + word * pitch]! |= (partOf(w, part) & 0xff) << (8 * (k % WORD));
          }
        }
      values[at + depth * pitch] = spec.bias(own) + OFFSET * sum;
    }
  return values;
}

export interface Weights extends Side {
  readonly start: Start;
  readonly bytes: number;
}

/** A line for each output of a group; the batch is of groups. */
export function weightWords(spec: BytesSpec, parts: number, reach: Reach, arithmetic: Arithmetic): Weights {
  const pitch = Math.ceil(spec.outputs / 4) * 4;
  const depth = parts * tapsOf(spec) * wordsOf(spec);
  const values = pack(spec, parts, pitch);
  const batch = spanOf([spec.groups], [values.byteLength / spec.groups]);
  const at = { offset: 0, bytes: values.byteLength, batch, line: spanOf([pitch], [4]), depth: spanOf([depth], [4 * pitch]) };
  const binding = { kind: "packed", packed: { kind: "bytes", bytes: new Uint8Array(values.buffer) } } as const;
  const start: Start = (em, group, quad) =>
    guarded(
      em,
      pitch % reach.lines === 0 ? [] : [lt(quad, i32(pitch / 4))],
      () => {
        const place = add(add(bytesAt(batch, group), mul(quad, i32(16))), i32(4 * depth * pitch));
        const { ptr, offset } = em.address(variable("weights", "ptr"), place);
        return load("i32x4", ptr, offset);
      },
      arithmetic.zero,
    );
  return { ...strided("weights", binding, at, reach, undefined, arithmetic), start, bytes: values.byteLength };
}

/** A line for each place of the result, of the words under all taps, once for each part of the weights; what is beyond the depth is anything. */
export function placeWords(spec: BytesSpec, parts: number, reach: Reach): Side {
  const { input, places, from, axes, groups, inputs } = spec;
  const each = wordsOf(spec);
  const lines = places.reduce((a, b) => a * b, 1);
  const depth = parts * tapsOf(spec) * each;
  const steps = [input.offset, groups === 1 ? 0 : inputs, ...from.map((d, k) => (places[k] === 1 && input.shape[k] === 1 ? 0 : d))];
  // Four words are read at once where no four lie under two taps.
  const four = each % 4 === 0 && steps.every((d) => d % (4 * WORD) === 0);
  const unit = four ? 4 * WORD : WORD;
  const inUnits = (bytes: number): Expr => i32(bytes / unit);
  const images = places.length - axes.length;
  const strides = from.map((d, k) => (k < images ? d : d * axes[k - images]!.stride));
  const outside = splat("i32x4", i32(Math.imul(spec.fill, 0x01010101) ^ SIGNS));
  const bounded = lines % reach.lines === 0 ? [] : [i32(lines)];
  return {
    deep: true,
    params: [pointer("x", "read", input.bytes)],
    bindings: [{ kind: "operand", operand: spec.operand }],
    open(em, group, line) {
      const coords = unravel(line, places);
      const first = axes.map((a, k) => em.named("o", sub(mul(coords[images + k]!, i32(a.stride)), i32(a.pad))));
      const padding = axes.reduce((sum, a) => sum + a.pad * a.pitch, 0);
      const base = add(mul(group, inUnits(groups === 1 ? 0 : inputs)), inUnits(input.offset - padding));
      const place = em.named(
        "at",
        coords.reduce((sum, x, k) => add(sum, mul(x, inUnits(strides[k]!))), base),
      );
      const inside = bounded.map((end) => em.named("in", lt(line, end)));
      /** The word, or four of them, at one depth. */
      const reading = (em_: Emitter, at: Expr, fours: boolean) => {
        const [, ...where] = unravel(at, [parts, ...axes.map((a) => a.taps), fours ? each / 4 : each]) as [Expr, ...Expr[]];
        const word = where.at(-1)!;
        const shifts = axes.map((a, k) => (a.taps === 1 ? i32(0) : em_.named("s", mul(where[k]!, i32(a.dilation)))));
        const bytes = shifts.reduce((sum, s, k) => add(sum, mul(s, inUnits(axes[k]!.pitch))), add(place, word));
        return {
          when: [...inside, ...axes.flatMap((a, k) => (isPadded(a) ? [isWithin(add(first[k]!, shifts[k]!), a.extent)] : []))],
          read: (): Expr => {
            const { ptr, offset } = em_.address(variable("x", "ptr"), linear(mul(bytes, i32(unit))));
            const value = load(fours ? "i32x4" : "i32", ptr, offset);
            return binary("xor", value, fours ? splat("i32x4", i32(SIGNS)) : i32(SIGNS));
          },
        };
      };
      const bound = depth % reach.depth === 0 ? [] : [depth];
      return (at) => {
        const k = em.named("d", at);
        if (four) {
          const { when, read } = reading(em, k, true);
          return guarded(em, [...bound.map((end) => lt(k, i32(end / 4))), ...when], read, outside);
        }
        return gathered(
          em,
          (lane) => {
            const own = em.named("k", add(mul(k, i32(4)), i32(lane)));
            const { when, read } = reading(em, own, false);
            return { when: [...bound.map((end) => lt(own, i32(end))), ...when], read };
          },
          outside,
        );
      };
    },
  };
}
