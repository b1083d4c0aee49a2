// External tensor data: read from beside the model, and from nowhere else.

import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeModel } from "../../compiler/onnx/proto/decode.ts";
import { encodeMessage } from "../../compiler/onnx/proto/encode.ts";
import { externalDataBeside, noExternalData } from "../../compiler/onnx/proto/external.ts";
import { codeOf } from "../support/code-of.ts";

let root = "";
const file = (...parts: readonly string[]): string => join(root, ...parts);

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "sparsec-external-"));
  mkdirSync(file("model", "sub"), { recursive: true });
  mkdirSync(file("outside"));
  writeFileSync(file("outside", "secret"), Uint8Array.of(9, 9, 9, 9));
  writeFileSync(file("model", "w.bin"), Uint8Array.of(1, 2, 3, 4, 5, 6));
  writeFileSync(file("model", "sub", "v.bin"), Uint8Array.of(7, 8, 9, 10));
  writeFileSync(file("model", "linked.bin"), Uint8Array.of(1, 2, 3, 4));
  linkSync(file("model", "linked.bin"), file("outside", "hard"));
  symlinkSync(file("outside", "secret"), file("model", "soft.bin"));
  symlinkSync("w.bin", file("model", "near.bin"));
  symlinkSync(file("outside"), file("model", "door"));
});

afterAll(() => {
  rmSync(root, { recursive: true });
});

type Entries = readonly (readonly [string, string])[];

/** A model with one u8[4] whose data is external. */
const model = (entries: Entries): Uint8Array =>
  encodeMessage("ModelProto", {
    graph: {
      initializer: [{ name: "w", dataType: 2, dims: [4n], dataLocation: 1, externalData: entries.map(([key, value]) => ({ key, value })) }],
    },
  });

const read = (entries: Entries): readonly number[] => {
  const external = externalDataBeside(file("model", "model.onnx"));
  return [...decodeModel(model(entries), { external }).graph.initializers.get("w")!.bytes()];
};

describe("external data", () => {
  it("is read from the model's folder and below", () => {
    expect(
      read([
        ["location", "w.bin"],
        ["offset", "2"],
        ["length", "4"],
      ]),
    ).toEqual([3, 4, 5, 6]);
    expect(read([["location", "w.bin"]])).toEqual([1, 2, 3, 4]);
    expect(read([["location", "./sub/v.bin"]])).toEqual([7, 8, 9, 10]);
  });

  it("ignores keys it does not know, whatever they are called", () => {
    expect(
      read([
        ["location", "w.bin"],
        ["__proto__", "x"],
        ["constructor", "y"],
        ["checksum", "z"],
      ]),
    ).toEqual([1, 2, 3, 4]);
    expect(({} as Record<string, unknown>)["location"]).toBeUndefined();
  });

  it.each([
    "../outside/secret",
    "sub/../../outside/secret",
    "sub/..",
    "..",
    ".",
    "",
    "sub//v.bin",
    "..\\outside\\secret",
    "C:\\secret",
    "C:w.bin",
    "file:///etc/hosts",
    "w.bin\u0000.png",
    "/etc/hosts",
    "soft.bin",
    "near.bin",
    "door/secret",
    "linked.bin",
    "sub",
    "w.bin/x",
    "w.bin/",
  ])("refuses the location %j", (location) => {
    expect(codeOf(() => read([["location", location]]))).toBe("external-path");
  });

  it("refuses an absolute path even to a file of its own folder", () => {
    expect(codeOf(() => read([["location", file("model", "w.bin")]]))).toBe("external-path");
  });

  it.each([
    ["external-missing", [["location", "none.bin"]]],
    [
      "external-range",
      [
        ["location", "w.bin"],
        ["offset", "3"],
      ],
    ],
    [
      "external-range",
      [
        ["location", "w.bin"],
        ["offset", "9007199254740991"],
      ],
    ],
    [
      "bad-model",
      [
        ["location", "w.bin"],
        ["length", "5"],
      ],
    ],
    [
      "bad-model",
      [
        ["location", "w.bin"],
        ["offset", "-1"],
      ],
    ],
    [
      "bad-model",
      [
        ["location", "w.bin"],
        ["offset", "0x1"],
      ],
    ],
    [
      "bad-model",
      [
        ["location", "w.bin"],
        ["offset", "99999999999999999999"],
      ],
    ],
    [
      "bad-model",
      [
        ["location", "w.bin"],
        ["location", "sub/v.bin"],
      ],
    ],
    ["bad-model", [["offset", "0"]]],
  ] as const)("answers %s to %j", (code, entries) => {
    expect(codeOf(() => read(entries))).toBe(code);
  });

  it.each([
    ["external-path", [["location", "../outside/secret"]]],
    ["external-path", [["location", "linked.bin"]]],
    [
      "external-range",
      [
        ["location", "w.bin"],
        ["offset", "3"],
      ],
    ],
  ] as const)("is checked when the model is decoded, not first when it is read: %s", (code, entries) => {
    const external = externalDataBeside(file("model", "model.onnx"));
    expect(codeOf(() => decodeModel(model(entries), { external }))).toBe(code);
  });

  it.each([
    ["near.bin", "it goes through a symbolic link"],
    ["door/secret", "it goes through a symbolic link"],
    ["/etc/hosts", "the path is absolute"],
    ["file:w.bin", "the path is absolute"],
    ["linked.bin", "it has 2 hard links"],
    ["sub", "it is not a plain file"],
  ])("says why %s is refused", (location, why) => {
    expect(() => read([["location", location]])).toThrow(why);
  });

  it("is refused altogether where the model came as bytes, or where that was asked for", () => {
    const bytes = model([["location", "w.bin"]]);
    expect(codeOf(() => decodeModel(bytes))).toBe("external-disabled");
    expect(() => decodeModel(bytes, { external: noExternalData("--no-external was given") })).toThrow("--no-external was given");
  });

  it("is refused where the file shrank since", () => {
    const external = externalDataBeside(file("model", "model.onnx"));
    writeFileSync(file("model", "shrinks.bin"), new Uint8Array(4));
    const tensor = decodeModel(model([["location", "shrinks.bin"]]), { external }).graph.initializers.get("w")!;
    writeFileSync(file("model", "shrinks.bin"), new Uint8Array(3));
    expect(codeOf(() => tensor.bytes())).toBe("external-range");
  });
});
