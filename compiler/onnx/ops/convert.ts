// ONNX's conversions between element types.

import type { DType } from "../../../ir/dtype.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { dtypeOf, elemTypeName } from "../proto/elem-types.ts";
import { castTo } from "../widen.ts";

/** Our element type for ONNX's number `to`. */
export const dtypeNumbered = (c: ImportContext, to: number): DType =>
  dtypeOf(to) ?? c.unsupported(`elements of type ${elemTypeName(to)} are not supported`);

const cast = defineOnnxOp({ name: "Cast", import: (c) => castTo(c, c.input(0), dtypeNumbered(c, c.int("to"))) });
const castLike = defineOnnxOp({ name: "CastLike", import: (c) => castTo(c, c.input(0), c.input(1).type.dtype) });
const bitCast = defineOnnxOp({ name: "BitCast", import: (c) => c.add("bitcast", [c.input(0)], { to: dtypeNumbered(c, c.int("to")) }) });

export const convertTable: readonly OnnxOp[] = [cast, castLike, bitCast];
