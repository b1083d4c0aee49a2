// The table of ONNX operators, family by family.

import type { OnnxOp } from "../op.ts";

export const onnxOps: readonly OnnxOp[] = [];
