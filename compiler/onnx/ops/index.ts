// The table of ONNX operators, family by family.

import type { OnnxOp } from "../op.ts";
import { arrangementOnnxOps } from "./arrangement.ts";
import { attentionOnnxOps } from "./attention.ts";
import { channelNormalizationOnnxOps } from "./channel-normalization.ts";
import { einsumOnnxOps } from "./einsum.ts";
import { recurrentOnnxOps } from "./recurrent.ts";
import { refusedOnnxOps } from "./refused.ts";
import { resizeOnnxOps } from "./resize.ts";
import { samplingOnnxOps } from "./sampling.ts";
import { selectionOnnxOps } from "./selection.ts";
import { signalOnnxOps } from "./signal.ts";

export const onnxOps: readonly OnnxOp[] = [
  ...arrangementOnnxOps,
  ...attentionOnnxOps,
  ...channelNormalizationOnnxOps,
  ...einsumOnnxOps,
  ...recurrentOnnxOps,
  ...refusedOnnxOps,
  ...resizeOnnxOps,
  ...samplingOnnxOps,
  ...selectionOnnxOps,
  ...signalOnnxOps,
];
