// What a manifest may say: each broken one is refused with its place in it and the reason.

import { expect, test } from "vitest";
import { parseManifest } from "../../runtime/manifest.ts";
import { toyArtifact } from "./toy.ts";

const { json } = toyArtifact();
/** The toy's manifest with the value at a path replaced; `undefined` deletes it. */
const changed = (path: string, value: unknown): unknown => {
  const manifest = JSON.parse(json);
  const keys = path.split(".");
  let parent = manifest;
  for (const key of keys.slice(0, -1)) parent = parent[key];
  if (value === undefined) delete parent[keys.at(-1)!];
  else Object.defineProperty(parent, keys.at(-1)!, { value, enumerable: true, configurable: true, writable: true });
  return manifest;
};

test("a good manifest comes back the same, as a copy", () => {
  const given = JSON.parse(json);
  const parsed = parseManifest(given, "toy");
  expect(JSON.parse(JSON.stringify(parsed))).toEqual(given);
  expect(Object.getPrototypeOf(parsed.files)).toBe(null);
  given.variants[0].arena = 0;
  expect(parsed.variants[0]!.arena).toBe(112);
});

test("what a manifest holds besides is left out", () => {
  const polluted = JSON.parse(json.replace('"format"', '"__proto__":{"polluted":1},"extra":2,"format"'));
  const parsed = parseManifest(polluted, "toy");
  expect(Object.keys(parsed)).toEqual(["format", "version", "name", "inputs", "outputs", "variants", "files"]);
  expect(({} as { polluted?: number }).polluted).toBeUndefined();
});

