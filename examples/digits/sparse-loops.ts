// The two loops that training spends its time in; both visit the kept weights only, so that pruning makes training faster too.

/** The kept weights of a matrix by row: weight `t` of row `r` (`pointer[r] <= t < pointer[r + 1]`) reads its operand at `offset[t]`. */
export interface Rows {
  readonly pointer: Int32Array;
  readonly offset: Int32Array;
}

/**
 * `out[outStart + r * outStride + p] = bias[r] + sum over t in row r of value[t] * x[xStart + offset[t] + p]` for `p` in [0, span),
 * span a multiple of 8. A convolution over zero-padded planes and a fully connected layer over a batch are both this sum.
 */
export function multiply(
  { pointer, offset }: Rows,
  value: Float64Array,
  bias: Float64Array | undefined,
  x: Float64Array,
  xStart: number,
  out: Float64Array,
  outStart: number,
  outStride: number,
  span: number,
): void {
  for (let row = 0; row + 1 < pointer.length; row++) {
    const begin = pointer[row]!;
    const end = pointer[row + 1]!;
    const initial = bias === undefined ? 0 : bias[row]!;
    const to = outStart + row * outStride;
    for (let p = 0; p < span; p += 8) {
      const from = xStart + p;
      let a = initial;
      let b = initial;
      let c = initial;
      let d = initial;
      let e = initial;
      let f = initial;
      let g = initial;
      let h = initial;
      for (let t = begin; t < end; t++) {
        const v = value[t]!;
        const at = from + offset[t]!;
        a += v * x[at]!;
        b += v * x[at + 1]!;
        c += v * x[at + 2]!;
        d += v * x[at + 3]!;
        e += v * x[at + 4]!;
        f += v * x[at + 5]!;
        g += v * x[at + 6]!;
        h += v * x[at + 7]!;
      }
      const o = to + p;
      out[o] = a;
      out[o + 1] = b;
      out[o + 2] = c;
      out[o + 3] = d;
      out[o + 4] = e;
      out[o + 5] = f;
      out[o + 6] = g;
      out[o + 7] = h;
    }
  }
}

/** Adds to `gradient[t]` what `multiply` owes to `value[t]`: the dot product of the row's output gradient with its operand. */
export function accumulate(
  { pointer, offset }: Rows,
  gradient: Float64Array,
  x: Float64Array,
  xStart: number,
  dOut: Float64Array,
  outStart: number,
  outStride: number,
  span: number,
): void {
  for (let row = 0; row + 1 < pointer.length; row++) {
    const end = pointer[row + 1]!;
    const from = outStart + row * outStride;
    let t = pointer[row]!;
    for (; t + 4 <= end; t += 4) {
      const i = xStart + offset[t]!;
      const j = xStart + offset[t + 1]!;
      const k = xStart + offset[t + 2]!;
      const l = xStart + offset[t + 3]!;
      let a = 0;
      let b = 0;
      let c = 0;
      let d = 0;
      for (let p = 0; p < span; p++) {
        const v = dOut[from + p]!;
        a += v * x[i + p]!;
        b += v * x[j + p]!;
        c += v * x[k + p]!;
        d += v * x[l + p]!;
      }
      gradient[t] = gradient[t]! + a;
      gradient[t + 1] = gradient[t + 1]! + b;
      gradient[t + 2] = gradient[t + 2]! + c;
      gradient[t + 3] = gradient[t + 3]! + d;
    }
    for (; t < end; t++) {
      const i = xStart + offset[t]!;
      let a = 0;
      for (let p = 0; p < span; p++) a += dOut[from + p]! * x[i + p]!;
      gradient[t] = gradient[t]! + a;
    }
  }
}
