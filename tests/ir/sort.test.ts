// Operators that sort and select, held against the obvious: topk, unique, nonzero, compress, cumulative, non_max_suppression.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Tensor, tensorOf, toNumbers } from "../../ir/tensor.ts";
import { runOp } from "../support/run-op.ts";

/** Few distinct values, so that ties are the rule. */
const rows = (most: number) =>
  fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constant(Number.NaN)), { minLength: 1, maxLength: most });
const numbers = (t: Tensor): number[] => Array.from(t.data as ArrayLike<number | bigint>, Number);
/** NaN above everything. */
const order = (a: number, b: number): number => (Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : a - b);

describe("topk", () => {
  test("gives the k first of a stable sort, with their positions", () => {
    fc.assert(
      fc.property(rows(40), fc.boolean(), fc.nat(), (x, largest, seed) => {
        const k = seed % (x.length + 1);
        const [y, at] = runOp("topk", [tensorOf("f32", [x.length], x)], { axis: 0, k, largest });
        const positions = x.map((_, i) => i).sort((i, j) => (largest ? order(x[j]!, x[i]!) : order(x[i]!, x[j]!)));
        expect(toNumbers(at!)).toEqual(positions.slice(0, k));
        expect(numbers(y!)).toEqual(positions.slice(0, k).map((i) => x[i]));
      }),
      { numRuns: 200 },
    );
  });

  test("works along an inner axis, on every kind of element", () => {
    for (const dtype of ["f32", "f16", "f64", "i8", "u16", "i32", "u32", "i64", "u64"] as const) {
      const [y, at] = runOp("topk", [tensorOf(dtype, [2, 3, 2], [1, 6, 2, 5, 3, 4, 9, 7, 8, 8, 7, 9])], { axis: 1, k: 2, largest: true });
      expect(numbers(y!)).toEqual([3, 6, 2, 5, 9, 9, 8, 8]);
      expect(toNumbers(at!)).toEqual([2, 0, 1, 1, 0, 2, 1, 1]);
    }
  });

  test("an empty axis gives nothing", () => {
    expect(runOp("topk", [tensorOf("f32", [2, 0], [])], { axis: 1, k: 0, largest: true })[0]!.shape).toEqual([2, 0]);
  });
});

describe("unique", () => {
  test.each([true, false])("of elements, sorted: %s", (sorted) => {
    fc.assert(
      fc.property(rows(30), (x) => {
        const [y, first, inverse, counts, n] = runOp("unique", [tensorOf("f32", [x.length], x)], { axis: 0, sorted }).map(
          numbers,
        ) as number[][];
        const distinct = [...new Set(x)];
        const expected = sorted ? distinct.sort(order) : distinct;
        const index = (v: number): number => expected.findIndex((e) => Object.is(e, v));
        const count = n![0]!;
        expect(count).toBe(expected.length);
        expect(y!.slice(0, count)).toEqual(expected);
        expect(first!.slice(0, count)).toEqual(expected.map((v) => x.findIndex((e) => Object.is(e, v))));
        expect(inverse).toEqual(x.map(index));
        expect(counts!.slice(0, count)).toEqual(expected.map((v) => x.filter((e) => Object.is(e, v)).length));
      }),
      { numRuns: 150 },
    );
  });

  test("of slices along an inner axis, in lexicographic order", () => {
    const x = tensorOf("i32", [2, 4, 1], [2, 1, 2, 1, 0, 5, 0, 4]);
    const [y, first, inverse, counts, n] = runOp("unique", [x], { axis: 1, sorted: true }).map(numbers) as number[][];
    expect(n).toEqual([3]);
    expect([y![0], y![1], y![2], y![4], y![5], y![6]]).toEqual([1, 1, 2, 4, 5, 0]);
    expect(first!.slice(0, 3)).toEqual([3, 1, 0]);
    expect(inverse).toEqual([2, 1, 2, 0]);
    expect(counts!.slice(0, 3)).toEqual([1, 1, 2]);
  });
});

