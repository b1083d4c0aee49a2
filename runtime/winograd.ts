// Transforms 3x3 kernels for Winograd tiles: each becomes its values as a polynomial in two variables at a few points, rounded once.

import type { Section } from "./artifact.ts";

/**
 * Points besides 0 and infinity, each for itself and its negative. The compiler's transforms of inputs and outputs are made for the same ones.
 */
const POINTS = { 2: [1], 4: [2 / 3, 3 / 2] } as const;

/** What the even and the odd part of a polynomial at point `p` are multiplied by; interpolation divides by the differences to other points. */
const pointOf = (p: number, other: number | undefined) => {
  const scale = 1 / (2 * p * p * (other === undefined ? 1 : p * p - other * other));
  return { square: p * p, even: scale, odd: p * scale };
};

/** Writes the transforms of kernels, given as the bits of floats, as [point][rows / group][columns][group], f32. */
export const transformKernels = (kernels: Uint32Array, image: Uint8Array, section: Section & { readonly kind: "winograd" }): void => {
  const { rows, columns, group, tile } = section;
  const n = tile + 2;
  const from = new Float32Array(kernels.buffer, kernels.byteOffset, 9 * rows * columns);
  const to = new Float32Array(image.buffer, image.byteOffset + section.at, n * n * rows * columns);
  const [first, second] = POINTS[tile];
  const wide = second !== undefined;
  const p = pointOf(first, second);
  const q = pointOf(second ?? 0, first);
  const zero = wide ? 1 / (p.square * q.square) : -1 / p.square;
  const plane = rows * columns;
  // The three lines of a kernel at the points, in doubles: [3][n]. Written out, and without destructuring: this runs cold, as a model loads.
  const lines = new Float64Array(3 * n);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const kernel = 9 * (row * columns + column);
      for (let i = 0; i < 3; i++) {
        const a = from[kernel + 3 * i]!;
        const b = from[kernel + 3 * i + 1]!;
        const c = from[kernel + 3 * i + 2]!;
        const line = n * i;
        const even = (a + c * p.square) * p.even;
        const odd = b * p.odd;
        lines[line] = a * zero;
        lines[line + 1] = even + odd;
        lines[line + 2] = even - odd;
        if (wide) {
          const even = (a + c * q.square) * q.even;
          const odd = b * q.odd;
          lines[line + 3] = even + odd;
          lines[line + 4] = even - odd;
        }
        lines[line + n - 1] = c;
      }
      const panel = (row - (row % group)) * columns + column * group + (row % group);
      for (let j = 0; j < n; j++) {
        const a = lines[j]!;
        const b = lines[n + j]!;
        const c = lines[2 * n + j]!;
        const at = panel + j * plane;
        const even = (a + c * p.square) * p.even;
        const odd = b * p.odd;
        to[at] = a * zero;
        to[at + n * plane] = even + odd;
        to[at + 2 * n * plane] = even - odd;
        if (wide) {
          const even = (a + c * q.square) * q.even;
          const odd = b * q.odd;
          to[at + 3 * n * plane] = even + odd;
          to[at + 4 * n * plane] = even - odd;
        }
        to[at + (n - 1) * n * plane] = c;
      }
    }
  }
};
