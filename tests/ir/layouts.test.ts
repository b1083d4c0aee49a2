// Layouts: packing loses nothing, and bad streams are refused before anything reads by them.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TypedArray } from "../../ir/dtype.ts";
import { blocks, csc, csr, type Layout, layouts, nOfM, type PackedTensor } from "../../ir/layouts/index.ts";
import { elementCount, type Tensor, tensorOf } from "../../ir/tensor.ts";

const shapes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });
const values = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -9, max: 9 }) });

const tensors: fc.Arbitrary<Tensor> = fc
  .tuple(shapes, fc.constantFrom("f32", "f16", "i8", "i64", "u8"))
  .chain(([shape, dtype]) =>
    fc
      .array(values, { minLength: elementCount(shape), maxLength: elementCount(shape) })
      .map((data) => tensorOf(dtype as "f32", shape, dtype === "u8" || dtype === "f16" ? data.map(Math.abs) : data)),
  );

/** Clears what an N:M layout cannot hold: every element past the first in each group of its rows. */
function thin(t: Tensor, m: number, by: "first" | "last"): Tensor {
  const rows = by === "first" ? t.shape[0]! : t.shape.at(-1)!;
  const columns = t.data.length / rows;
  const data = t.data.slice();
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const at = by === "first" ? r * columns + c : c * rows + r;
      if (c % m !== r % m) data[at] = (data instanceof BigInt64Array ? 0n : 0) as never;
    }
  }
  return { ...t, data };
}

const suited = (layout: Layout, t: Tensor): Tensor => {
  const m = /^nm(c?)-\d+-(\d+)$/.exec(layout.name);
  return m ? thin(t, Number(m[2]), m[1] ? "last" : "first") : t;
};

describe("every layout", () => {
  test.each(layouts.map((l) => [l.name, l] as const))("%s: unpacking gives back what was packed, and verifies", (_, layout) => {
    fc.assert(
      fc.property(tensors, (any) => {
        const t = suited(layout, any);
        const packed = layout.pack(t);
        expect(layout.verify(packed)).toBeUndefined();
        expect(layout.unpack(packed)).toEqual(t);
      }),
      { numRuns: 60 },
    );
  });

  test("names are distinct", () => {
    expect(new Set(layouts.map((l) => l.name)).size).toBe(layouts.length);
  });

  test.each(layouts.map((l) => [l.name, l] as const))("%s: a verified mutation never reads outside", (_, layout) => {
    const t = suited(
      layout,
      tensorOf(
        "f32",
        [6, 8],
        Array.from({ length: 48 }, (_, i) => (i % 3 === 0 ? i + 1 : 0)),
      ),
    );
    const clean = layout.pack(t);
    let refused = 0;
    for (const [name, stream] of clean.streams) {
      if (name === "values") continue;
      for (let i = 0; i < stream.length; i++) {
        for (const x of [0, 1, 7, 8, 200]) {
          const damaged = stream.slice();
          damaged[i] = x as never;
          const p: PackedTensor = { ...clean, streams: new Map([...clean.streams, [name, damaged]]) };
          if (layout.verify(p) !== undefined) refused++;
          else expect(layout.unpack(p).data).toHaveLength(48);
        }
      }
    }
    expect(refused).toBeGreaterThan(0);
  });
});

describe("bad streams are refused", () => {
  const t = tensorOf("f32", [2, 4], [1, 0, 2, 0, 0, 0, 3, 4]);
  const damage = (layout: Layout, name: string, data: TypedArray | undefined, of = t): string | undefined => {
    const p = layout.pack(of);
    const streams = new Map(p.streams);
    if (data) streams.set(name, data);
    else streams.delete(name);
    return layout.verify({ ...p, streams });
  };

  test.each([
    ["a missing stream", csr, "columns", undefined, /stream 'columns' is missing/],
    ["an unknown stream", csr, "extra", new Uint8Array(1), /expected counts, columns, values/],
    ["a column outside", csr, "columns", new Uint16Array([0, 2, 2, 4]), /column 4 in row 1 of a matrix 4 wide/],
    ["columns out of order", csr, "columns", new Uint16Array([2, 0, 2, 3]), /column 0 follows 2 in row 0/],
    ["counts that claim too much", csr, "counts", new Uint16Array([2, 3]), /counts exceed the 4 columns at row 1/],
    ["counts that claim too little", csr, "counts", new Uint16Array([2, 1]), /counts sum to 3, there are 4/],
    ["too few counts", csr, "counts", new Uint16Array([4]), /1 counts for 2 rows/],
    ["signed columns", csr, "columns", new Int16Array([0, 2, 2, 3]), /must be u16 or u32/],
    ["values of another type", csr, "values", new Int32Array([1, 2, 3, 4]), /values must be f32/],
    ["a column outside, by last axis", csc, "columns", new Uint16Array([0, 2, 1, 1]), /column 2 in row/],
    ["a block outside", blocks(1, 2), "columns", new Uint16Array([0, 1, 2]), /block column 2 in row 1 of a matrix 2 blocks wide/],
    ["half a block", blocks(1, 2), "values", new Float32Array(5), /5 values for 3 blocks of 2/],
    ["a position outside its group", nOfM(2, 4), "positions", new Uint8Array([0, 2, 2, 4]), /position 4 in a group of 4/],
    ["a position twice", nOfM(2, 4), "positions", new Uint8Array([2, 2, 2, 3]), /position 2 follows 2/],
    ["too few positions", nOfM(2, 4), "positions", new Uint8Array([0, 2]), /2 positions and 4 values, expected 4/],
  ] as const)("%s", (_, layout, name, data, message) => {
    expect(damage(layout, name, data)).toMatch(message);
  });

  test("another layout's streams", () => {
    expect(csr.verify(csc.pack(t))).toBe("layout 'csc', expected 'csr'");
  });

  test("packing what does not fit N:M", () => {
    expect(() => nOfM(1, 4).pack(t)).toThrow(/row 0 keeps 2 of the 4 elements from column 0/);
  });
});

test("a kept f32 of csr takes six bytes", () => {
  const t = tensorOf("f32", [2, 4], [1, 0, 2, 0, 0, 0, 3, 4]);
  const { streams } = csr.pack(t);
  expect(streams.get("columns")!.byteLength + streams.get("values")!.byteLength).toBe(4 * 6);
  expect([...streams.get("counts")!]).toEqual([2, 2]);
});