describe("what is kept", () => {
  test("nonzero lists coordinates column by column", () => {
    const [y, n] = runOp("nonzero", [tensorOf("f32", [2, 3], [0, 5, 0, 7, 0, Number.NaN])]);
    expect(numbers(n!)).toEqual([3]);
    expect(numbers(y!).slice(0, 3)).toEqual([0, 1, 1]);
    expect(numbers(y!).slice(6, 9)).toEqual([1, 0, 2]);
  });

  test("compress keeps slices, and a short condition drops the rest", () => {
    const [y, n] = runOp("compress", [tensorOf("i32", [2, 3], [1, 2, 3, 4, 5, 6]), tensorOf("bool", [2], [0, 1])], { axis: 1 });
    expect(y!.shape).toEqual([2, 2]);
    expect([y!.data[0], y!.data[2]]).toEqual([2, 5]);
    expect(numbers(n!)).toEqual([1]);
  });
});

test("cumulative is a running sum or product, in both directions, with and without the element itself", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 1, maxLength: 12 }),
      fc.constantFrom("sum", "prod"),
      fc.boolean(),
      fc.boolean(),
      (x, op, exclusive, reverse) => {
        const [y] = runOp("cumulative", [tensorOf("i32", [x.length, 1], x)], { axis: 0, op, exclusive, reverse });
        const join = (xs: readonly number[]): number => xs.reduce((a, b) => (op === "sum" ? a + b : Math.imul(a, b)), op === "sum" ? 0 : 1);
        const parts = x.map((_, i) => (reverse ? x.slice(exclusive ? i + 1 : i) : x.slice(0, exclusive ? i : i + 1)));
        expect(numbers(y!)).toEqual(parts.map(join));
      },
    ),
  );
});

describe("non_max_suppression", () => {
  const box = fc.tuple(...[0, 1, 2, 3].map(() => fc.integer({ min: 0, max: 6 })));
  const area = ([y1, x1, y2, x2]: readonly number[]): number => Math.abs(y2! - y1!) * Math.abs(x2! - x1!);
  const overlap = (a: readonly number[], b: readonly number[]): number => {
    const side = (k: 0 | 1): number =>
      Math.min(Math.max(a[k]!, a[k + 2]!), Math.max(b[k]!, b[k + 2]!)) - Math.max(Math.min(a[k]!, a[k + 2]!), Math.min(b[k]!, b[k + 2]!));
    const shared = Math.max(0, side(0)) * Math.max(0, side(1));
    return shared === 0 ? 0 : shared / (area(a) + area(b) - shared);
  };

  test("keeps what greedy suppression keeps, in its order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(box, fc.integer({ min: 0, max: 5 })), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 0, max: 5 }),
        (list, most) => {
          const boxes = list.map(([b]) => b);
          const scores = list.map(([, s]) => s);
          const scalar = (dtype: "i64" | "f32", v: number): Tensor => tensorOf(dtype, [], [v]);
          const [y, n] = runOp(
            "non_max_suppression",
            [
              tensorOf("f32", [1, list.length, 4], boxes.flat()),
              tensorOf("f32", [1, 1, list.length], scores),
              scalar("i64", most),
              scalar("f32", 0.4),
              scalar("f32", 0),
            ],
            { limit: list.length, centred: false },
          );
          const kept: number[] = [];
          for (const i of list.map((_, k) => k).sort((a, b) => scores[b]! - scores[a]! || a - b)) {
            if (kept.length < most && scores[i]! > 0 && kept.every((k) => Math.fround(overlap(boxes[k]!, boxes[i]!)) <= Math.fround(0.4)))
              kept.push(i);
          }
          expect(numbers(n!)).toEqual([kept.length]);
          expect(numbers(y!).slice(0, kept.length * 3)).toEqual(kept.flatMap((i) => [0, 0, i]));
        },
      ),
      { numRuns: 200 },
    );
  });
});
