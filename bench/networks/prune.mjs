// Seeded numbers, and weights pruned by magnitude.

/** A generator of numbers in [-1, 1): xorshift, the same everywhere. */
export function random(seed) {
  let s = (seed * 0x9e3779b1) | 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 2 ** 31 - 1;
  };
}

/** The magnitude below which `zeros` of the (non-negative) scores lie; exact, in linear time: scores of f32 sort as their bits do. */
function threshold(scores, zeros) {
  const bits = new Uint32Array(scores.buffer, scores.byteOffset, scores.length);
  let rank = Math.round(zeros * scores.length);
  const find = (digit, among) => {
    const counts = new Uint32Array(1 << 16);
    for (const b of bits) if (among(b)) counts[digit(b)]++;
    let d = 0;
    while (d < counts.length - 1 && rank >= counts[d]) rank -= counts[d++];
    return d;
  };
  const high = find(
    (b) => b >>> 16,
    () => true,
  );
  const low = find(
    (b) => b & 0xffff,
    (b) => b >>> 16 === high,
  );
  return ((high << 16) | low) >>> 0;
}

/**
 * Sets the smallest `zeros` of weights [m, k] to zero in place, in blocks of `block` = [rows, columns] by their sum of squares, and
 * scales what is left so that the outputs keep their variance.
 */
export function prune(weights, [m, k], zeros, [br, bc] = [1, 1]) {
  if (zeros === 0) return weights;
  const [rows, columns] = [Math.ceil(m / br), Math.ceil(k / bc)];
  const scores = new Float32Array(rows * columns);
  let before = 0;
  for (let i = 0; i < m; i++)
    for (let j = 0; j < k; j++) {
      const square = weights[i * k + j] ** 2;
      before += square;
      scores[Math.floor(i / br) * columns + Math.floor(j / bc)] += square;
    }
  const limit = threshold(scores, zeros);
  const bits = new Uint32Array(scores.buffer);
  let after = 0;
  for (let i = 0; i < m; i++)
    for (let j = 0; j < k; j++) {
      if (bits[Math.floor(i / br) * columns + Math.floor(j / bc)] < limit) weights[i * k + j] = 0;
      after += weights[i * k + j] ** 2;
    }
  const scale = Math.sqrt(before / after);
  for (let i = 0; i < weights.length; i++) weights[i] *= scale;
  return weights;
}
