// The menu of fast kernels, in the order in which they are offered a unit. Each overrides the generic lowering, which tests hold it against.

import type { Capabilities } from "../backend.ts";
import type { GenericContext } from "./generic/kernel.ts";
import { NotVectorizable } from "./generic/lanes.ts";
import { lowerBlockProduct } from "./match-block-product.ts";
import { lowerBytes } from "./match-bytes.ts";
import { lowerConv } from "./match-conv.ts";
import { lowerConvTranspose } from "./match-conv-transpose.ts";
import { lowerListedProduct } from "./match-listed-product.ts";
import { lowerMatmul } from "./match-matmul.ts";
import { lowerPool } from "./match-pool.ts";
import type { Lowered } from "./template.ts";
import type { Unit } from "./unit.ts";

const MENU: readonly ((u: Unit, c: GenericContext, can: Capabilities) => Lowered | undefined)[] = [
  lowerConv,
  lowerConvTranspose,
  lowerMatmul,
  lowerPool,
  lowerBytes,
  lowerBlockProduct,
  lowerListedProduct,
];

/** A template's kernel for the unit, or undefined where the generic lowering is the way. */
export function templateFor(u: Unit, c: GenericContext, can: Capabilities): Lowered | undefined {
  for (const lower of MENU) {
    try {
      const lowered = lower(u, c, can);
      if (lowered) return lowered;
    } catch (e) {
      // What follows the anchor cannot be done four lanes at a time.
      if (!(e instanceof NotVectorizable)) throw e;
    }
  }
  return undefined;
}
