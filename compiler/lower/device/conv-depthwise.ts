// Convolutions of each channel by itself, on a device: a thread for four neighbours of a row, which share what they read.

import {
  add,
  advance,
  callStmt,
  f32,
  fma,
  i32,
  load,
  lt,
  mul,
  pointer,
  replace,
  splat,
  sub,
  team,
  variable,
} from "../../../ir/kernel/build.ts";
import type { Expr, Func } from "../../../ir/kernel/types.ts";
import type { Capabilities } from "../../backend.ts";
import { outer } from "../anchor.ts";
import { Emitter } from "../generic/emitter.ts";
import { type GenericContext, kernelName } from "../generic/kernel.ts";
import type { Binding, Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { fits } from "./buffers.ts";
import { type ConvSpec, convSpecOf, isPadded } from "./conv-spec.ts";
import { SIZE } from "./elements.ts";
import { isWithin } from "./pixels.ts";
import { isLaneSafe, putOf, type Target } from "./put.ts";
import { axesOf, bytesAt, inBytes, inElements, unravel } from "./span.ts";

/** Taps of a row that are written out. */
const MOST_TAPS = 7;

const product = (xs: readonly number[]): number => xs.reduce((a, b) => a * b, 1);

/** [channel][taps, then the bias]. */
function packWeights({ weights, bias }: ConvSpec, channels: number, taps: number): Uint8Array {
  const values = new Float32Array(channels * (taps + 1));
  for (let c = 0; c < channels; c++) {
    values.set(weights.subarray(c * taps, (c + 1) * taps), c * (taps + 1));
    values[c * (taps + 1) + taps] = bias?.[c] ?? 0;
  }
  return new Uint8Array(values.buffer);
}

/** Rows of the result, of all channels, as rows of a matrix for each image. */
function targetOf({ output, operands }: ConvSpec): Target {
  const rank = output.shape.length;
  const rows = output.shape.slice(1, -1);
  const coords = (batch: Expr, row: Expr, column: Expr): Expr[] => [batch, ...unravel(row, rows), column];
  const safe = [output, ...operands].every((s) => isLaneSafe(s, rank, rank - 1));
  return {
    storage: output,
    batch: axesOf(output, 0, 1),
    row: axesOf(output, 1, rank - 1),
    column: axesOf(output, rank - 1, rank),
    coords,
    ...(safe ? { wide: { axis: rank - 1, coords: (b, r, quad) => coords(b, r, mul(quad, i32(4))) } } : {}),
  };
}

export function deviceDepthwise(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  const spec = convSpecOf(u, c);
  if (spec?.inputs !== 1 || spec.outputs !== 1 || spec.axes.at(-1)!.taps > MOST_TAPS) return undefined;
  const { input, output, axes } = spec;
  const [images, channels] = output.shape as [number, number];
  const outer_ = axes.slice(0, -1);
  const across = axes.at(-1)!;
  const taps = product(axes.map((a) => a.taps));
  const weights = packWeights(spec, channels, taps);
  const name = kernelName(u);
  const put = putOf(`${name}_put`, targetOf(spec), spec.epilogue);
  const em = new Emitter();
  const params = [pointer("x", "read", input.bytes), pointer("weights", "read", weights.length), ...put.params];
  for (const p of params) em.parameter(p.name, p.type);
  const [x, w] = [variable("x", "ptr"), variable("weights", "ptr")];
  const quads = Math.ceil(across.out / 4);
  const shape = [images, channels, ...outer_.map((a) => a.out), quads];
  const count = product(shape);
  const number = em.named("n", add(mul(team("group"), i32(SIZE)), team("rank")));
  em.branch(lt(number, i32(count)), () => {
    const coords = em.coordinates(
      number,
      shape,
      shape.map((_, axis) => axis),
    );
    const [image, channel, ...place] = coords as [Expr, Expr, ...Expr[]];
    const quad = place.at(-1)!;
    const own = (tap: Expr): Expr => {
      const { ptr, offset } = em.address(w, add(mul(channel, i32(4 * (taps + 1))), mul(tap, i32(4))));
      return em.named("w", load("f32", ptr, offset));
    };
    const first = [...place.slice(0, -1), mul(quad, i32(4))].map((o, k) =>
      em.named("o", sub(mul(o, i32(axes[k]!.stride)), i32(axes[k]!.pad))),
    );
    const start = own(i32(taps));
    const sums = [0, 1, 2, 3].map(() => em.mutable("acc", start));
    const base = add(
      add(i32(input.offset / 4), bytesAt(inElements(axesOf(input, 0, 2)), add(mul(image, i32(channels)), channel))),
      mul(first.at(-1)!, i32(across.pitch / 4)),
    );
    /** The steps along the row at which any of the four reads. */
    const steps = [
      ...new Set([0, 1, 2, 3].flatMap((lane) => Array.from({ length: across.taps }, (_, t) => lane * across.stride + t * across.dilation))),
    ].sort((a, b) => a - b);
    const bounded = isPadded(across) || across.out % 4 !== 0;
    const nest = (k: number, tap: Expr, at: Expr): void => {
      const axis = outer_[k];
      if (axis) {
        em.loop("t", i32(0), i32(axis.taps), 1, (t) => {
          const y = em.named("y", add(first[k]!, mul(t, i32(axis.dilation))));
          const inner = (): void => nest(k + 1, add(mul(tap, i32(axis.taps)), t), add(at, mul(y, i32(axis.pitch / 4))));
          if (isPadded(axis)) em.branch(isWithin(y, axis.extent), inner);
          else inner();
        });
        return;
      }
      const row = em.named("row", at);
      const values = new Map(
        steps.map((s) => {
          const read = (): Expr => load("f32", advance(x, inBytes(add(row, i32((s * across.pitch) / 4)))));
          if (!bounded) return [s, em.named("v", read())] as const;
          const value = em.mutable("v", f32(0));
          em.branch(isWithin(add(first.at(-1)!, i32(s)), across.extent), () => value.assign(read()));
          return [s, value.read] as const;
        }),
      );
      for (let t = 0; t < across.taps; t++) {
        const weight = own(add(mul(tap, i32(across.taps)), i32(t)));
        sums.forEach((sum, lane) => sum.assign(fma(weight, values.get(lane * across.stride + t * across.dilation)!, sum.read)));
      }
    };
    nest(0, i32(0), base);
    const four = sums
      .slice(1)
      .reduce((v, sum, k) => em.named("q", replace(v, k + 1, sum.read)), em.named("q", splat("f32x4", sums[0]!.read)));
    const rowNumber = place.slice(0, -1).reduce((r, o, k) => add(mul(r, i32(outer_[k]!.out)), o), channel);
    em.emit(callStmt(put.func.name, put.args(four, image, rowNumber, quad)));
  });
  const grid = { workgroups: Math.ceil(count / SIZE), size: SIZE, shared: [] };
  const doc = `depthwise convolution, ${taps} taps of ${channels} channels`;
  const entry: Func = { name, doc, params, body: em.body, grid };
  const operand = u.operands.indexOf(outer(u, spec.node.inputs[0]!));
  const bindings: Binding[] = [
    { kind: "operand", operand },
    { kind: "packed", packed: { kind: "bytes", bytes: weights } },
    ...put.bindings,
  ];
  return fits(bindings, u, c, can)
    ? {
        kernel: "conv_f32_depthwise",
        functions: [put.func, entry],
        entry: name,
        bindings,
        faults: [],
        why: "a thread for four neighbours of a row",
      }
    : undefined;
}
