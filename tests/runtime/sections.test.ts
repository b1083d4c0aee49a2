// The weight image against a plain definition of it, over widths, radices and alignments.

import fc from "fast-check";
import { expect, test } from "vitest";
import { createImage } from "../../compiler/image.ts";
import { createWeightsWriter } from "../../compiler/weights-writer.ts";
import { dequantized } from "../../ir/quantized.ts";
import type { Section } from "../../runtime/artifact.ts";
import { fillImage } from "../../runtime/sections.ts";

const ARRAYS = { u16: Uint16Array, u32: Uint32Array } as const;
const width = fc.constantFrom("u16" as const, "u32" as const);

/** Mixed-radix digits by counting, outermost first. */
const offset = (index: number, radix: readonly (readonly [number, number])[]): number => {
  let value = 0;
  let size = radix.reduce((product, [extent]) => product * extent, 1);
  let rest = index;
  for (const [extent, stride] of radix) {
    size /= extent;
    value += Math.floor(rest / size) * stride;
    rest %= size;
  }
  return value;
};

test("indices become the byte offsets of their digits", () => {
  const streams = fc.record({
    stored: width,
    expanded: width,
    radix: fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 300 })), { minLength: 1, maxLength: 4 }),
    picks: fc.array(fc.nat(), { maxLength: 200 }),
    skew: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(streams, ({ stored, expanded, radix, picks, skew }) => {
      const bound = radix.reduce((product, [extent]) => product * extent, 1);
      const indices = picks.map((n) => n % bound);
      const file = new Uint8Array(8 + indices.length * 4 + skew).subarray(skew);
      file.set(new Uint8Array(ARRAYS[stored].from(indices).buffer), 8);
      const image = new Uint8Array(16 + indices.length * 4);
      const section: Section = { kind: "indices", at: 4, from: 8, count: indices.length, stored, expanded, bound, radix };
      fillImage(image, file, [section]);
      expect([...new ARRAYS[expanded](image.buffer, 4, indices.length)]).toEqual(indices.map((index) => offset(index, radix)));
      expect(image.subarray(0, 4)).toEqual(new Uint8Array(4));
    }),
    { seed: 7, numRuns: 300 },
  );
});

const fill = (section: Section, values: readonly number[]): Uint8Array => {
  const image = new Uint8Array(64);
  fillImage(image, new Uint8Array(Uint32Array.from(values).buffer), [section]);
  return image;
};
const indices = { kind: "indices", at: 0, from: 0, stored: "u32", expanded: "u32", radix: [[100_000, 4]] } as const;

test("an index at its bound is refused, whether few or many", () => {
  expect(() => fill({ ...indices, count: 2, bound: 100_000 }, [99_999, 100_000])).toThrow(
    "index 100000 at byte 4; expected less than 100000",
  );
  expect(() => fill({ ...indices, count: 3, bound: 2 }, [0, 1, 2])).toThrow("index 2 at byte 8; expected less than 2");
  expect(() => fill({ ...indices, count: 1, bound: 0 }, [0])).toThrow("expected less than 0");
  expect(new Uint32Array(fill({ ...indices, count: 2, bound: 100_000 }, [99_999, 3]).buffer, 0, 2)).toEqual(Uint32Array.of(399_996, 12));
});

test("indices may be stored as bytes", () => {
  const image = new Uint8Array(8);
  fillImage(image, Uint8Array.of(7, 3, 1, 2), [{ ...indices, stored: "u8", expanded: "u16", from: 1, count: 3, bound: 4 }]);
  expect([...new Uint16Array(image.buffer, 0, 3)]).toEqual([12, 4, 8]);
});

test("signed bytes widen to 16 bits or floats, something added to each", () => {
  const image = new Uint8Array(16);
  fillImage(image, Uint8Array.of(9, 1, 255, 128, 127, 9), [{ kind: "widen", at: 4, from: 1, count: 4, to: "i16" }]);
  expect([...new Int16Array(image.buffer)]).toEqual([0, 0, 1, -1, -128, 127, 0, 0]);
  fillImage(image, Uint8Array.of(9, 1, 255, 128, 127, 9), [{ kind: "widen", at: 4, from: 2, count: 3, to: "f32" }]);
  expect([...new Float32Array(image.buffer, 4)]).toEqual([-1, -128, 127]);
  fillImage(image, Uint8Array.of(9, 1, 255, 128, 127, 9), [{ kind: "widen", at: 8, from: 2, count: 3, to: "i16", plus: -127 }]);
  expect([...new Int16Array(image.buffer, 8, 3)]).toEqual([-128, -255, 0]);
});

