// The matrices of Winograd's minimal filtering F(m x m, 3 x 3): a tile of m x m outputs costs (m + 2)^2 products instead of 9 m^2.

/** Outputs along one side of a tile. */
export type TileSize = 2 | 4;

/**
 * Points at which the polynomials of Toom and Cook are taken, besides 0 and infinity; each stands for itself and its negative. For m = 4,
 * 2/3 and 3/2 halve the error of the customary 1 and 2 (Barabasz et al. 2018 choose points alike), and their product of 1 saves products.
 * The loader transforms weights at the same points (runtime/winograd.ts).
 */
const POINTS: Readonly<Record<TileSize, readonly number[]>> = { 2: [1], 4: [2 / 3, 3 / 2] };

export type Matrix = readonly (readonly number[])[];

/** Coefficients of the product of x - p^2 over points p, lowest first. */
const squares = ([p, ...others]: readonly number[]): number[] => {
  if (p === undefined) return [1];
  const q = squares(others);
  return Array.from({ length: q.length + 1 }, (_, i) => (q[i - 1] ?? 0) - p * p * (q[i] ?? 0));
};

const row = (length: number, at: (k: number) => number): number[] => Array.from({ length }, (_, k) => at(k));

/** [m + 2, m + 2]: an input's m + 2 neighbours to the factors of its products. */
export function inputTransform(m: TileSize): Matrix {
  const points = POINTS[m];
  const all = squares(points);
  const even = (q: readonly number[], k: number): number => (k % 2 ? 0 : (q[k / 2] ?? 0));
  const pairs = points.flatMap((p) => {
    const q = squares(points.filter((other) => other !== p));
    return [p, -p].map((x) => row(m + 2, (k) => even(q, k - 2) + x * even(q, k - 1)));
  });
  return [row(m + 2, (k) => even(all, k)), ...pairs, row(m + 2, (k) => even(all, k - 1))].map((r) => r.map(Math.fround));
}

/** [m, m + 2]: sums of products to outputs. */
export const outputTransform = (m: TileSize): Matrix =>
  Array.from({ length: m }, (_, i) =>
    [i === 0 ? 1 : 0, ...POINTS[m].flatMap((p) => [p ** i, (-p) ** i]), i === m - 1 ? 1 : 0].map(Math.fround),
  );
