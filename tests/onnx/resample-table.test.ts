// Tables of resized axes: what every mode must keep, and known cases.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AxisTable, axisTable, type ResizeModes, tapsOf } from "../../compiler/onnx/resample-table.ts";

const MODES: ResizeModes = {
  mode: "linear",
  coordinates: "half_pixel",
  nearest: "round_prefer_floor",
  cubicA: -0.75,
  excludeOutside: false,
  antialias: false,
};
const table = (from: number, to: number, modes: Partial<ResizeModes> = {}, scale = to / from): AxisTable => {
  const found = axisTable({ from, to, scale, start: 0, end: 1 }, { ...MODES, ...modes });
  if (typeof found === "string") throw new Error(`no mode '${found}'`);
  return found;
};

describe("every mode", () => {
  const coordinates = fc.constantFrom(
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "asymmetric",
    "align_corners",
    "tf_crop_and_resize",
  );
  test("weights sum to 1 and positions lie inside", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom("nearest", "linear", "cubic"),
        coordinates,
        fc.boolean(),
        fc.boolean(),
        (from, to, mode, where, excludeOutside, antialias) => {
          const modes = { mode, coordinates: where, excludeOutside, antialias } as const;
          const { index, weight } = table(from, to, modes);
          expect(index).toHaveLength(to);
          for (const [o, taps] of index.entries()) {
            expect(taps).toHaveLength(tapsOf(to / from, { ...MODES, ...modes }));
            for (const p of taps) expect(Number.isInteger(p) && p >= 0 && p < from).toBe(true);
            const total = weight[o]!.reduce((a, b) => a + b, 0);
            // Far from the input, every tap may lie outside: then nothing is left to weigh.
            if (!Number.isNaN(total)) expect(total).toBeCloseTo(1, 9);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("unknown names are told", () => {
    expect(axisTable({ from: 2, to: 4, scale: 2, start: 0, end: 1 }, { ...MODES, coordinates: "sideways" })).toBe("sideways");
    expect(axisTable({ from: 2, to: 4, scale: 2, start: 0, end: 1 }, { ...MODES, mode: "nearest", nearest: "sideways" })).toBe("sideways");
  });
});

describe("known cases", () => {
  test("nearest at halves", () => {
    const at = (nearest: string): readonly number[] => table(4, 2, { mode: "nearest", coordinates: "half_pixel", nearest }).index.flat();
    expect(at("round_prefer_floor")).toEqual([0, 2]);
    expect(at("round_prefer_ceil")).toEqual([1, 3]);
    expect(at("floor")).toEqual([0, 2]);
    expect(at("ceil")).toEqual([1, 3]);
  });

  test("linear, corners aligned", () => {
    const { index, weight } = table(3, 5, { coordinates: "align_corners" });
    const value = (o: number): number => index[o]!.reduce((sum, p, t) => sum + p * weight[o]![t]!, 0);
    expect([0, 1, 2, 3, 4].map(value)).toEqual([0, 0.5, 1, 1.5, 2]);
  });

  test("cropping marks what lies off the input", () => {
    const found = axisTable(
      { from: 4, to: 4, scale: 1, start: 0.5, end: 1.5 },
      { ...MODES, coordinates: "tf_crop_and_resize" },
    ) as AxisTable;
    expect(found.outside).toEqual([false, false, true, true]);
  });
});
