// .npz files: stored and deflated arrays by name, and coded errors for what is cut off or made up.

import { describe, expect, it } from "vitest";
import { writeNpy } from "../compiler/npy.ts";
import { readNpz } from "../compiler/npz.ts";
import { tensorOf } from "../ir/tensor.ts";
import { codeOf } from "./support/code-of.ts";
import { zip } from "./support/zip.ts";

const x = tensorOf("f32", [2, 3], [1, 2, 3, 4, 5, 6]);
const labels = tensorOf("i64", [2], [7, 8]);
const files = { "x.npy": writeNpy(x), "labels.npy": writeNpy(labels), "notes.txt": new Uint8Array(3) };

describe("readNpz", () => {
  it.each([false, true])("reads arrays, deflated: %s", (deflate) => {
    expect([...readNpz(zip(files, deflate))]).toEqual([
      ["x", x],
      ["labels", labels],
    ]);
  });

  it("refuses what is none, at every length that cuts it off", () => {
    const whole = zip(files, true);
    for (let n = 0; n < whole.length; n += 7) expect(codeOf(() => readNpz(whole.subarray(0, n)))).toBe("bad-npz");
  });

  it("refuses content that is not as long as announced, and packings that it does not know", () => {
    const at = (bytes: Uint8Array, signature: number): number => {
      const view = new DataView(bytes.buffer);
      for (let i = 0; ; i++) if (view.getUint32(i, true) === signature) return i;
    };
    const entry = 0x02014b50;
    for (const [offset, value] of [
      [24, 5],
      [10, 99],
      [42, 200],
      [20, 2 ** 24],
    ] as const) {
      const bytes = zip(files, true);
      new DataView(bytes.buffer).setUint32(at(bytes, entry) + offset, value, true);
      expect(
        codeOf(() => readNpz(bytes)),
        `${offset}`,
      ).toBe("bad-npz");
    }
  });
});
