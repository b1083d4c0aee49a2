// ONNX's element types: number, name, width, where typed data keeps them, and sparsec's dtype where there is one.

import type { DType } from "../../../ir/dtype.ts";

/** The typed field of TensorProto that holds the elements when there is no raw data. */
export type DataField = "floatData" | "int32Data" | "stringData" | "int64Data" | "doubleData" | "uint64Data";

export interface ElemType {
  readonly number: number;
  readonly name: string;
  /** Bits of one element in raw data; 0 for strings. */
  readonly bits: number;
  /** Undefined where sparsec has no such type (strings, 8-bit floats, complex numbers, ...). */
  readonly dtype: DType | undefined;
  readonly field: DataField;
}

const type = (number: number, name: string, bits: number, dtype: DType | undefined, field: DataField): ElemType => ({
  number,
  name,
  bits,
  dtype,
  field,
});

const ELEM_TYPES: readonly ElemType[] = [
  type(1, "FLOAT", 32, "f32", "floatData"),
  type(2, "UINT8", 8, "u8", "int32Data"),
  type(3, "INT8", 8, "i8", "int32Data"),
  type(4, "UINT16", 16, "u16", "int32Data"),
  type(5, "INT16", 16, "i16", "int32Data"),
  type(6, "INT32", 32, "i32", "int32Data"),
  type(7, "INT64", 64, "i64", "int64Data"),
  type(8, "STRING", 0, undefined, "stringData"),
  type(9, "BOOL", 8, "bool", "int32Data"),
  type(10, "FLOAT16", 16, "f16", "int32Data"),
  type(11, "DOUBLE", 64, "f64", "doubleData"),
  type(12, "UINT32", 32, "u32", "uint64Data"),
  type(13, "UINT64", 64, "u64", "uint64Data"),
  type(14, "COMPLEX64", 64, undefined, "floatData"),
  type(15, "COMPLEX128", 128, undefined, "doubleData"),
  type(16, "BFLOAT16", 16, undefined, "int32Data"),
  type(17, "FLOAT8E4M3FN", 8, undefined, "int32Data"),
  type(18, "FLOAT8E4M3FNUZ", 8, undefined, "int32Data"),
  type(19, "FLOAT8E5M2", 8, undefined, "int32Data"),
  type(20, "FLOAT8E5M2FNUZ", 8, undefined, "int32Data"),
  type(21, "UINT4", 4, "u4", "int32Data"),
  type(22, "INT4", 4, "i4", "int32Data"),
  type(23, "FLOAT4E2M1", 4, undefined, "int32Data"),
  type(24, "FLOAT8E8M0", 8, undefined, "int32Data"),
  type(25, "UINT2", 2, undefined, "int32Data"),
  type(26, "INT2", 2, undefined, "int32Data"),
];

const BY_NUMBER: ReadonlyMap<number, ElemType> = new Map(ELEM_TYPES.map((t) => [t.number, t]));
const BY_DTYPE: ReadonlyMap<DType, ElemType> = new Map(ELEM_TYPES.flatMap((t) => (t.dtype ? [[t.dtype, t] as const] : [])));

/** The element type with ONNX's number `number` (TensorProto.DataType), if ONNX 1.22 knows it. */
export const elemType = (number: number): ElemType | undefined => BY_NUMBER.get(number);

/** sparsec's dtype for ONNX's element type `number`; undefined where there is none. */
export const dtypeOf = (number: number): DType | undefined => BY_NUMBER.get(number)?.dtype;

/** ONNX's element type of a dtype. Every dtype has one. */
export function elemTypeOf(dtype: DType): ElemType {
  const found = BY_DTYPE.get(dtype);
  if (!found) throw new Error(`no ONNX element type for ${dtype}`);
  return found;
}

/** For messages: "FLOAT", or "element type 99". */
export const elemTypeName = (number: number): string => BY_NUMBER.get(number)?.name ?? `element type ${number}`;
