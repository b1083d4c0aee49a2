// A constant of 8- or 4-bit integers as a matrix whose rows have scales of their own: the form in which artifacts store it.

import { DTYPES } from "../../ir/dtype.ts";
import type { Quantized } from "../../ir/quantized.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { numberAt } from "./constants.ts";

/** A word holds eight integers of 4 bits; rows begin at whole words. */
const WORD = 8;

/** Which axis runs along the rows, or undefined where scales do not follow rows or blocks of them. */
function rowsOf(shape: readonly number[], scalar: boolean, axis: number, block: number): 0 | 1 | undefined {
  if (shape.length < 2 || shape.includes(0)) return undefined;
  // Products take their weights column by column.
  if (shape.length === 2 && (scalar || (block === 0 ? axis === 1 : axis === 0))) return 1;
  if (scalar || (block === 0 && axis === 0)) return 0;
  return block > 0 && axis === 1 && shape.slice(2).every((d) => d === 1) ? 0 : undefined;
}

/** `scale` and `zero` as `dequantize` takes them. Undefined where no matrix says the same. */
export function quantizedMatrix(t: Tensor, scale: Tensor, zero: Tensor | undefined, axis: number, block: number): Quantized | undefined {
  const { bits, min } = DTYPES[t.dtype];
  const scalar = scale.shape.length === 0;
  const along = rowsOf(t.shape, scalar, axis, block);
  if (along === undefined || (bits !== 8 && bits !== 4) || min === undefined) return undefined;
  const first = Number(min);
  const rows = t.shape[along]!;
  const columns = t.data.length / rows;
  const length = block === 0 ? columns : block;
  const blocks = Math.ceil(columns / length);
  const at = (row: number, column: number): number => (along === 0 ? row * columns + column : column * rows + row);
  const stepAt = (row: number, k: number): number => (scalar ? 0 : block === 0 || along === 0 ? row * blocks + k : k * rows + row);
  const integers = new Uint8Array(t.data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) integers[row * columns + column] = numberAt(t, at(row, column)) - first;
  const each = <T extends Float32Array | Uint8Array>(out: T, value: (k: number) => number): T => {
    for (let row = 0; row < rows; row++) for (let k = 0; k < blocks; k++) out[row * blocks + k] = value(stepAt(row, k));
    return out;
  };
  const zeros = zero && each(new Uint8Array(rows * blocks), (k) => numberAt(zero, k) - first);
  return {
    bits: bits === 4 && columns % WORD === 0 ? 4 : 8,
    rows,
    columns,
    block: length,
    integers,
    scales: each(new Float32Array(rows * blocks), (k) => numberAt(scale, k)),
    zeros: !zeros ? Uint8Array.of(-first) : zeros.every((z) => z === zeros[0]) ? zeros.slice(0, 1) : zeros,
  };
}
