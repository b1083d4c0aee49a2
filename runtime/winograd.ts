// Transforms 3x3 kernels for Winograd tiles: each becomes its values as a polynomial in two variables at a few points, rounded once.

import type { Section } from "./artifact.ts";

/** Points besides 0 and infinity, each with its negative. The compiler's transforms of inputs and outputs are made for the same ones. */
const POINTS = { 2: [1], 4: [2 / 3, 3 / 2] } as const;

/** One over the product of differences to the other points, by which Toom and Cook's interpolation divides: at 0, and at each pair. */
const scales = (points: readonly number[]): { readonly zero: number; readonly pairs: readonly number[] } => ({
  zero: 1 / points.reduce((product, p) => -product * p * p, 1),
  pairs: points.map((p) => 1 / points.reduce((product, q) => product * (q === p ? 2 * p * p : p * p - q * q), 1)),
});

/** Writes the kernels' transforms as [point][rows / group][columns][group], f32. */
export const transformKernels = (file: Uint8Array, image: Uint8Array, section: Section & { readonly kind: "winograd" }): void => {
  const { rows, columns, group, tile } = section;
  const from = new Float32Array(file.buffer, file.byteOffset + section.from, 9 * rows * columns);
  const n = tile + 2;
  const to = new Float32Array(image.buffer, image.byteOffset + section.at, n * n * rows * columns);
  const points = POINTS[tile];
  const { zero, pairs } = scales(points);
  const plane = rows * columns;
  // Values of the three rows of a kernel at the points, in doubles: [3][n].
  const along = new Float64Array(3 * n);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const kernel = 9 * (row * columns + column);
      for (let i = 0; i < 3; i++) {
        const [a, b, c] = [from[kernel + 3 * i]!, from[kernel + 3 * i + 1]!, from[kernel + 3 * i + 2]!];
        const first = n * i;
        along[first] = a * zero;
        for (let k = 0; k < points.length; k++) {
          const p = points[k]!;
          const even = (a + c * p * p) * pairs[k]!;
          const odd = b * p * pairs[k]!;
          along[first + 1 + 2 * k] = even + odd;
          along[first + 2 + 2 * k] = even - odd;
        }
        along[first + n - 1] = c;
      }
      const at = (row - (row % group)) * columns + column * group + (row % group);
      for (let j = 0; j < n; j++) {
        const [a, b, c] = [along[j]!, along[n + j]!, along[2 * n + j]!];
        to[at + j * plane] = a * zero;
        for (let k = 0; k < points.length; k++) {
          const p = points[k]!;
          const even = (a + c * p * p) * pairs[k]!;
          const odd = b * p * pairs[k]!;
          to[at + ((1 + 2 * k) * n + j) * plane] = even + odd;
          to[at + ((2 + 2 * k) * n + j) * plane] = even - odd;
        }
        to[at + ((n - 1) * n + j) * plane] = c;
      }
    }
  }
};
