// SparseTensorProto to OnnxSparseTensor: coordinates checked against the shape, and turned into row-major positions.

import type { Loc } from "../../../ir/diagnostics.ts";
import { DTYPES } from "../../../ir/dtype.ts";
import { onnxErrors, part } from "./diagnostics.ts";
import { elemTypeName } from "./elem-types.ts";
import type { OnnxSparseTensor, OnnxTensor } from "./model.ts";
import type { Wire } from "./schema.ts";
import { checkDims, type DecodeContext, decodeTensor } from "./tensor.ts";

/** Row-major positions out of `[nnz]` positions or `[nnz, rank]` coordinates. Throws `bad-model` unless in range and ascending. */
function checkPositions(indices: OnnxTensor, dims: readonly number[], elements: number, loc: Loc): Int32Array {
  const bytes = indices.bytes();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [nnz = 0] = indices.dims;
  const linear = indices.dims.length === 1;
  const positions = new Int32Array(nnz);
  for (let i = 0, previous = -1; i < nnz; i++) {
    let position = 0;
    const extents = linear ? [elements] : dims;
    for (let axis = 0; axis < extents.length; axis++) {
      const at = view.getBigInt64(8 * (i * extents.length + axis), true);
      if (at < 0n || at >= BigInt(extents[axis]!)) throw onnxErrors.bad(`index ${at} of value ${i} is outside shape [${dims}]`, loc);
      position = position * extents[axis]! + Number(at);
    }
    if (position <= previous) throw onnxErrors.bad(`indices are not strictly ascending at value ${i}`, loc);
    positions[i] = previous = position;
  }
  return positions;
}

/** `values` is a vector of the non-zeros; `indices` is int64, `[nnz]` of positions or `[nnz, rank]` of coordinates. */
export function decodeSparseTensor(t: Wire<"SparseTensorProto">, ctx: DecodeContext, label = ""): OnnxSparseTensor {
  const name = t.values?.name ?? "";
  const loc = part(ctx.file, "sparse tensor", name || label);
  if (!t.values || !t.indices) throw onnxErrors.bad(`it has no ${t.values ? "indices" : "values"}`, loc);
  const { dims, elements } = checkDims(t.dims, loc);
  const values = decodeTensor(t.values, ctx, label);
  const indices = decodeTensor(t.indices, ctx, `${name || label} indices`);
  if (values.dims.length !== 1) throw onnxErrors.bad(`values of shape [${values.dims}], and a vector is expected`, loc);
  if (indices.dtype !== "i64") throw onnxErrors.bad(`indices are ${elemTypeName(indices.elemType)}, and INT64 is expected`, loc);
  const nnz = values.elements;
  const wellShaped =
    indices.dims[0] === nnz && (indices.dims.length === 1 || (indices.dims.length === 2 && indices.dims[1] === dims.length));
  if (!wellShaped) throw onnxErrors.bad(`indices of shape [${indices.dims}], and [${nnz}] or [${nnz},${dims.length}] is expected`, loc);
  const { dtype } = values;
  if (dtype) {
    ctx.declaredBytes += elements * DTYPES[dtype].bytes;
    if (ctx.declaredBytes > ctx.budget.tensorBytes)
      throw onnxErrors.budget("bytes of tensors", ctx.declaredBytes, ctx.budget.tensorBytes, loc);
  }
  const positions = checkPositions(indices, dims, elements, loc);

  const bytes = (): Uint8Array => {
    if (!dtype) throw onnxErrors.unsupportedType(elemTypeName(values.elemType), loc);
    const width = DTYPES[dtype].bytes;
    const out = new Uint8Array(elements * width);
    const source = values.bytes();
    positions.forEach((position, i) => {
      out.set(source.subarray(i * width, (i + 1) * width), position * width);
    });
    return out;
  };
  return Object.freeze({ name, dims, dtype, elemType: values.elemType, elements, values, positions: () => positions, bytes });
}
