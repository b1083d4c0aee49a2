// The standard operators, family by family.

import { type OpSet, opSet } from "../op.ts";
import { activationOps } from "./activations.ts";
import { attentionOps } from "./attention.ts";
import { blockProductOps } from "./block-product.ts";
import { compactionOps } from "./compaction.ts";
import { contractOps } from "./contract.ts";
import { convertOps } from "./convert.ts";
import { convolutionOps } from "./convolution.ts";
import { coreOps } from "./core.ts";
import { cumulativeOps } from "./cumulative.ts";
import { deformConvOps } from "./deform-conv.ts";
import { detOps } from "./det.ts";
import { einsumOps } from "./einsum.ts";
import { elementwiseOps } from "./elementwise.ts";
import { gatherOps } from "./gather.ts";
import { gridSampleOps } from "./grid-sample.ts";
import { lrnOps } from "./lrn.ts";
import { nonMaxSuppressionOps } from "./non-max-suppression.ts";
import { normalizeOps } from "./normalize.ts";
import { padOps } from "./pad.ts";
import { poolingOps } from "./pooling.ts";
import { quantizeOps } from "./quantize.ts";
import { recurrentOps } from "./recurrent.ts";
import { reduceOps } from "./reduce.ts";
import { resampleOps } from "./resample.ts";
import { roiAlignOps } from "./roi-align.ts";
import { scatterOps } from "./scatter.ts";
import { sequenceOps } from "./sequence.ts";
import { shapeOps } from "./shape.ts";
import { sortOps } from "./sort.ts";
import { spectrumOps } from "./spectrum.ts";
import { triluOps } from "./trilu.ts";

export const standardOps: OpSet = opSet(
  coreOps,
  activationOps,
  attentionOps,
  blockProductOps,
  compactionOps,
  contractOps,
  convertOps,
  convolutionOps,
  cumulativeOps,
  deformConvOps,
  detOps,
  einsumOps,
  elementwiseOps,
  gatherOps,
  gridSampleOps,
  lrnOps,
  nonMaxSuppressionOps,
  normalizeOps,
  padOps,
  poolingOps,
  quantizeOps,
  recurrentOps,
  reduceOps,
  resampleOps,
  roiAlignOps,
  scatterOps,
  sequenceOps,
  shapeOps,
  sortOps,
  spectrumOps,
  triluOps,
);
