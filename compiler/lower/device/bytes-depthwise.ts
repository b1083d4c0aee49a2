// Convolutions of bytes of each channel by itself, on a device: a thread for four channels of four neighbours of a row, which share what they read.

import { add, advance, callStmt, i32, load, lt, mul, pointer, splat, sub, team, variable } from "../../../ir/kernel/build.ts";
import { type Expr, type Func, MEMORY_BYTES } from "../../../ir/kernel/types.ts";
import { Emitter } from "../generic/emitter.ts";
import type { Binding, Lowered } from "../template.ts";
import { type BytesSpec, tapsOf, WORD } from "./bytes-spec.ts";
import { isPadded } from "./conv-spec.ts";
import { SIZE } from "./elements.ts";
import { guarded } from "./operand.ts";
import { isWithin } from "./pixels.ts";
import type { Put } from "./put.ts";

/** Taps of a row that are written out. */
const MOST_TAPS = 7;
/** Neighbours of a row that a thread takes. */
const ACROSS = 4;

/** First summands of all channels, then [four channels][tap][channel]; and whether taps are bytes: then one word is of four channels. */
function pack(spec: BytesSpec, channels: number): { readonly bytes: Uint8Array; readonly narrow: boolean } {
  const taps = tapsOf(spec);
  const weights = Array.from({ length: channels }, (_, m) => Array.from({ length: taps }, (_, tap) => spec.weight(m, 0, tap)));
  const narrow = weights.flat().every((w) => w >= -128 && w <= 127);
  const quads = Math.ceil(channels / WORD);
  const values = new Int32Array(quads * (WORD + taps * (narrow ? 1 : WORD)));
  weights.forEach((own, m) => {
    const [quad, lane] = [Math.floor(m / WORD), m % WORD];
    values[m] = spec.bias(m);
    own.forEach((w, tap) => {
      const at = quads * WORD + (quad * taps + tap) * (narrow ? 1 : WORD);
      if (narrow) values[at]! |= (w & 0xff) << (8 * lane);
      else values[at + lane] = w;
    });
  });
  return { bytes: new Uint8Array(values.buffer), narrow };
}

/** Undefined where the convolution is another. */
export function bytesDepthwise(spec: BytesSpec, name: string, put: Put): Lowered | undefined {
  const { input, places, from, axes, groups } = spec;
  const across = axes.at(-1);
  if (spec.inputs !== 1 || spec.outputs !== 1 || groups === 1 || !across || across.taps > MOST_TAPS) return undefined;
  const { bytes, narrow } = pack(spec, groups);
  const taps = tapsOf(spec);
  const em = new Emitter();
  const params = [pointer("x", "read", input.bytes), pointer("weights", "read", bytes.length), ...put.params];
  for (const p of params) em.parameter(p.name, p.type);
  const [x, w] = [variable("x", "ptr"), variable("weights", "ptr")];
  const quads = Math.ceil(groups / WORD);
  const shape = [...places.slice(0, -1), Math.ceil(across.out / ACROSS), quads];
  const count = shape.reduce((a, b) => a * b, 1);
  const number = em.named("n", add(mul(team("group"), i32(SIZE)), team("rank")));
  const inWords = (n: number): Expr => i32(n / WORD);
  em.branch(lt(number, i32(count)), () => {
    const coords = em.coordinates(
      number,
      shape,
      shape.map((_, axis) => axis),
    );
    const quad = coords.at(-1)!;
    const read = (memory: "i32x4" | "i8x4", at: Expr, before: number): Expr => {
      const { ptr, offset } = em.address(w, add(mul(at, i32(MEMORY_BYTES[memory])), i32(before)));
      return em.named("w", load(memory, ptr, offset));
    };
    const weight = (tap: Expr): Expr => read(narrow ? "i8x4" : "i32x4", add(mul(quad, i32(taps)), tap), 4 * WORD * quads);
    const [image, ...place] = coords.slice(0, -1) as [Expr, ...Expr[]];
    const last = place.length - 1;
    const first = place.map((o, k) =>
      em.named("o", sub(mul(k === last ? mul(o, i32(ACROSS)) : o, i32(axes[k]!.stride)), i32(axes[k]!.pad))),
    );
    const start = read("i32x4", quad, 0);
    const sums = Array.from({ length: ACROSS }, () => em.mutable("acc", start));
    const base = add(add(add(mul(image, inWords(from[0]!)), quad), inWords(input.offset)), mul(first[last]!, inWords(across.pitch)));
    /** The steps along the row at which any of the neighbours reads. */
    const steps = [
      ...new Set(sums.flatMap((_, k) => Array.from({ length: across.taps }, (_, t) => k * across.stride + t * across.dilation))),
    ].sort((a, b) => a - b);
    const bounded = isPadded(across) || across.out % ACROSS !== 0;
    const outside = splat("i32x4", i32(spec.fill));
    const overRow = (tap: Expr, at: Expr, inside: readonly Expr[]): void => {
      const row = em.named("row", at);
      const values = new Map(
        steps.map((s) => {
          const when = [...inside, ...(bounded ? [isWithin(add(first[last]!, i32(s)), across.extent)] : [])];
          const get = (): Expr => load("u8x4", advance(x, mul(add(row, inWords(s * across.pitch)), i32(WORD))));
          return [s, guarded(em, when, get, outside)];
        }),
      );
      for (let t = 0; t < across.taps; t++) {
        const own = weight(add(mul(tap, i32(across.taps)), i32(t)));
        sums.forEach((sum, k) => sum.assign(add(sum.read, mul(own, values.get(k * across.stride + t * across.dilation)!))));
      }
    };
    const nest = (k: number, tap: Expr, at: Expr, inside: readonly Expr[]): void => {
      const axis = axes[k]!;
      if (k === last) return overRow(tap, at, inside);
      em.loop("t", i32(0), i32(axis.taps), 1, (t) => {
        const y = em.named("y", add(first[k]!, mul(t, i32(axis.dilation))));
        const inner = (more: readonly Expr[]): void =>
          nest(k + 1, add(mul(tap, i32(axis.taps)), t), add(at, mul(y, inWords(axis.pitch))), [...inside, ...more]);
        if (!isPadded(axis)) inner([]);
        else if (spec.fill === 0) em.branch(isWithin(y, axis.extent), () => inner([]));
        else inner([em.named("in", isWithin(y, axis.extent))]);
      });
    };
    nest(0, i32(0), base, []);
    const rowNumber = place.slice(0, -1).reduce((r, o, k) => add(mul(r, i32(axes[k]!.out)), o), image);
    sums.forEach((sum, k) => {
      const column = em.named("c", add(mul(place[last]!, i32(ACROSS)), i32(k)));
      const store = (): void =>
        em.emit(callStmt(put.func.name, put.args(sum.read, i32(0), add(mul(rowNumber, i32(across.out)), column), quad)));
      if (across.out % ACROSS === 0) store();
      else em.branch(lt(column, i32(across.out)), store);
    });
  });
  const grid = { workgroups: Math.ceil(count / SIZE), size: SIZE, shared: [] };
  const doc = `depthwise convolution of bytes, ${taps} taps of ${groups} channels`;
  const entry: Func = { name, doc, params, body: em.body, grid };
  const bindings: Binding[] = [
    { kind: "operand", operand: spec.operand },
    { kind: "packed", packed: { kind: "bytes", bytes } },
    ...put.bindings,
  ];
  return {
    kernel: "conv_u8_depthwise",
    functions: [put.func, entry],
    entry: name,
    bindings,
    faults: [],
    why: "a thread for four channels of four neighbours of a row",
  };
}
