// Triangular factors of symmetric positive definite matrices, in f64, row-major.

/**
 * U, upper triangular, with U^T U the inverse of h (n x n); h is overwritten. By the factor R of h = R R^T, upper triangular: U is R's
 * inverse, so that the inverse of h itself is never formed.
 */
export function inverseFactor(h: Float64Array, n: number): Float64Array {
  // R from the last column to the first, in place: row i of R is h[i][i..n-1].
  for (let j = n - 1; j >= 0; j--) {
    const row = j * n;
    let d = h[row + j]!;
    for (let k = j + 1; k < n; k++) d -= h[row + k]! ** 2;
    const pivot = Math.sqrt(d);
    h[row + j] = pivot;
    for (let i = 0; i < j; i++) {
      const at = i * n;
      let s = h[at + j]!;
      for (let k = j + 1; k < n; k++) s -= h[at + k]! * h[row + k]!;
      h[at + j] = s / pivot;
    }
  }
  // U R = I, row by row: U[i][j] = -(sum over k in i..j-1 of U[i][k] R[k][j]) / R[j][j].
  const u = new Float64Array(n * n);
  const sums = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    sums.fill(0);
    sums[i] = -1;
    for (let j = i; j < n; j++) {
      const x = -sums[j]! / h[j * n + j]!;
      u[i * n + j] = x;
      for (let k = j + 1; k < n; k++) sums[k]! += x * h[j * n + k]!;
    }
  }
  return u;
}
