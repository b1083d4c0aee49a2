// The rules by which outputs count as right, one function each; every one says what is wrong, or undefined if nothing is.

import { isFloat } from "../../ir/dtype.ts";
import { fromF16 } from "../../ir/scalar/f16.ts";
import type { Tensor } from "../../ir/tensor.ts";

const typeOf = ({ dtype, shape }: Tensor): string => `${dtype}[${shape.join(",")}]`;

/** Elements as numbers; i64 and u64 are compared as bigints elsewhere. */
const numbers = ({ dtype, data }: Tensor): ArrayLike<number> => {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return Float64Array.from(data, Number);
  return dtype === "f16" ? Float64Array.from(data, fromF16) : data;
};

function typeMismatch(actual: Tensor, expected: Tensor): string | undefined {
  if (typeOf(actual) !== typeOf(expected)) return `it is ${typeOf(actual)}, and ${typeOf(expected)} is expected`;
  if (actual.data.length !== expected.data.length) return `it has ${actual.data.length} elements, and ${expected.data.length} are expected`;
  return undefined;
}

/** The first element that `differs`, in words. */
function elementMismatch(
  actual: Tensor,
  expected: Tensor,
  differs: (i: number) => boolean,
  show: (t: Tensor, i: number) => string,
): string | undefined {
  let first = -1;
  let count = 0;
  for (let i = 0; i < expected.data.length; i++) {
    if (!differs(i)) continue;
    if (count++ === 0) first = i;
  }
  if (count === 0) return undefined;
  return `${count} of ${expected.data.length} elements differ, the first at ${first}: ${show(actual, first)}, and ${show(expected, first)} is expected`;
}

/**
 * The rule of the ONNX node tests: types equal; integers and bools equal; floats within rtol 1e-3 and an atol of
 * 1e-7 + 1e-6 of the largest finite |expected|; NaN where NaN, the same infinity where infinity.
 */
export function compareNodeTest(actual: Tensor, expected: Tensor): string | undefined {
  const type = typeMismatch(actual, expected);
  if (type !== undefined) return type;
  if (!isFloat(expected.dtype))
    return elementMismatch(
      actual,
      expected,
      (i) => actual.data[i] !== expected.data[i],
      (t, i) => String(t.data[i]),
    );
  const [a, e] = [numbers(actual), numbers(expected)];
  let largest = 0;
  for (let i = 0; i < e.length; i++) if (Number.isFinite(e[i]!)) largest = Math.max(largest, Math.abs(e[i]!));
  const atol = 1e-7 + 1e-6 * largest;
  const differs = (i: number): boolean => {
    const [x, y] = [a[i]!, e[i]!];
    if (Number.isNaN(y)) return !Number.isNaN(x);
    if (!Number.isFinite(y)) return x !== y;
    return !(Math.abs(x - y) <= atol + 1e-3 * Math.abs(y));
  };
  return elementMismatch(actual, expected, differs, (t, i) => String((t === actual ? a : e)[i]));
}

/** ||actual - expected|| / ||expected||, in f64; 0 where both are zero, NaN where an element is NaN. */
export function relativeError(actual: Tensor, expected: Tensor): number {
  const [a, e] = [numbers(actual), numbers(expected)];
  let difference = 0;
  let reference = 0;
  for (let i = 0; i < e.length; i++) {
    if (a[i] !== e[i]) difference += (a[i]! - e[i]!) ** 2;
    reference += e[i]! ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / reference);
}

/** The rule of the real models: types equal, and ||d|| <= 1e-4 ||reference|| (1e-2 for f16). Integers are equal. */
export function compareModel(actual: Tensor, expected: Tensor): string | undefined {
  const type = typeMismatch(actual, expected);
  if (type !== undefined) return type;
  if (!isFloat(expected.dtype)) return compareNodeTest(actual, expected);
  const error = relativeError(actual, expected);
  const limit = expected.dtype === "f16" ? 1e-2 : 1e-4;
  return error <= limit ? undefined : `its relative error is ${error.toExponential(2)}, and at most ${limit} is accepted`;
}

/**
 * The rule of models that are themselves quantized: types equal, no element off by more than one step of the output's
 * scale, and at most max(1, 3 %) of the elements off at all. `step` is that scale, for a dequantized output as for an integer one (1).
 */
export function compareQuantized(actual: Tensor, expected: Tensor, step: number): string | undefined {
  const type = typeMismatch(actual, expected);
  if (type !== undefined) return type;
  const [a, e] = [numbers(actual), numbers(expected)];
  // Dequantizing rounds: what is far below a step is no difference.
  const slack = (i: number): number => 1e-3 * step + 1e-6 * Math.abs(e[i]!);
  let off = 0;
  for (let i = 0; i < e.length; i++) {
    const difference = Math.abs(a[i]! - e[i]!);
    if (difference <= slack(i)) continue;
    if (!(difference <= step + slack(i))) return `element ${i} is ${a[i]}, more than a step of ${step} from ${e[i]}`;
    off++;
  }
  const allowed = Math.max(1, Math.floor(0.03 * e.length));
  return off <= allowed ? undefined : `${off} of ${e.length} elements are a step off, and at most ${allowed} are accepted`;
}
