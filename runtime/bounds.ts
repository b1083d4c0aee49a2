// Holds the places in a manifest against each other: what must fit fits, what must not overlap does not.

import {
  type Extent,
  type Manifest,
  type Part,
  type Port,
  type Section,
  type Slot,
  type Steps,
  type VariantManifest,
  WEIGHTS,
} from "./artifact.ts";
import { show } from "./diagnostics.ts";
import { ARRAYS } from "./dtype.ts";
import { aligned, RESERVED } from "./executor.ts";
import { inside, MEMORY_LIMIT, type Place, pathOf, reject, type Span } from "./place.ts";
import { checkSchedule } from "./schedule.ts";

const WIDENED_BYTES = { i16: 2, f32: 4 } as const;
export const INDEX_BYTES = { u8: 1, u16: 2, u32: 4 } as const;

export const checkPlaces = (manifest: Manifest, at: Place): void => {
  const { files, parts } = manifest;
  checkPart(manifest, files, at);
  if (!manifest.variants.length && !parts?.length) reject(inside(at, "variants"), "expected at least one variant");
  if (parts) checkParts(manifest, parts, inside(at, "parts"));
};

const checkPart = (part: Part, files: Manifest["files"], at: Place): void => {
  for (const side of ["inputs", "outputs"] as const) {
    unique(part[side], (p) => p.name, inside(at, side));
    for (const [i, port] of part[side].entries()) elements(port.shape, inside(inside(inside(at, side), i), "shape"));
  }
  unique(part.variants, (v) => `${v.backend}:${v.name}`, inside(at, "variants"));
  for (const [i, variant] of part.variants.entries()) checkVariant(variant, part, files, inside(inside(at, "variants"), i));
};

/** Each part takes what is there when its turn comes, and together they make the outputs. Extents are constant. */
const checkParts = (manifest: Manifest, parts: readonly Part[], at: Place): void => {
  const given = new Map(manifest.inputs.map((port) => [port.name, port]));
  const made = new Map<string, Port>();
  const same = (a: Port, b: Port | undefined, place: Place): void => {
    if (!b) return reject(place, `nothing before it is named ${show(a.name)}`);
    const equal = a.dtype === b.dtype && a.shape.length === b.shape.length && a.shape.every((n, i) => n === b.shape[i]);
    if (!equal) reject(place, `is ${a.dtype} [${a.shape.join(", ")}]; expected ${b.dtype} [${b.shape.join(", ")}] as it was before`);
  };
  for (const [k, part] of parts.entries()) {
    const place = inside(at, k);
    checkPart(part, manifest.files, place);
    if (!part.variants.length) reject(inside(place, "variants"), "expected at least one variant");
    if (part.variants.some((v) => v.backend !== part.variants[0]!.backend)) reject(inside(place, "variants"), "expected one backend");
    for (const [v, { outputs }] of part.variants.entries())
      if (outputs.some(({ extents }) => extents.some((extent) => typeof extent !== "number")))
        reject(inside(inside(inside(place, "variants"), v), "outputs"), "the extents of a part's outputs must be numbers");
    for (const [i, port] of part.inputs.entries())
      same(port, given.get(port.name) ?? made.get(port.name), inside(inside(place, "inputs"), i));
    for (const [i, port] of part.outputs.entries()) {
      if (made.has(port.name)) reject(inside(inside(place, "outputs"), i), `the name ${show(port.name)} is taken`);
      made.set(port.name, port);
    }
  }
  for (const [i, port] of manifest.outputs.entries()) same(port, made.get(port.name), inside(inside({ file: at.file }, "outputs"), i));
};

const unique = <T>(items: readonly T[], name: (item: T) => string, at: Place): void => {
  const seen = new Set<string>();
  for (const [i, item] of items.entries()) {
    if (seen.has(name(item))) reject(inside(at, i), `the name ${show(name(item))} is taken`);
    seen.add(name(item));
  }
};

/** Elements of a shape, at most 2^31. */
const elements = (shape: readonly number[], at: Place): number => {
  if (shape.includes(0)) return 0;
  let product = 1;
  for (const n of shape) if ((product *= n) > MEMORY_LIMIT) reject(at, `the shape [${shape.join(", ")}] has more than 2^31 elements`);
  return product;
};

