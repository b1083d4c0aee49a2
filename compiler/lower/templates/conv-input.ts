// Where the taps of a convolution are read from: the operand in place if its padding allows, else a padded copy in scratch memory
// with the columns that one stride apart reads put side by side. Either way a tap is one displacement for all outputs.

import type { Func } from "../../../ir/kernel/types.ts";
import type { Margin, Storage } from "../storage.ts";
import type { ConvShape, ConvSpec } from "./conv-spec.ts";
import { packedRowWidth, packRows } from "./pack-rows.ts";
import type { Access } from "./tiles.ts";

/** Bytes of everything are counted so that neighbouring outputs of a row read neighbouring floats. */
export interface TapSource {
  /** From the start of the buffer to tap (0, 0, 0) of output (0, 0) of image 0. */
  readonly base: number;
  /** Between images; 0 where each image is copied to the same scratch. */
  readonly image: number;
  /** Between output rows. */
  readonly row: number;
  readonly channel: number;
  /** Between vectors of outputs of a row: four floats, or eight where every other one is theirs. */
  readonly vector: number;
  /** Between taps one row apart. */
  readonly tapRow: number;
  /** Mixed radix of a tap's column within its row: outermost first, innermost digits of a column number. */
  readonly columns: readonly (readonly [extent: number, stride: number])[];
  /** The column of tap kx in that radix. */
  column(kx: number): number;
  /** Bytes of the buffer. */
  readonly bytes: number;
  /** The copying function (operand, scratch), for one image. */
  readonly pack?: Func;
}

const reach = (outputs: number, stride: number, taps: number, dilation: number): number =>
  (outputs - 1) * stride + (taps - 1) * dilation + 1;

/** The zero padding with which a convolution reads its operand in place; strided ones copy it anyway. */
export function marginWanted(spec: ConvSpec, s: ConvShape): Margin {
  const [top, left] = spec.pads;
  const below = reach(s.ho, spec.strides[0], s.kh, spec.dilations[0]) - top - s.h;
  const right = reach(s.wo, spec.strides[1], s.kw, spec.dilations[1]) - left - s.w;
  return { rows: Math.max(0, top, below), columns: Math.max(0, left, right) };
}

/** The zero padding that a storage has around its images. */
export function marginOf(storage: Storage): Margin {
  const [image, channel, row, element] = storage.strides as [number, number, number, number];
  const [, c, h, w] = storage.shape as [number, number, number, number];
  // Rows of channels: everything else has a channel's rows together.
  if (!storage.zeroed || row < channel * c) return { rows: 0, columns: 0 };
  return { rows: Math.floor((Math.floor(image / row) - h) / 2), columns: Math.floor(channel / element) - w };
}

/** How a template reads taps. */
export interface Reading {
  /** Whether it takes every other column in place by itself. */
  readonly everyOther?: boolean;
  /** What lies outside the input. Default 0, which is what margins hold. */
  readonly fill?: number;
}

function inPlace(spec: ConvSpec, s: ConvShape, { everyOther = false, fill = 0 }: Reading): TapSource | undefined {
  const { input, strides, dilations, pads } = spec;
  const [image, channel, row, element] = input.strides as [number, number, number, number];
  if ((strides[1] !== 1 && !(everyOther && strides[1] === 2)) || element !== 4) return undefined;
  const [want, have] = [marginWanted(spec, s), fill === 0 ? marginOf(input) : { rows: 0, columns: 0 }];
  if (want.rows > have.rows || want.columns > have.columns) return undefined;
  const base = input.offset - pads[0] * row - pads[1] * 4;
  const lanes = Math.ceil(s.wo / 4) * 4;
  const last = (s.n - 1) * image + (s.c - 1) * channel + (reach(s.ho, strides[0], s.kh, dilations[0]) - 1) * row;
  if (base < 0 || base + last + (strides[1] * lanes + (s.kw - 1) * dilations[1]) * 4 > input.bytes) return undefined;
  return {
    base,
    image,
    row: strides[0] * row,
    channel,
    vector: 16 * strides[1],
    tapRow: dilations[0] * row,
    columns: [[s.kw, 4 * dilations[1]]],
    column: (kx) => kx,
    bytes: input.bytes,
  };
}

function copied(spec: ConvSpec, s: ConvShape, { fill = 0 }: Reading): TapSource {
  const stride = spec.strides[1];
  const reachX = (s.kw - 1) * spec.dilations[1] + 1;
  // Column j of a tap lies at place j / stride of phase j % stride; phases that no tap reads are not copied.
  const phases = Math.min(stride, reachX);
  const places = Math.ceil(reachX / stride);
  const width = packedRowWidth(s.wo, places);
  const rows = reach(s.ho, spec.strides[0], s.kh, spec.dilations[0]);
  const channel = phases * width * 4;
  const row = s.c * channel;
  const bytes = rows * row;
  const pack = packRows({
    name: `${spec.name}_pack`,
    input: spec.input,
    rows,
    phases,
    width,
    stride,
    top: spec.pads[0],
    left: spec.pads[1],
    fill,
    split: "rows",
  });
  return {
    base: 0,
    image: 0,
    row: spec.strides[0] * row,
    channel,
    vector: 16,
    tapRow: spec.dilations[0] * row,
    columns: [
      [places, 4],
      [phases, width * 4],
    ],
    column: (kx) => kx * spec.dilations[1],
    bytes,
    pack,
  };
}

export const tapSource = (spec: ConvSpec, s: ConvShape, reading: Reading = {}): TapSource =>
  inPlace(spec, s, reading) ?? copied(spec, s, reading);

/** Bytes from tap (0, 0, 0) to a tap. */
export function tapOffset(source: TapSource, c: number, ky: number, kx: number): number {
  let rest = source.column(kx);
  let bytes = c * source.channel + ky * source.tapRow;
  for (let i = source.columns.length - 1; i >= 0; i--) {
    const [extent, stride] = source.columns[i]!;
    const digit = i ? rest % extent : rest;
    bytes += digit * stride;
    rest = (rest - digit) / extent;
  }
  return bytes;
}

/** What the taps of `outputs` output channels touch, of `channels` input channels, for the choice of tiles. */
export const accessOf = (spec: ConvSpec, s: ConvShape, source: TapSource, part: Pick<Access, "outputs" | "channels" | "taps">): Access => ({
  ...part,
  rows: s.ho,
  vectors: Math.ceil(s.wo / 4),
  channelBytes: source.channel,
  rowBytes: source.tapRow / spec.dilations[0],
  rowStep: spec.strides[0],
  tapRows: s.kh,
  tapBytes: 4 * Math.ceil(((s.kw - 1) * spec.dilations[1] + 1) / spec.strides[1]),
});
