// ONNX's conversions between element types.

import { DTYPES, type DType } from "../../../ir/dtype.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { dtypeOf, elemTypeName } from "../proto/elem-types.ts";
import { castTo } from "../widen.ts";

/** Our element type for ONNX's number `to`. */
export const dtypeNumbered = (c: ImportContext, to: number): DType =>
  dtypeOf(to) ?? c.unsupported(`elements of type ${elemTypeName(to)} are not supported`);

const cast = defineOnnxOp({ name: "Cast", import: (c) => castTo(c, c.input(0), dtypeNumbered(c, c.int("to"))) });
const castLike = defineOnnxOp({ name: "CastLike", import: (c) => castTo(c, c.input(0), c.input(1).type.dtype) });

const bitCast = defineOnnxOp({
  name: "BitCast",
  import(c) {
    const x = c.input(0);
    const to = dtypeNumbered(c, c.int("to"));
    if (DTYPES[x.type.dtype].bits !== DTYPES[to].bits) c.bad(`${x.type.dtype} and ${to} differ in width`);
    if (x.type.dtype === to) return x;
    if (x.type.dtype === "f16" || to === "f16" || to === "bool") c.unsupported(`the bits of ${x.type.dtype} as ${to}`);
    // A bool is the byte 0 or 1.
    return x.type.dtype === "bool" ? castTo(c, x, to) : c.add("bitcast", [x], { to });
  },
});

export const convertTable: readonly OnnxOp[] = [cast, castLike, bitCast];