const checkVariant = (variant: VariantManifest, part: Part, files: Manifest["files"], at: Place): void => {
  if (!Object.hasOwn(files, variant.code)) reject(inside(at, "code"), `no file ${show(variant.code)} among the artifact's files`);
  if (RESERVED + aligned(variant.weights) + aligned(variant.arena) > MEMORY_LIMIT)
    reject(at, `weights (${variant.weights}) and arena (${variant.arena}) take more than 2^31 bytes`);

  const stored = Object.hasOwn(files, WEIGHTS) ? files[WEIGHTS]!.bytes : 0;
  const spans = variant.sections.map((section, i) => sectionSpan(section, variant, stored, inside(inside(at, "sections"), i)));
  apart(spans);

  const inputs = slotSpans(variant.inputs, part.inputs, variant, inside(at, "inputs"));
  for (const [i, slot] of variant.inputs.entries()) {
    if (slot.region !== "arena") reject(inputs[i]!.place, "an input must lie in the arena");
    if (slot.extents.some((e) => typeof e !== "number")) reject(inputs[i]!.place, "the extents of an input must be numbers");
  }
  apart(inputs);
  const outputs = slotSpans(variant.outputs, part.outputs, variant, inside(at, "outputs"));
  if (variant.schedule) checkSchedule(variant, [inputs, outputs], at);
};

/** Rows of a matrix, taken `group` at a time; what it holds are words. */
const checkRows = (section: Section & { readonly kind: "panels" | "winograd" }, place: Place): void => {
  const { rows, group, at, from } = section;
  if (group < 1 || rows % group) reject(place, `cannot take ${rows} rows ${group} at a time`);
  if (at % 4 || (!section.steps && from % 4)) reject(place, "a panel must start at a multiple of 4");
};

/** Bytes of the integers that `count` floats are made of; their scales and zero points lie in the file, too. */
const checkSteps = ({ bits, columns, block, scales, zeros }: Steps, count: number, stored: number, place: Place): number => {
  if (columns < 1 || block < 1 || count % columns || (bits === 4 && columns % 8))
    reject(place, `cannot take ${count} integers of ${bits} bits, ${columns} to a row, ${block} at a time`);
  const blocks = (count / columns) * Math.ceil(columns / block);
  if (scales % 4) reject(inside(place, "scales"), `${scales} is not aligned to f32`);
  const end = Math.max(scales + 4 * blocks, zeros === undefined ? 0 : zeros + blocks);
  if (end > stored) reject(place, `ends at byte ${end} of ${stored} in ${WEIGHTS}`);
  return (count * bits) / 8;
};

/** Bytes that hold `count` floats, as they are or as steps. */
const floatsRead = ({ steps }: { readonly steps?: Steps }, count: number, stored: number, place: Place): number =>
  steps ? checkSteps(steps, count, stored, inside(place, "steps")) : 4 * count;

/** The bytes that a section writes to the weight image, and those that it reads. */
const extents = (section: Section, stored: number, place: Place): readonly [written: number, read: number] => {
  switch (section.kind) {
    case "copy":
      return [section.bytes, section.bytes];
    case "nibbles":
      if (section.count % 8) reject(inside(place, "count"), `${section.count} integers of 4 bits are no whole words`);
      return [section.count, section.count / 2];
    case "widen":
      return [WIDENED_BYTES[section.to] * section.count, section.count];
    case "floats":
      if (section.at % 4) reject(inside(place, "at"), `${section.at} is not aligned to f32`);
      return [4 * section.count, floatsRead(section, section.count, stored, place)];
    case "panels": {
      checkRows(section, place);
      if (section.block < 1) reject(place, `cannot take ${section.block} columns at a time`);
      const count = elements([section.rows, section.columns], place);
      return [4 * count, floatsRead(section, count, stored, place)];
    }
    case "winograd": {
      checkRows(section, place);
      const kernels = elements([section.rows, section.columns], place);
      return [4 * (section.tile + 2) ** 2 * kernels, floatsRead(section, 9 * kernels, stored, place)];
    }
    default:
      return [section.count * INDEX_BYTES[section.expanded], section.count * INDEX_BYTES[section.stored]];
  }
};

