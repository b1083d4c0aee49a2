// Tensors as tests hold them: a name, a type and the elements.

import { type DType, viewAs } from "../../ir/dtype.ts";
import type { Tensor } from "../../ir/tensor.ts";

/** `data` is as `Model.run` takes and gives it: f16 as bits, bool as Uint8Array. */
export interface TestTensor extends Tensor {
  readonly name: string;
  /** The elements of `data`, little-endian. */
  readonly bytes: Uint8Array;
}

/** A tensor from contiguous little-endian bytes, one element of a 4-bit type a byte. */
export const testTensor = (name: string, dtype: DType, shape: readonly number[], bytes: Uint8Array): TestTensor => ({
  name,
  dtype,
  shape,
  data: viewAs(dtype, bytes),
  bytes,
});
