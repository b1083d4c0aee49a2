// Brings a kernel program to what a target can do: the list of kernel passes, in order.

import type { Program } from "../../ir/kernel/types.ts";
import { verify } from "../../ir/kernel/verify.ts";
import type { Capabilities } from "../backend.ts";
import { expandDot4 } from "./expand-dot4.ts";
import { expandF16 } from "./expand-f16.ts";
import { expandFma } from "./expand-fma.ts";
import { expandLanes } from "./expand-lanes.ts";
import { expandMaths } from "./expand-maths.ts";
import { inline } from "./inline.ts";
import { joinStores } from "./join-stores.ts";
import { nameShared } from "./name-shared.ts";
import { scalarize } from "./scalarize.ts";
import { shareOut } from "./share-out.ts";
import { spreadOut } from "./spread-out.ts";

/** A whole-program rewrite that leaves the meaning alone, up to the rounding of `fma` and of mathematical functions. */
export interface KernelPass {
  readonly name: string;
  /** What holds afterwards. */
  readonly establishes: string;
  run(program: Program, can: Capabilities): Program;
}

export const kernelPasses: readonly KernelPass[] = [
  spreadOut,
  shareOut,
  // Before names are given to the words that it takes apart.
  expandDot4,
  nameShared,
  scalarize,
  expandF16,
  joinStores,
  expandLanes,
  expandMaths,
  expandFma,
  inline,
];

/** Throws `bad-kernel` where the program is ill-formed, before or after. */
export function legalize(program: Program, can: Capabilities, passes: readonly KernelPass[] = kernelPasses): Program {
  verify(program);
  const legal = passes.reduce((p, pass) => pass.run(p, can), program);
  if (legal !== program) verify(legal);
  return legal;
}