const huge = "x".repeat(70_000);
test.each<[string, unknown, string]>([
  ["name", 3, "toy (name): expected a string of at most 65536 characters, found 3"],
  ["name", huge, `found "${"x".repeat(40)}..."`],
  ["inputs", {}, "toy (inputs): expected a list of at most 1048576, found an object"],
  ["inputs.0", null, "toy (inputs[0]): expected an object, found null"],
  ["inputs.1.name", "x", `toy (inputs[1]): the name "x" is taken`],
  ["inputs.0.dtype", "f8", `toy (inputs[0].dtype): expected a dtype, found "f8"`],
  ["inputs.0.dtype", "toString", `toy (inputs[0].dtype): expected a dtype, found "toString"`],
  ["inputs.0.shape", new Array(17).fill(1), "toy (inputs[0].shape): expected a list of at most 16, found an array of 17"],
  ["inputs.0.shape", [-4], "toy (inputs[0].shape[0]): expected an integer from 0 to 2147483648, found -4"],
  ["inputs.0.shape", [4.5], "found 4.5"],
  ["inputs.0.shape", ["4"], `found "4"`],
  ["inputs.0.shape", [2 ** 40], "found 1099511627776"],
  ["inputs.0.shape", [65536, 65536], "toy (inputs[0].shape): the shape [65536, 65536] has more than 2^31 elements"],
  ["outputs.0.shape", new Array(16).fill(2 ** 31), "has more than 2^31 elements"],
  ["inputs.0.shape", [2, 2], "toy (variants[0].inputs[0].extents): expected those of the port, [2, 2]"],
  ["inputs", [], "toy (variants[0].inputs): 2 slots for 0 ports"],
  ["variants", [], "toy (variants): expected at least one variant"],
  ["variants", [JSON.parse(json).variants[0], JSON.parse(json).variants[0]], `toy (variants[1]): the name "toy:plain" is taken`],
  ["variants.0.backend", undefined, "toy (variants[0].backend): expected a string of at most 65536 characters, found undefined"],
  ["variants.0.code", "../toy.txt", `toy (variants[0].code): expected a plain file name, found "../toy.txt"`],
  ["variants.0.code", "/etc/passwd", "expected a plain file name"],
  ["variants.0.code", "C:\\toy", "expected a plain file name"],
  ["variants.0.code", "..", "expected a plain file name"],
  ["variants.0.code", "__proto__", `toy (variants[0].code): no file "__proto__" among the artifact's files`],
  ["variants.0.code", "none", `no file "none" among the artifact's files`],
  ["variants.0.weights", 2 ** 31, "weights (2147483648) and arena (112) take more than 2^31 bytes"],
  ["variants.0.arena", 2 ** 40, "found 1099511627776"],
  ["variants.0.arena", 100, "toy (variants[0].outputs[1]): ends at byte 112 of arena, which has 100"],
  ["variants.0.weights", 80, "toy (variants[0].sections[3]): ends at byte 88 of a weight image of 80"],
  ["variants.0.needs", "simd", "toy (variants[0].needs): expected a list of at most 64"],
  ["variants.0.faults", [0], "toy (variants[0].faults[0]): expected a string"],
  ["variants.0.steps.0.nodes", undefined, "toy (variants[0].steps[0].nodes): expected a list"],
  ["variants.0.inputs.0.region", "weights", "toy (variants[0].inputs[0]): an input must lie in the arena"],
  ["variants.0.inputs.0.region", "stack", `toy (variants[0].inputs[0].region): expected "arena" or "weights", found "stack"`],
  ["variants.0.inputs.0.offset", 2, "toy (variants[0].inputs[0].offset): 2 is not aligned to f32"],
  ["variants.0.inputs.0.offset", 100, "toy (variants[0].inputs[0]): ends at byte 116 of arena, which has 112"],
  ["variants.0.inputs.1.offset", 15, "toy (variants[0].inputs[1]): bytes 15 to 16 overlap with variants[0].inputs[0]"],
  ["variants.0.inputs.0.extents", [{ max: 4, at: 24 }], "toy (variants[0].inputs[0]): the extents of an input must be numbers"],
  [
    "variants.0.outputs.1.extents.1.at",
    108,
    "toy (variants[0].outputs[1].extents): the extent at byte 108 is no aligned i64 in the arena of 112",
  ],
  ["variants.0.outputs.1.extents.1.at", 112, "the extent at byte 112 is no aligned i64"],
  ["variants.0.outputs.1.extents.1.max", 3, "toy (variants[0].outputs[1].extents): expected those of the port, [2, 4]"],
  ["variants.0.outputs.2.offset", 84, "toy (variants[0].outputs[2]): ends at byte 92 of weights, which has 88"],
  [
    "variants.0.sections.0.kind",
    "move",
    `expected "copy" or "widen" or "nibbles" or "floats" or "panels" or "winograd" or "indices" or "counts", found "move"`,
  ],
  ["variants.0.sections.0.bytes", 33, "toy (variants[0].sections[1]): bytes 32 to 52 overlap with variants[0].sections[0]"],
  ["variants.0.sections.3.from", 65, "toy (variants[0].sections[3]): ends at byte 73 of 72 in weights.bin"],
  ["variants.0.sections.1.at", 34, "toy (variants[0].sections[1].at): 34 is not aligned to u32"],
  ["variants.0.sections.2.from", 49, "toy (variants[0].sections[2].from): 49 is not aligned to u16"],
  ["variants.0.sections.1.stored", "i8", `expected "u8" or "u16" or "u32", found "i8"`],
  ["variants.0.sections.1.count", 2 ** 30, "toy (variants[0].sections[1]): ends at byte 4294967328 of a weight image of 88"],
  ["variants.0.sections.1.bound", 5, "toy (variants[0].sections[1].radix): counts to 4, but the bound is 5"],
  ["variants.0.sections.1.radix", [], "toy (variants[0].sections[1].radix): counts to 1, but the bound is 4"],
  ["variants.0.sections.1.radix", [[4, 4, 1]], "toy (variants[0].sections[1].radix[0]): expected a list of at most 2, found an array of 3"],
  ["variants.0.sections.1.radix", [[4]], "expected [extent, stride], found an array of 1"],
  ["variants.0.sections.1.radix", [[4, 200]], "toy (variants[0].sections[1].radix): gives offsets up to 600; expected less than 200"],
  ["variants.0.sections.1.radix", [[4, 2 ** 32 - 1]], "gives offsets up to 12884901885; expected less than 200"],
  ["variants.0.sections.2.total", 2 ** 32, "found 4294967296"],
  ["files", [], "toy (files): expected an object, found an array of 0"],
  ["files", {}, `toy (variants[0].code): no file "toy.txt" among the artifact's files`],
  ["files.weights\u002ebin", null, "ends at byte 20 of 0 in weights.bin"],
  ["files.a/b", { bytes: 0, sha256: "" }, `toy (files): expected a plain file name, found "a/b"`],
  ["files.__proto__", { bytes: 0, sha256: "ff" }, `toy (files.__proto__.sha256): expected a SHA-256 in hexadecimal, found "ff"`],
])("%s", (path, value, message) => {
  const manifest = path.startsWith("files.weights") ? JSON.parse(json) : changed(path, value);
  if (path.startsWith("files.weights")) delete manifest.files["weights.bin"];
  expect(() => parseManifest(manifest, "toy")).toThrow(message);
  expect(() => parseManifest(manifest, "toy")).toThrow("[bad-manifest]");
});

