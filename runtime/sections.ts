// Builds the weight image that a program sees from weights.bin: copies bytes, and verifies and expands index streams.

import { type Section, type Steps, WEIGHTS } from "./artifact.ts";
import { INDEX_BYTES } from "./bounds.ts";
import { errors } from "./diagnostics.ts";
import { floatsAt, integersAt } from "./steps.ts";
import { transformKernels } from "./winograd.ts";

type Indices = Section & { readonly kind: "indices" };
type Counts = Section & { readonly kind: "counts" };

/**
 * Fills `image` (4-byte aligned) from `file`, the bytes of weights.bin, by sections that were checked to lie within both.
 * Throws `corrupt` where an index is past its bound or row lengths do not sum to their total.
 */
export const fillImage = (image: Uint8Array, file: Uint8Array, sections: readonly Section[]): void => {
  const stored = file.byteOffset % 4 ? file.slice() : file;
  for (const section of sections) {
    if (section.kind === "copy") image.set(stored.subarray(section.from, section.from + section.bytes), section.at);
    else if (section.kind === "widen") widen(new Int8Array(stored.buffer, stored.byteOffset + section.from, section.count), image, section);
    else if (section.kind === "nibbles") image.set(integersAt(stored, section.from, section.count, 4), section.at);
    else if (section.kind === "floats") words(image, section.at, section.count).set(floats(stored, section, section.count));
    else if (section.kind === "panels") packPanels(floats(stored, section, section.rows * section.columns), image, section);
    else if (section.kind === "winograd") transformKernels(floats(stored, section, 9 * section.rows * section.columns), image, section);
    else if (section.kind === "indices") expandIndices(stream(stored, section), target(image, section), section);
    else copyCounts(view(stored, section.stored, section.from, section.count), target(image, section), section);
  }
};

const words = (bytes: Uint8Array, at: number, count: number): Uint32Array => new Uint32Array(bytes.buffer, bytes.byteOffset + at, count);

/** The bits of floats that the file holds, or of those that are made of the integers there. */
const floats = (file: Uint8Array, { from, steps }: { readonly from: number; readonly steps?: Steps }, count: number): Uint32Array =>
  steps ? new Uint32Array(floatsAt(file, from, count, steps).buffer) : words(file, from, count);

const widen = (from: Int8Array, image: Uint8Array, { at, count, to, plus = 0 }: Section & { readonly kind: "widen" }): void => {
  const start = image.byteOffset + at;
  const wide = to === "i16" ? new Int16Array(image.buffer, start, count) : new Float32Array(image.buffer, start, count);
  if (plus) for (let i = 0; i < count; i++) wide[i] = from[i]! + plus;
  else wide.set(from);
};

/** Moves the bits of floats, as words. The innermost loop is the long one, as this code runs once and is young. */
const packPanels = (from: Uint32Array, image: Uint8Array, section: Section & { readonly kind: "panels" }): void => {
  const { rows, columns, group, block } = section;
  const to = words(image, section.at, rows * columns);
  for (let row = 0; row < rows; row++)
    for (let first = 0; first < columns; first += block) {
      const size = Math.min(block, columns - first);
      spread(from, row * columns + first, size, to, first * rows + (row - (row % group)) * size + (row % group), group);
    }
};

/** Copies `count` words from `at` on to every `step`th place from `start` on. */
const spread = (from: Uint32Array, at: number, count: number, to: Uint32Array, start: number, step: number): void => {
  const end = at + count;
  for (let place = start; at < end; at++, place += step) to[place] = from[at]!;
};

const stream = (bytes: Uint8Array, { stored, from, count }: Indices): Uint8Array | Uint16Array | Uint32Array =>
  stored === "u8" ? bytes.subarray(from, from + count) : view(bytes, stored, from, count);

const view = (bytes: Uint8Array, type: "u16" | "u32", at: number, count: number): Uint16Array | Uint32Array =>
  type === "u16"
    ? new Uint16Array(bytes.buffer, bytes.byteOffset + at, count)
    : new Uint32Array(bytes.buffer, bytes.byteOffset + at, count);
const target = (image: Uint8Array, section: Indices | Counts) => view(image, section.expanded, section.at, section.count);

/** The byte offset of a number below the bound: its mixed-radix digits times their strides. */
const offsetOf = (index: number, radix: Indices["radix"]): number => {
  let rest = index;
  let offset = 0;
  for (let i = radix.length - 1; i >= 0; i--) {
    const [extent, stride] = radix[i]!;
    const digit = i ? rest % extent : rest;
    offset += digit * stride;
    rest = (rest - digit) / extent;
  }
  return offset;
};

/** The offsets of all numbers below the bound, by sums alone: each digit multiplies the table. */
const offsetTable = (bound: number, radix: Indices["radix"]): Uint32Array => {
  let table = new Uint32Array(1);
  for (const [extent, stride] of radix) {
    const next = new Uint32Array(Math.min(bound, table.length * extent));
    let at = 0;
    for (let i = 0; at < next.length; i++)
      for (let digit = 0; digit < extent && at < next.length; digit++) next[at++] = table[i]! + digit * stride;
    table = next;
  }
  return table;
};

const expandIndices = (from: Uint8Array | Uint16Array | Uint32Array, to: Uint16Array | Uint32Array, section: Indices): void => {
  const { bound, radix } = section;
  let largest = 0;
  // One look-up an element, unless the table is far longer than the stream. What the table lacks is past the bound.
  if (bound > 8 * from.length) {
    for (let i = 0; i < from.length; i++) {
      const index = from[i]!;
      if (index > largest) largest = index;
      to[i] = offsetOf(index, radix);
    }
  } else {
    const offsets = offsetTable(bound, radix);
    for (let i = 0; i < from.length; i++) {
      const index = from[i]!;
      if (index > largest) largest = index;
      to[i] = offsets[index]!;
    }
  }
  if (from.length && largest >= bound) {
    const at = section.from + from.indexOf(largest) * INDEX_BYTES[section.stored];
    throw errors.corrupt(WEIGHTS, `index ${largest} at byte ${at}; expected less than ${bound}`);
  }
};

const copyCounts = (from: Uint16Array | Uint32Array, to: Uint16Array | Uint32Array, section: Counts): void => {
  const limit = 2 ** (8 * INDEX_BYTES[section.expanded]);
  let sum = 0;
  for (let i = 0; i < from.length; i++) {
    const count = from[i]!;
    if (count >= limit)
      throw errors.corrupt(
        WEIGHTS,
        `row length ${count} at byte ${section.from + i * INDEX_BYTES[section.stored]}; expected less than ${limit}`,
      );
    sum += count;
    to[i] = count;
  }
  if (sum !== section.total)
    throw errors.corrupt(WEIGHTS, `row lengths from byte ${section.from} sum to ${sum}; expected ${section.total}`);
};
