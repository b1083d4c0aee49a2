// Sparse weights as rows of blocks: which non-zeros there are, how many blocks of a shape hold them, and the streams that kernels read.

import type { BlockShape } from "../../cost/device.ts";
import type { ConvSpec } from "../templates/conv-spec.ts";

/** The non-zeros of a matrix with a row for each output channel. Its columns are taps of the kernel, and in each, all input channels. */
export interface Nonzeros {
  readonly rows: number;
  /** Columns of a tap: input channels. */
  readonly channels: number;
  readonly taps: number;
  /** Elements that the dense weights have. */
  readonly elements: number;
  /** For each row, where its non-zeros begin in what follows; and where the last ends. */
  readonly starts: Uint32Array;
  /** Ascending in a row. */
  readonly columns: Uint32Array;
  readonly values: Float32Array;
}

/** Blocks of a shape, row after row, the blocks of a row by ascending column. */
export interface Blocks {
  readonly shape: BlockShape;
  /** For each row of blocks, the number of its first; and how many there are. */
  readonly starts: Uint32Array;
  /** In blocks. */
  readonly columns: Uint32Array;
  /** Block after block, column by column. */
  readonly values: Float32Array;
}

export const rowsOf = (b: Blocks): number => b.starts.length - 1;
export const countOf = (b: Blocks): number => b.columns.length;
/** Blocks of the row that has most. */
export const longestOf = (b: Blocks): number => {
  let most = 0;
  for (let r = 0; r < rowsOf(b); r++) most = Math.max(most, b.starts[r + 1]! - b.starts[r]!);
  return most;
};

/** The non-zeros of a convolution's weights; those of a group lie in the columns of its input channels. */
export function nonzerosOf({ weights, kernel: [kh, kw], groups, input, output }: ConvSpec): Nonzeros {
  const [channels, rows, taps] = [input.shape[1]!, output.shape[1]!, kh * kw];
  const [groupIn, groupOut] = [channels / groups, rows / groups];
  const depth = groupIn * taps;
  let count = 0;
  for (const w of weights) if (w !== 0) count++;
  const [starts, columns, values] = [new Uint32Array(rows + 1), new Uint32Array(count), new Float32Array(count)];
  let at = 0;
  for (let m = 0; m < rows; m++) {
    const first = Math.floor(m / groupOut) * groupIn;
    for (let t = 0; t < taps; t++)
      for (let c = 0; c < groupIn; c++) {
        const w = weights[m * depth + c * taps + t]!;
        if (w === 0) continue;
        columns[at] = t * channels + first + c;
        values[at++] = w;
      }
    starts[m + 1] = at;
  }
  return { rows, channels, taps, elements: weights.length, starts, columns, values };
}

/** Whether blocks can be so wide: no block lies in two taps. */
export const fits = (n: Nonzeros, [, width]: BlockShape): boolean => n.channels % width === 0;

/** For each row of blocks, the columns of those that hold something, ascending. */
function* occupied(n: Nonzeros, [height, width]: BlockShape): Generator<readonly number[]> {
  const seen = new Uint32Array(Math.ceil((n.taps * n.channels) / width));
  for (let band = 0; band * height < n.rows; band++) {
    const found: number[] = [];
    const end = n.starts[Math.min(n.rows, (band + 1) * height)]!;
    for (let at = n.starts[band * height]!; at < end; at++) {
      const column = Math.floor(n.columns[at]! / width);
      if (seen[column] === band + 1) continue;
      seen[column] = band + 1;
      found.push(column);
    }
    yield height === 1 ? found : found.sort((a, b) => a - b);
  }
}

/** How many blocks of a shape hold all non-zeros. */
export function blocksIn(n: Nonzeros, shape: BlockShape): number {
  let count = 0;
  for (const band of occupied(n, shape)) count += band.length;
  return count;
}

export function packBlocks(n: Nonzeros, shape: BlockShape): Blocks {
  const [height, width] = shape;
  const starts = new Uint32Array(Math.ceil(n.rows / height) + 1);
  const columns: number[] = [];
  const places = new Map<number, number>();
  const values = new Float32Array(blocksIn(n, shape) * height * width);
  let band = 0;
  for (const found of occupied(n, shape)) {
    places.clear();
    for (const column of found) places.set(column, columns.push(column) - 1);
    for (let r = 0; r < height && band * height + r < n.rows; r++) {
      const row = band * height + r;
      for (let at = n.starts[row]!; at < n.starts[row + 1]!; at++) {
        const column = n.columns[at]!;
        const place = places.get(Math.floor(column / width))!;
        values[(place * width + (column % width)) * height + r] = n.values[at]!;
      }
    }
    starts[++band] = columns.length;
  }
  return { shape, starts, columns: Uint32Array.from(columns), values };
}