test("floats are what they are made of, less its zero point, times its scale: in rows, in columns, in panels", () => {
  const cases = fc.record({
    bits: fc.constantFrom(4 as const, 8 as const),
    rows: fc.integer({ min: 1, max: 6 }),
    words: fc.integer({ min: 1, max: 5 }),
    block: fc.integer({ min: 1, max: 50 }),
    one: fc.boolean(),
    seed: fc.nat(),
  });
  fc.assert(
    fc.property(cases, ({ bits, rows, words, block, one, seed }) => {
      const columns = 8 * words;
      const blocks = rows * Math.ceil(columns / block);
      let state = seed;
      const next = (below: number): number => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
      };
      const integers = Uint8Array.from({ length: rows * columns }, () => next(2 ** bits));
      const scales = Float32Array.from({ length: blocks }, () => 0.37 + next(1000) / 7);
      const zeros = Uint8Array.from({ length: one ? 1 : blocks }, () => next(2 ** bits));
      const q = { bits, rows, columns, block, integers, scales, zeros };
      const expected = (turned: boolean): Float32Array => dequantized(q, turned);
      const file = createWeightsWriter({ made: [q], nibbles: [] });
      file.append(Uint8Array.of(1, 2, 3));
      const image = createImage(file);
      const [straight, turned] = [image.constant(expected(false)), image.constant(expected(true))];
      const panels = image.packed({
        kind: "panels",
        values: expected(false),
        columns,
        runs: [
          { first: 0, rows: 1, group: 1, block: 3 },
          { first: 1, rows: rows - 1, group: 1, block: columns },
        ],
      });
      expect(file.size()).toBeLessThan(16 * 6 + 4 * blocks + blocks + rows * columns);
      const bytes = new Uint8Array(image.bytes);
      fillImage(bytes, file.finish(), image.sections);
      const at = (from: number): Float32Array => new Float32Array(bytes.buffer, from, rows * columns);
      expect(at(straight)).toEqual(expected(false));
      expect(at(turned)).toEqual(expected(true));
      // Rows one by one are as they were.
      expect(at(panels)).toEqual(expected(false));
      expect(Math.fround((integers[0]! - zeros[0]!) * scales[0]!)).toBe(at(straight)[0]);
    }),
    { seed: 7, numRuns: 200 },
  );
});

const counts = { kind: "counts", at: 0, from: 0, stored: "u32", expanded: "u16" } as const;

test("row lengths must fit and sum to their total", () => {
  expect([...new Uint16Array(fill({ ...counts, count: 3, total: 9 }, [4, 0, 5]).buffer, 0, 3)]).toEqual([4, 0, 5]);
  expect(() => fill({ ...counts, count: 2, total: 9 }, [4, 4])).toThrow("row lengths from byte 0 sum to 8; expected 9 [corrupt]");
  expect(() => fill({ ...counts, count: 2, total: 65_540 }, [4, 65_536])).toThrow("row length 65536 at byte 4; expected less than 65536");
  // Lengths whose sum wraps around 2^32 do not pass for it.
  expect(() => fill({ ...counts, expanded: "u32", count: 2, total: 4 }, [2 ** 32 - 1, 5])).toThrow("sum to 4294967300; expected 4");
});

test("kernels for Winograd tiles are polynomials in two variables, taken at points and divided as interpolation wants", () => {
  const points = { 2: [0, 1, -1], 4: [0, 2 / 3, -2 / 3, 3 / 2, -3 / 2] } as const;
  const [rows, columns] = [6, 5];
  const file = Float32Array.from({ length: 2 + rows * columns * 9 }, (_, i) => Math.sin(i));
  for (const tile of [2, 4] as const)
    for (const group of [1, 2, 3]) {
      const n = tile + 2;
      const image = new Float32Array(1 + n * n * rows * columns);
      fillImage(new Uint8Array(image.buffer), new Uint8Array(file.buffer), [
        { kind: "winograd", at: 4, from: 8, rows, columns, group, tile },
      ]);
      const at = (taps: readonly number[], k: number): number => {
        const x = points[tile][k];
        if (x === undefined) return taps[2]!;
        const scale = points[tile].reduce((product: number, q) => (q === x ? product : product * (x - q)), 1);
        return (taps[0]! + x * taps[1]! + x * x * taps[2]!) / scale;
      };
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++)
          for (let i = 0; i < n; i++)
            for (let j = 0; j < n; j++) {
              const first = 2 + 9 * (row * columns + column);
              const kernel = [0, 3, 6].map((line) => at([...file.subarray(first + line, first + line + 3)], j));
              const panel = 1 + (i * n + j) * rows * columns + Math.floor(row / group) * group * columns;
              expect(image[panel + column * group + (row % group)]).toBeCloseTo(at(kernel, i), 6);
            }
      expect(image[0]).toBe(0);
    }
});

test("panels take rows in groups, column by column, block by block", () => {
  const shapes = fc.record({
    groups: fc.integer({ min: 1, max: 5 }),
    group: fc.integer({ min: 1, max: 6 }),
    columns: fc.integer({ min: 1, max: 9 }),
    block: fc.integer({ min: 1, max: 12 }),
  });
  fc.assert(
    fc.property(shapes, ({ groups, group, columns, block }) => {
      const rows = groups * group;
      const file = Uint32Array.from({ length: 1 + rows * columns }, (_, i) => i);
      const image = new Uint32Array(2 + rows * columns);
      fillImage(new Uint8Array(image.buffer), new Uint8Array(file.buffer), [
        { kind: "panels", at: 8, from: 4, rows, columns, group, block },
      ]);
      // The order in words: sort the elements by block, then group, column and row.
      const elements = Array.from({ length: rows * columns }, (_, i) => ({
        row: Math.floor(i / columns),
        column: i % columns,
        value: file[1 + i]!,
      }));
      const key = (e: (typeof elements)[number]) => [Math.floor(e.column / block), Math.floor(e.row / group), e.column, e.row];
      elements.sort(
        (a, b) =>
          key(a)
            .map((x, i) => x - key(b)[i]!)
            .find((d) => d !== 0) ?? 0,
      );
      expect([...image.subarray(2)]).toEqual(elements.map((e) => e.value));
      expect([...image.subarray(0, 2)]).toEqual([0, 0]);
    }),
    { seed: 7, numRuns: 200 },
  );
});