/** The bytes of the weight image that a section writes. */
const sectionSpan = (section: Section, variant: VariantManifest, stored: number, place: Place): Span => {
  const [written, read] = extents(section, stored, place);
  const [to, end] = [section.at + written, section.from + read];
  if (to > variant.weights) reject(place, `ends at byte ${to} of a weight image of ${variant.weights}`);
  if (end > stored) reject(place, `ends at byte ${end} of ${stored} in ${WEIGHTS}`);
  if (section.kind === "indices" || section.kind === "counts") {
    if (section.at % INDEX_BYTES[section.expanded]) reject(inside(place, "at"), `${section.at} is not aligned to ${section.expanded}`);
    if (section.from % INDEX_BYTES[section.stored]) reject(inside(place, "from"), `${section.from} is not aligned to ${section.stored}`);
  }
  if (section.kind === "widen" && section.at % WIDENED_BYTES[section.to])
    reject(inside(place, "at"), `${section.at} is not aligned to ${section.to}`);
  if (section.kind === "indices") checkRadix(section, variant, place);
  return { from: section.at, to, place };
};

/** Every number below the bound has digits, and the offset they give fits the stream and, on hosts, lies within the variant's memory. */
const checkRadix = (section: Section & { kind: "indices" }, variant: VariantManifest, place: Place): void => {
  let numbers = 1;
  let reach = 0;
  for (const [i, [extent, stride]] of [...section.radix.entries()].reverse()) {
    const digits = i === 0 ? Math.min(extent, Math.ceil(section.bound / numbers)) : extent;
    reach += Math.max(0, digits - 1) * stride;
    numbers *= extent;
  }
  if (numbers < section.bound) reject(inside(place, "radix"), `counts to ${numbers}, but the bound is ${section.bound}`);
  // Devices check every access themselves, so that offsets there may carry more than an address.
  const memory = variant.schedule ? 2 ** 32 : Math.max(1, variant.weights + variant.arena);
  const limit = Math.min(2 ** (8 * INDEX_BYTES[section.expanded]), memory);
  if (reach >= limit) reject(inside(place, "radix"), `gives offsets up to ${reach}; expected less than ${limit}`);
};

const slotSpans = (slots: readonly Slot[], ports: readonly Port[], variant: VariantManifest, at: Place): readonly Span[] => {
  if (slots.length !== ports.length) reject(at, `${slots.length} slots for ${ports.length} ports`);
  return slots.map((slot, i) => {
    const { dtype, shape } = ports[i]!;
    const place = inside(at, i);
    if (!sameShape(slot.extents, shape)) reject(inside(place, "extents"), `expected those of the port, [${shape.join(", ")}]`);
    const width = ARRAYS[dtype].BYTES_PER_ELEMENT;
    if (slot.offset % width) reject(inside(place, "offset"), `${slot.offset} is not aligned to ${dtype}`);
    const to = slot.offset + elements(shape, place) * width;
    if (to > variant[slot.region]) reject(place, `ends at byte ${to} of ${slot.region}, which has ${variant[slot.region]}`);
    for (const extent of slot.extents)
      if (typeof extent !== "number" && (extent.at % 8 || extent.at + 8 > variant.arena))
        reject(inside(place, "extents"), `the extent at byte ${extent.at} is no aligned i64 in the arena of ${variant.arena}`);
    return { from: slot.offset, to, place };
  });
};

const sameShape = (extents: readonly Extent[], shape: readonly number[]): boolean =>
  extents.length === shape.length && extents.every((e, i) => (typeof e === "number" ? e : e.max) === shape[i]);

const apart = (spans: readonly Span[]): void => {
  const filled = spans.filter((span) => span.to > span.from).sort((a, b) => a.from - b.from);
  for (const [i, span] of filled.entries()) {
    const before = filled[i - 1];
    if (before && before.to > span.from) reject(span.place, `bytes ${span.from} to ${span.to} overlap with ${pathOf(before.place)}`);
  }
};
