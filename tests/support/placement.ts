// Targets to place graphs between in tests: what regions are made is told by costs, not by machines.

import { wasm, webgpu } from "../../backends/index.ts";
import { type CostFile, type Costs, costsFor } from "../../compiler/cost/costs.ts";
import { placeOn } from "../../compiler/passes/place.ts";
import { targetOf } from "../../compiler/placement.ts";

const shipped = costsFor("webgpu:base", undefined);

/** A device of those costs, the rest as they ship. */
export const deviceCosts = (costs: Partial<Costs>): CostFile => ({
  version: 1,
  machine: "a test's",
  variants: { "webgpu:base": { ...shipped, ...costs } },
});

/** Infinitely fast, at no distance. */
export const ideal = deviceCosts({
  dense: [[1, 1e9]],
  denseFar: 1e9,
  grouped: 1e9,
  vectors: 1e9,
  elements: 1e9,
  memory: 1e9,
  functions: 1e-9,
  start: 1e-9,
  transfer: { latency: 1e-9, rate: 1e9 },
});

/** The same for products, but slow at all else. */
export const multiplier = deviceCosts({ ...ideal.variants["webgpu:base"]!, vectors: 1e-3, elements: 1e-3 });

/** The pass between wasm and a device of those costs. */
export const placeFor = (cost: CostFile) => placeOn([wasm, webgpu].map((b) => targetOf(b, cost)));
