// The menu of kernels for devices, in the order in which they are offered a unit; the generic way takes what is left.

import type { Capabilities } from "../../backend.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { NotVectorizable } from "../generic/lanes.ts";
import type { Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { deviceBlockProduct } from "./block-product.ts";
import { deviceBytes } from "./bytes.ts";
import { deviceConv } from "./conv.ts";
import { deviceDepthwise } from "./conv-depthwise.ts";
import { deviceConvTranspose } from "./conv-transpose.ts";
import { deviceConvVector } from "./conv-vector.ts";
import { lowerElements } from "./elements.ts";
import { deviceMatmul } from "./matmul.ts";
import { lowerRows } from "./rows.ts";
import { lowerSparse } from "./sparse.ts";

const MENU: readonly ((u: Unit, c: GenericContext, can: Capabilities) => Lowered | undefined)[] = [
  deviceBytes,
  deviceBlockProduct,
  deviceDepthwise,
  deviceConvVector,
  deviceConv,
  deviceConvTranspose,
  deviceMatmul,
  lowerRows,
];

/** Kernels for the results of a unit. Needs `isGeneric(u)`. */
export function lowerForDevice(u: Unit, c: GenericContext, can: Capabilities): readonly Lowered[] {
  const sparse = lowerSparse(u, c, can);
  if (typeof sparse === "object") return [sparse];
  const dense = lowerDense(u, c, can);
  return sparse === undefined ? dense : dense.map((l) => ({ ...l, why: `${l.why}; ${sparse}` }));
}

function lowerDense(u: Unit, c: GenericContext, can: Capabilities): readonly Lowered[] {
  for (const lower of MENU) {
    try {
      const lowered = lower(u, c, can);
      if (lowered) return [lowered];
    } catch (e) {
      // What follows the anchor cannot be done where its sums are stored.
      if (!(e instanceof NotVectorizable)) throw e;
    }
  }
  return lowerElements(u, c);
}
