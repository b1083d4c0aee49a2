// .npy files: bytes as NumPy writes them, every dtype there and back, and coded errors for the rest.

import { describe, expect, it } from "vitest";
import { readNpy, writeNpy } from "../compiler/npy.ts";
import { DTYPES, type DType } from "../ir/dtype.ts";
import { type Tensor, tensorOf } from "../ir/tensor.ts";
import { codeOf } from "./support/code-of.ts";

/** A file of the given header, padded as NumPy does. */
function npy(header: string, data: readonly number[], version = 1): Uint8Array {
  const width = version === 1 ? 2 : 4;
  const length = Math.ceil((8 + width + header.length + 1) / 64) * 64 - 8 - width;
  const lengthBytes = Array.from({ length: width }, (_, i) => (length >> (8 * i)) & 255);
  return Uint8Array.from([
    0x93,
    ...new TextEncoder().encode("NUMPY"),
    version,
    0,
    ...lengthBytes,
    ...new TextEncoder().encode(`${header.padEnd(length - 1)}\n`),
    ...data,
  ]);
}

const header = (descr: string, shape: string, order = "False"): string =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
const plain = ({ dtype, shape, data }: Tensor): unknown => [dtype, shape, [...data]];

describe("npy", () => {
  it("writes the very bytes that numpy.save writes", () => {
    const bytes = writeNpy(tensorOf("f32", [2, 1], [1, -2]));
    expect(bytes).toEqual(npy(header("<f4", "(2, 1)"), [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]));
    expect(bytes.length).toBe(128 + 8);
  });

  it.each(Object.keys(DTYPES).filter((d) => d !== "i4" && d !== "u4") as DType[])("reads back what it wrote: %s", (dtype) => {
    for (const shape of [[], [3], [2, 0], [1, 3, 1]]) {
      const n = shape.reduce((product, d) => product * d, 1);
      const tensor = tensorOf(dtype, shape, [1, 0, 1].slice(0, n));
      expect(plain(readNpy(writeNpy(tensor)))).toEqual(plain(tensor));
    }
  });

  it("writes 4-bit integers as bytes", () => {
    expect(plain(readNpy(writeNpy(tensorOf("i4", [2], [-8, 7]))))).toEqual(["i8", [2], [-8, 7]]);
  });

  it("reads versions 2 and 3, misaligned buffers and other spellings of the header", () => {
    expect(plain(readNpy(npy(header("<i2", "(2,)"), [1, 0, 255, 255], 2)))).toEqual(["i16", [2], [1, -1]]);
    expect(plain(readNpy(npy(header("<u1", "()"), [7], 3)))).toEqual(["u8", [], [7]]);
    expect(plain(readNpy(npy(`{"shape": (1,1), "fortran_order": False, "descr": "|b1"}`, [1])))).toEqual(["bool", [1, 1], [1]]);
    const shifted = new Uint8Array(137).subarray(1);
    shifted.set(writeNpy(tensorOf("f32", [2], [1, -2])));
    expect(plain(readNpy(shifted))).toEqual(["f32", [2], [1, -2]]);
  });

  it.each([
    ["nothing", "bad-npy", new Uint8Array()],
    ["another file", "bad-npy", new TextEncoder().encode("PK\u0003\u0004 and so on")],
    ["version 9", "bad-npy", npy(header("<f4", "(1,)"), [0, 0, 0, 0], 9)],
    ["a header that is cut off", "bad-npy", npy(header("<f4", "(1,)"), []).subarray(0, 100)],
    ["too little data", "bad-npy", npy(header("<f4", "(2,)"), [0, 0, 0, 0])],
    ["too much data", "bad-npy", npy(header("<f4", "()"), [0, 0, 0, 0, 0])],
    ["Fortran order", "bad-npy", npy(header("|u1", "(1,)", "True"), [0])],
    ["no shape", "bad-npy", npy("{'descr': '|u1', 'fortran_order': False}", [0])],
    ["a shape that is none", "bad-npy", npy(header("|u1", "(1,,1)"), [0])],
    ["a negative extent", "bad-npy", npy(header("|u1", "(-1,)"), [0])],
    ["rank 17", "bad-npy", npy(header("|u1", `(${"1,".repeat(17)})`), [0])],
    ["a bool of 2", "bad-npy", npy(header("|b1", "(1,)"), [2])],
    ["big-endian numbers", "unsupported-dtype", npy(header(">f4", "(1,)"), [0, 0, 0, 0])],
    ["strings", "unsupported-dtype", npy(header("<U1", "(1,)"), [0, 0, 0, 0])],
    ["objects", "unsupported-dtype", npy(header("|O", "(1,)"), [0])],
    ["2^40 elements", "too-large", npy(header("|u1", "(1048576, 1048576)"), [])],
  ] as const)("refuses %s", (_what, code, bytes) => {
    expect(codeOf(() => readNpy(bytes))).toBe(code);
  });

  it("says where a header ends past the file", () => {
    const cut = npy(header("<f4", "(1,)"), []).subarray(0, 100);
    expect(() => readNpy(cut, "x.npy")).toThrow("x.npy: its header is 118 bytes long, and 90 are left [bad-npy]");
  });

  it("refuses to write data of another length than the shape's", () => {
    expect(codeOf(() => writeNpy({ dtype: "f32", shape: [3], data: new Float32Array(2) }))).toBe("bad-npy");
  });
});
