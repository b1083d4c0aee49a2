// Tensors from outside the graph: ONNX's own, and those that a user binds to inputs.

import type { Loc } from "../../ir/diagnostics.ts";
import { arrayOf, DTYPES, type DType, type TypedArray, viewAs } from "../../ir/dtype.ts";
import { toF16 } from "../../ir/scalar/f16.ts";
import { elementCount, type Tensor, zeros } from "../../ir/tensor.ts";
import { importErrors } from "./diagnostics.ts";
import { elemTypeName } from "./proto/elem-types.ts";
import type { OnnxDim, OnnxSparseTensor, OnnxTensor } from "./proto/model.ts";

/** A value for an input that becomes part of the model. A bare array takes the declared shape; a number fills it. */
export type ConstantInit =
  | TypedArray
  | { readonly data: TypedArray | readonly number[]; readonly shape: readonly number[] }
  | number
  | bigint
  | boolean;

/** A (dense or sparse) ONNX tensor as a tensor; sparse ones become dense. `what` names it in the error `unsupported-dtype`. */
export function toTensor(t: OnnxTensor | OnnxSparseTensor, what: string, loc: Loc): Tensor {
  if (!t.dtype) throw importErrors.unsupportedDType(what, elemTypeName(t.elemType), loc);
  return { dtype: t.dtype, shape: t.dims, data: viewAs(t.dtype, t.bytes()) };
}

/** A tensor filled with one value; f16 is rounded from it. Integers wrap. */
export function filled(dtype: DType, shape: readonly number[], value: number | bigint): Tensor {
  const t = zeros(dtype, shape);
  const wide = t.data instanceof BigInt64Array || t.data instanceof BigUint64Array;
  const element = wide ? BigInt(value) : dtype === "f16" ? toF16(Number(value)) : Number(value);
  t.data.fill(element as never);
  return t;
}

function holds(dtype: DType, x: number | bigint): boolean {
  const { kind, min, max } = DTYPES[dtype];
  if (kind === "float") return true;
  if (typeof x === "number" && !Number.isInteger(x)) return false;
  const whole = BigInt(x);
  return kind === "bool" ? whole === 0n || whole === 1n : whole >= min! && whole <= max!;
}

const isView = (x: unknown): x is TypedArray => ArrayBuffer.isView(x) && !(x instanceof DataView);

/** Elements of any array, as the elements of `dtype` (f16 from bits if they come as a Uint16Array). */
function elements(input: string, dtype: DType, data: ArrayLike<number | bigint>, file: string): TypedArray {
  const out = arrayOf(dtype, data.length);
  if (isView(data) && data.constructor === out.constructor) {
    out.set(data as never);
    if (dtype === "bool" && (data as Uint8Array).some((x) => x > 1)) throw importErrors.badConstant(input, "a bool is 0 or 1", file);
    return out;
  }
  const wide = out instanceof BigInt64Array || out instanceof BigUint64Array;
  for (let i = 0; i < data.length; i++) {
    const x = data[i]!;
    if (!holds(dtype, x)) throw importErrors.badConstant(input, `${x} is no ${dtype}`, file);
    out[i] = (wide ? BigInt(x) : dtype === "f16" ? toF16(Number(x)) : Number(x)) as never;
  }
  return out;
}

/** The shape that a bare array of `length` elements takes: the declared one, where at most one extent is open. */
function shapeFor(input: string, declared: readonly OnnxDim[] | undefined, length: number, file: string): readonly number[] {
  if (!declared) return [length];
  const open = declared.filter((d) => typeof d !== "number").length;
  const known = declared.reduce<number>((n, d) => n * (typeof d === "number" ? d : 1), 1);
  if (open === 0 ? known !== length : open > 1 || known === 0 || length % known !== 0) {
    const shape = declared.map((d) => d ?? "?").join(", ");
    throw importErrors.badConstant(input, `${length} elements, and the input is declared [${shape}]; give { data, shape }`, file);
  }
  return declared.map((d) => (typeof d === "number" ? d : length / known));
}

/** What the user gave for `input`, as a tensor of its type. Errors: `bad-option`. */
export function bindConstant(
  input: string,
  dtype: DType,
  declared: readonly OnnxDim[] | undefined,
  given: ConstantInit,
  file: string,
): Tensor {
  if (typeof given === "number" || typeof given === "bigint" || typeof given === "boolean") {
    const value = typeof given === "boolean" ? Number(given) : given;
    if (!holds(dtype, value)) throw importErrors.badConstant(input, `${value} is no ${dtype}`, file);
    return filled(
      dtype,
      (declared ?? []).map((d) => (typeof d === "number" ? d : 1)),
      value,
    );
  }
  if (isView(given)) {
    return {
      dtype,
      shape: shapeFor(input, declared, given.length, file),
      data: elements(input, dtype, given as ArrayLike<number | bigint>, file),
    };
  }
  const { data, shape } = given;
  const fits = !declared || (declared.length === shape.length && declared.every((d, axis) => typeof d !== "number" || d === shape[axis]));
  if (!fits)
    throw importErrors.shapeConflict(
      input,
      declared.map((d) => d ?? "?"),
      shape,
      file,
    );
  if (data.length !== elementCount(shape))
    throw importErrors.badConstant(input, `${data.length} elements for shape [${shape.join(", ")}]`, file);
  return { dtype, shape, data: elements(input, dtype, data as ArrayLike<number | bigint>, file) };
}