test.each([
  [{}, "ends at byte 144 of a weight image of 88"],
  [{ tile: 2 }, "bytes 32 to 52 overlap with variants[0].sections[0]"],
  [{ tile: 3 }, "expected 2 or 4, found 3"],
  [{ rows: 3, group: 2 }, "cannot take 3 rows 2 at a time"],
  [{ group: 0 }, "cannot take 1 rows 0 at a time"],
  [{ rows: 2 ** 31, columns: 2 }, "has more than 2^31 elements"],
  [{ at: 2 }, "a panel must start at a multiple of 4"],
  [{ from: 40, tile: 2 }, "ends at byte 76 of 72 in weights.bin"],
])("kernels for Winograd tiles: %o", (part, message) => {
  const section = { kind: "winograd", at: 0, from: 0, rows: 1, columns: 1, group: 1, tile: 4, ...part };
  expect(() => parseManifest(changed("variants.0.sections.0", section), "toy")).toThrow(message);
});

test.each([
  [{ count: 6 }, "cannot take 6 integers of 8 bits, 4 to a row, 2 at a time"],
  [{ columns: 0 }, "cannot take 8 integers of 8 bits, 0 to a row, 2 at a time"],
  [{ block: 0 }, "cannot take 8 integers of 8 bits, 4 to a row, 0 at a time"],
  [{ bits: 4 }, "cannot take 8 integers of 4 bits, 4 to a row, 2 at a time"],
  [{ bits: 2 }, "expected 4 or 8, found 2"],
  [{ scales: 6 }, "6 is not aligned to f32"],
  [{ scales: 60 }, "ends at byte 76 of 72 in weights.bin"],
  [{ zeros: 70 }, "ends at byte 74 of 72 in weights.bin"],
  [{ zeros: undefined }, "expected an integer from 0 to 255, found undefined"],
  [{ turned: 1 }, "expected true, found 1"],
  [{ at: 2 }, "2 is not aligned to f32"],
  [{ from: 65 }, "ends at byte 73 of 72 in weights.bin"],
  [{ count: 24 }, "ends at byte 96 of a weight image of 88"],
])("floats made of integers: %o", (part, message) => {
  const { at = 0, from = 0, count = 8, ...steps } = part as Readonly<Record<string, number>>;
  const section = { kind: "floats", at, from, count, steps: { bits: 8, columns: 4, block: 2, scales: 4, zeros: 0, ...steps } };
  expect(() => parseManifest(changed("variants.0.sections.0", section), "toy")).toThrow(message);
});

test("the outermost digit counts only as far as the bound needs", () => {
  expect(() =>
    parseManifest(
      changed("variants.0.sections.1.radix", [
        [1000, 100],
        [4, 4],
      ]),
      "toy",
    ),
  ).not.toThrow();
});
