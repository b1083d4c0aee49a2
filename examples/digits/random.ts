// A small seeded random number generator (xorshift128, Marsaglia 2003): the same numbers on every engine.

/** Draws uniformly from [0, 1). */
export type Random = () => number;

/**
 * A stream of uniform numbers with 32 random bits each.
 * @param seed any integer; different seeds give streams with nothing in common
 */
export function seeded(seed: number): Random {
  let x = (seed ^ 0x9e3779b9) | 0;
  let y = Math.imul(seed, 0x85ebca6b) | 0;
  let z = 0x2545f491;
  let w = 0x6c078965;
  const next = (): number => {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    return (w >>> 0) / 2 ** 32;
  };
  // Neighbouring seeds differ in few bits of the state; some rounds spread the difference over all of it.
  for (let round = 0; round < 40; round++) next();
  return next;
}

/** Uniform in [low, high). */
export const between = (random: Random, low: number, high: number): number => low + (high - low) * random();

/** About normal, mean 0, deviation 1, never beyond 3.5: a sum of uniform numbers, so that no engine's `Math.log` matters. */
export function bell(random: Random): number {
  let sum = -2;
  for (let k = 0; k < 4; k++) sum += random();
  return sum * Math.sqrt(3);
}
