// Seeded random numbers and random changes of JSON values, for tests that feed broken artifacts.

/** mulberry32: the same numbers from the same seed, everywhere. */
export const random = (seed: number): ((below: number) => number) => {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
};

interface Spot {
  readonly parent: Record<string, unknown>;
  readonly key: string;
}
/** Every field and element of a JSON value. */
const spots = (value: unknown): readonly Spot[] =>
  typeof value === "object" && value !== null
    ? Object.keys(value).flatMap((key) => [
        { parent: value as Record<string, unknown>, key },
        ...spots((value as Record<string, unknown>)[key]),
      ])
    : [];

const NASTY: readonly unknown[] = [
  ...[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    63,
    64,
    65,
    255,
    256,
    65535,
    65536,
    2 ** 20,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 40,
    2 ** 53,
    1e300,
  ],
  ...[
    -1,
    -4,
    0.5,
    null,
    true,
    "",
    "x",
    "weights",
    "arena",
    "__proto__",
    "constructor",
    "../../etc/passwd",
    "i64",
    "f64",
    "u32",
    "copy",
    "counts",
  ],
  ...[[], {}, [[]], [1, 2], [{ max: 4, at: 24 }], { max: 2 ** 31, at: 0 }, { __proto__: null, length: 5 }],
];

/** Changes one place of a JSON value, now and then several. */
export const mutateJson = (manifest: unknown, next: (below: number) => number): void => {
  for (let n = 1 + (next(4) ? 0 : next(4)); n > 0; n--) {
    const all = spots(manifest);
    const { parent, key } = all[next(all.length)]!;
    const other = all[next(all.length)]!;
    const value = parent[key];
    const alike = all.filter((spot) => typeof spot.parent[spot.key] === typeof value);
    const twin = alike[next(alike.length)]!;
    const put = (v: unknown): void =>
      void Object.defineProperty(parent, key, { value: v, enumerable: true, configurable: true, writable: true });
    const ways = [
      () => put(structuredClone(NASTY[next(NASTY.length)])),
      () => put(structuredClone(other.parent[other.key])),
      () => put(structuredClone(twin.parent[twin.key])),
      () => put(structuredClone(twin.parent[twin.key])),
      () => put(typeof value === "number" ? value + (next(9) - 4) * 4 : `${value}s`),
      () => put(typeof value === "number" ? value + next(17) - 8 : `${value}s`),
      () => put(typeof value === "number" ? value * 2 ** next(12) : [value, value]),
      () => (Array.isArray(parent) ? parent.splice(Number(key), 1) : delete parent[key]),
      () => (Array.isArray(parent) ? parent.push(structuredClone(value)) : put(String(value))),
    ];
    ways[next(ways.length)]!();
  }
};
