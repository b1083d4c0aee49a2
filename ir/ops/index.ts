// The standard operators, family by family.

import { type OpSet, opSet } from "../op.ts";
import { activationOps } from "./activations.ts";
import { contractOps } from "./contract.ts";
import { convertOps } from "./convert.ts";
import { convolutionOps } from "./convolution.ts";
import { coreOps } from "./core.ts";
import { elementwiseOps } from "./elementwise.ts";
import { gatherOps } from "./gather.ts";
import { normalizeOps } from "./normalize.ts";
import { padOps } from "./pad.ts";
import { poolingOps } from "./pooling.ts";
import { quantizeOps } from "./quantize.ts";
import { reduceOps } from "./reduce.ts";
import { scatterOps } from "./scatter.ts";
import { shapeOps } from "./shape.ts";

export const standardOps: OpSet = opSet(
  coreOps,
  activationOps,
  contractOps,
  convertOps,
  convolutionOps,
  elementwiseOps,
  gatherOps,
  normalizeOps,
  padOps,
  poolingOps,
  quantizeOps,
  reduceOps,
  scatterOps,
  shapeOps,
);
