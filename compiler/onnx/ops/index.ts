// The table of ONNX operators, family by family.

import type { OnnxOp } from "../op.ts";
import { activationTable } from "./activations.ts";
import { arrangementTable } from "./arrangement.ts";
import { attentionTable } from "./attention.ts";
import { channelNormalizationTable } from "./channel-normalization.ts";
import { constantTable } from "./constant.ts";
import { contractTable } from "./contract.ts";
import { contribTable } from "./contrib.ts";
import { controlTable } from "./control.ts";
import { convertTable } from "./convert.ts";
import { convolutionTable } from "./convolution.ts";
import { dropoutTable } from "./dropout.ts";
import { einsumTable } from "./einsum.ts";
import { elementwiseTable } from "./elementwise.ts";
import { gatherTable } from "./gather.ts";
import { lossTable } from "./loss.ts";
import { matMulNBitsTable } from "./matmul-nbits.ts";
import { normalizeTable } from "./normalize.ts";
import { poolingTable } from "./pooling.ts";
import { quantizeTable } from "./quantize.ts";
import { recurrentTable } from "./recurrent.ts";
import { reduceTable } from "./reduce.ts";
import { refusedTable } from "./refused.ts";
import { resizeTable } from "./resize.ts";
import { samplingTable } from "./sampling.ts";
import { selectionTable } from "./selection.ts";
import { shapeTable } from "./shape.ts";
import { signalTable } from "./signal.ts";
import { sliceTable } from "./slice.ts";

export const onnxOps: readonly OnnxOp[] = [
  ...activationTable,
  ...arrangementTable,
  ...attentionTable,
  ...channelNormalizationTable,
  ...constantTable,
  ...contractTable,
  ...contribTable,
  ...controlTable,
  ...convertTable,
  ...convolutionTable,
  ...dropoutTable,
  ...einsumTable,
  ...elementwiseTable,
  ...gatherTable,
  ...lossTable,
  ...matMulNBitsTable,
  ...normalizeTable,
  ...poolingTable,
  ...quantizeTable,
  ...recurrentTable,
  ...reduceTable,
  ...refusedTable,
  ...resizeTable,
  ...samplingTable,
  ...selectionTable,
  ...shapeTable,
  ...signalTable,
  ...sliceTable,
];
