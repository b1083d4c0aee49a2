// Draws handwriting-like digits as 28x28 grey images: a skeleton, bent and moved at random, inked with a round pen.
// Only additions, multiplications, divisions and square roots are used, so that every engine draws the same bytes.
import { bell, between, type Random, seeded } from "./random.ts";
import { type Stroke, skeletons } from "./skeletons.ts";

/** Pixels along each edge of an image. */
export const side = 28;

/** Images one after the other, one byte per pixel (0 paper, 255 ink), and the digit that each shows. */
export interface DigitSet {
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** The drawings that lie beside the model as test-images.bin and test-labels.bin: made from a seed that training never sees. */
export const testDigits = (): DigitSet => drawDigits(500, 3);

/** Draws `count` digits, 0 to 9 in turn; the seed decides everything else. */
export function drawDigits(count: number, seed: number): DigitSet {
  const images = new Uint8Array(count * side * side);
  const labels = Uint8Array.from({ length: count }, (_, index) => index % 10);
  const draw = digitStream(seed);
  for (let index = 0; index < count; index++) draw(labels[index]!, images.subarray(index * side * side, (index + 1) * side * side));
  return { images, labels };
}

/** An endless source of drawings: each call inks one digit into `image`, all of whose pixels are written. */
export function digitStream(seed: number): (digit: number, image: Uint8Array) => void {
  const random = seeded(seed);
  return (digit, image) => ink(bend(digit, random), image, random);
}

/** Line segments in pixels: x0, y0, x1, y1, and so on. */
type Segments = readonly number[];

/** Picks a way of writing the digit, jitters its points, then scales, slants, turns and moves it. */
function bend(digit: number, random: Random): Segments {
  const ways = skeletons[digit];
  if (ways === undefined) throw new RangeError(`there are skeletons of the digits 0 to ${skeletons.length - 1}, none of ${digit}`);
  const skeleton = ways[Math.floor(random() * ways.length)]!;
  const size = between(random, 16, 22);
  const width = size * between(random, 0.7, 1.1);
  const slant = between(random, -0.4, 0.25);
  // The half-angle form of a rotation: no sine, about 14 degrees each way.
  const half = between(random, -0.12, 0.12);
  const cos = (1 - half * half) / (1 + half * half);
  const sin = (2 * half) / (1 + half * half);
  const centreX = side / 2 + between(random, -2.5, 2.5);
  const centreY = side / 2 + between(random, -2.5, 2.5);
  const place = ([x, y]: readonly [number, number]): readonly [number, number] => {
    const v = (y - 0.5 + 0.045 * bell(random)) * size;
    const u = (x - 0.5 + 0.045 * bell(random)) * width - slant * v;
    return [centreX + cos * u - sin * v, centreY + sin * u + cos * v];
  };
  return skeleton.flatMap((stroke) => flatten({ ...stroke, points: stroke.points.map(place) }));
}

/** Turns a stroke into segments; a smooth one becomes a Catmull-Rom curve in four pieces between two points. */
function flatten({ smooth, points }: Stroke): Segments {
  const segments: number[] = [];
  const pieces = smooth ? 4 : 1;
  for (let k = 0; k + 1 < points.length; k++) {
    const from = points[k]!;
    const to = points[k + 1]!;
    const before = points[k - 1] ?? from;
    const after = points[k + 2] ?? to;
    let [x, y] = from;
    for (let piece = 1; piece <= pieces; piece++) {
      const t = piece / pieces;
      const nextX = smooth ? catmullRom(before[0], from[0], to[0], after[0], t) : to[0];
      const nextY = smooth ? catmullRom(before[1], from[1], to[1], after[1], t) : to[1];
      segments.push(x, y, nextX, nextY);
      x = nextX;
      y = nextY;
    }
  }
  return segments;
}

/** The cubic through `b` (t = 0) and `c` (t = 1) whose slopes there are those of the chords `a c` and `b d`, halved. */
function catmullRom(a: number, b: number, c: number, d: number, t: number): number {
  return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}

/** Inks every pixel by its distance to the nearest segment, then adds the grain of the paper. */
function ink(segments: Segments, image: Uint8Array, random: Random): void {
  const radius = between(random, 0.7, 1.7);
  const softness = between(random, 0.6, 1.3);
  const darkness = between(random, 0.7, 1);
  const grain = between(random, 0, 0.12);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const distance = nearest(segments, column + 0.5, row + 0.5);
      const cover = Math.min(1, Math.max(0, (radius - distance) / softness + 0.5));
      const value = darkness * cover + grain * bell(random);
      image[row * side + column] = Math.round(255 * Math.min(1, Math.max(0, value)));
    }
  }
}

/** The distance in pixels from a point to the nearest segment. */
function nearest(segments: Segments, x: number, y: number): number {
  let least = Infinity;
  for (let k = 0; k < segments.length; k += 4) {
    const x0 = segments[k]!;
    const y0 = segments[k + 1]!;
    const dx = segments[k + 2]! - x0;
    const dy = segments[k + 3]! - y0;
    const length = dx * dx + dy * dy;
    const along = length === 0 ? 0 : Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / length));
    const ex = x0 + along * dx - x;
    const ey = y0 + along * dy - y;
    const square = ex * ex + ey * ey;
    if (square < least) least = square;
  }
  return Math.sqrt(least);
}
