// Reads a manifest from JSON: takes nothing on trust, and returns a fresh one that holds only what was checked.

import type { Extent, Manifest, Part, Port, Section, Slot, StepInfo, Steps, VariantManifest } from "./artifact.ts";
import { checkPlaces } from "./bounds.ts";
import { errors, show } from "./diagnostics.ts";
import { isDType } from "./dtype.ts";
import { integer, LIST_LIMIT, list, object, oneOf, type Parse, record, size, text, u32, upTo } from "./parse.ts";
import { inside, type Place, reject } from "./place.ts";
import { schedule } from "./schedule.ts";

const RANK_LIMIT = 16;
const PARTS_LIMIT = 1024;

/** A name that can be no path out of the artifact's folder. */
const fileName: Parse<string> = (value, at) =>
  typeof value === "string" && value.length <= 128 && /^\w[\w.-]*$/.test(value)
    ? value
    : reject(at, `expected a plain file name, found ${show(value)}`);

const port: Parse<Port> = (value, at) => {
  const field = object(value, at);
  return {
    name: field("name", text),
    dtype: field("dtype", (v, p) => (isDType(v) ? v : reject(p, `expected a dtype, found ${show(v)}`))),
    shape: field("shape", list(RANK_LIMIT, size)),
  };
};

const extent: Parse<Extent> = (value, at) => {
  if (typeof value === "number") return size(value, at);
  const field = object(value, at);
  return { max: field("max", size), at: field("at", size) };
};

const slot: Parse<Slot> = (value, at) => {
  const field = object(value, at);
  return {
    region: field("region", oneOf("arena", "weights")),
    offset: field("offset", size),
    extents: field("extents", list(RANK_LIMIT, extent)),
  };
};

const index = oneOf("u16", "u32");

const digit: Parse<readonly [number, number]> = (value, at) => {
  const pair = list(2, u32)(value, at);
  return pair.length === 2 ? [pair[0]!, pair[1]!] : reject(at, `expected [extent, stride], found ${show(value)}`);
};

const steps: Parse<Steps> = (value, at) => {
  const field = object(value, at);
  const bits = field("bits", (v, p) => (v === 4 || v === 8 ? v : reject(p, `expected 4 or 8, found ${show(v)}`)));
  return {
    bits,
    columns: field("columns", u32),
    block: field("block", u32),
    scales: field("scales", size),
    ...field("zeros", (v, p) => (v === undefined ? { zero: field("zero", upTo(255)) } : { zeros: size(v, p) })),
    ...field("turned", (v, p) => (v === undefined ? {} : v === true ? { turned: v } : reject(p, `expected true, found ${show(v)}`))),
  };
};

const section: Parse<Section> = (value, at) => {
  const field = object(value, at);
  const kind = field("kind", oneOf("copy", "widen", "nibbles", "floats", "panels", "winograd", "indices", "counts"));
  const place = { at: field("at", size), from: field("from", size) };
  if (kind === "copy") return { kind, ...place, bytes: field("bytes", size) };
  if (kind === "nibbles") return { kind, ...place, count: field("count", size) };
  if (kind === "widen") {
    const more = field("plus", (v, p) => (v === undefined ? {} : { plus: integer(-255, 255)(v, p) }));
    return { kind, ...place, count: field("count", size), to: field("to", oneOf("i16", "f32")), ...more };
  }
  if (kind === "floats") return { kind, ...place, count: field("count", size), steps: field("steps", steps) };
  const made = () => field("steps", (v, p) => (v === undefined ? {} : { steps: steps(v, p) }));
  if (kind === "panels")
    return {
      kind,
      ...place,
      rows: field("rows", u32),
      columns: field("columns", u32),
      group: field("group", u32),
      block: field("block", u32),
      ...made(),
    };
  if (kind === "winograd")
    return {
      kind,
      ...place,
      rows: field("rows", u32),
      columns: field("columns", u32),
      group: field("group", u32),
      tile: field("tile", (v, p) => (v === 2 || v === 4 ? v : reject(p, `expected 2 or 4, found ${show(v)}`))),
      ...made(),
    };
  const stream = { ...place, count: field("count", size), expanded: field("expanded", index) };
  if (kind === "counts") return { kind, ...stream, stored: field("stored", index), total: field("total", u32) };
  return {
    kind,
    ...stream,
    stored: field("stored", oneOf("u8", "u16", "u32")),
    bound: field("bound", u32),
    radix: field("radix", list(RANK_LIMIT, digit)),
  };
};

const step: Parse<StepInfo> = (value, at) => {
  const field = object(value, at);
  return { kernel: field("kernel", text), nodes: field("nodes", list(LIST_LIMIT, text)) };
};

const variant: Parse<VariantManifest> = (value, at) => {
  const field = object(value, at);
  return {
    backend: field("backend", text),
    name: field("name", text),
    needs: field("needs", list(64, text)),
    ...field("threads", (v, p) => (v === undefined ? {} : { threads: upTo(64)(v, p) })),
    code: field("code", fileName),
    weights: field("weights", size),
    arena: field("arena", size),
    sections: field("sections", list(LIST_LIMIT, section)),
    inputs: field("inputs", list(LIST_LIMIT, slot)),
    outputs: field("outputs", list(LIST_LIMIT, slot)),
    faults: field("faults", list(LIST_LIMIT, text)),
    steps: field("steps", list(LIST_LIMIT, step)),
    ...field("schedule", (v, p) => (v === undefined ? {} : { schedule: schedule(v, p) })),
  };
};

const ports = list(LIST_LIMIT, port);
const variants = list(64, variant);

const part: Parse<Part> = (value, at) => {
  const field = object(value, at);
  return { inputs: field("inputs", ports), outputs: field("outputs", ports), variants: field("variants", variants) };
};

const hash: Parse<string> = (value, at) =>
  typeof value === "string" && /^[0-9a-f]{64}$/.test(value) ? value : reject(at, `expected a SHA-256 in hexadecimal, found ${show(value)}`);

const files: Parse<Manifest["files"]> = (value, at) => {
  const found = Object.create(null) as Record<string, { bytes: number; sha256: string }>;
  for (const [name, entry] of Object.entries(record(value, at))) {
    const field = object(entry, inside(at, name));
    found[fileName(name, at)] = { bytes: field("bytes", size), sha256: field("sha256", hash) };
  }
  return found;
};

/**
 * A manifest in which every number is within budget, and every place within its file and its memory.
 * `file` names the artifact in errors. Throws `not-an-artifact`, `unsupported-version` or `bad-manifest`.
 */
export const parseManifest = (value: unknown, file: string): Manifest => {
  const at: Place = { file };
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, "format"))
    throw errors.notAnArtifact(file, `the manifest is no object with a format, but ${show(value)}`);
  const field = object(value, at);
  const format = field("format", (v) => v);
  if (format !== "sparsec") throw errors.notAnArtifact(file, `the manifest's format is ${show(format)}, not "sparsec"`);
  const version = field("version", (v) => v);
  if (version !== 1) throw errors.unsupportedVersion(file, version);

  const manifest: Manifest = {
    format,
    version,
    name: field("name", text),
    inputs: field("inputs", ports),
    outputs: field("outputs", ports),
    variants: field("variants", variants),
    ...field("parts", (v, p) => (v === undefined ? {} : { parts: list(PARTS_LIMIT, part)(v, p) })),
    files: field("files", files),
  };
  checkPlaces(manifest, at);
  return manifest;
};
