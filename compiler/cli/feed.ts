// Values for a model's inputs: from .npy files, and random ones for the rest.

import { SparsecError } from "../../ir/diagnostics.ts";
import { arrayOf, DTYPES } from "../../ir/dtype.ts";
import { toF16 } from "../../ir/scalar/f16.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import type { Port } from "../../runtime/artifact.ts";
import { type Flags, integer, pair, usage } from "./flags.ts";
import { readArray } from "./options.ts";

/** The tensors of --input, by name. Errors: `usage`, and those of arrays. */
export async function givenInputs(flags: Flags): Promise<ReadonlyMap<string, Tensor>> {
  const tensors = new Map<string, Tensor>();
  for (const text of flags.all("input")) {
    const [name, path] = pair("input", text);
    if (tensors.has(name)) throw usage(`--input ${name} was given twice`);
    tensors.set(name, await readArray(path));
  }
  return tensors;
}

type Limits = readonly [low: number, high: number];

function limits(flags: Flags): ReadonlyMap<string, Limits> {
  return new Map(
    flags.all("range").map((text) => {
      const [name, value] = pair("range", text);
      const bounds = value.split(":").map(Number);
      const [low, high] = bounds;
      if (bounds.length !== 2 || !(low! <= high!)) throw usage(`--range is '${text}', and name=low:high is expected`);
      return [name, [low!, high!]] as const;
    }),
  );
}

/** 32 random bits after 32 random bits (mulberry32), the same for the same seed on any engine. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

/** FNV-1a: each input has numbers of its own, whatever the others are. */
const hash = (text: string): number => [...text].reduce((h, c) => Math.imul(h ^ c.codePointAt(0)!, 0x01000193) >>> 0, 0x811c9dc5);

/** Random elements: floats in [low, high), integers and bools from low to high. */
function randomTensor({ name, dtype, shape }: Port, seed: number, range: Limits | undefined): Tensor {
  const { kind } = DTYPES[dtype];
  const [low, high] = range ?? (kind === "float" ? [-1, 1] : [0, 1]);
  const next = generator(seed ^ hash(name));
  const data = arrayOf(dtype, elementCount(shape));
  const wide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  for (let i = 0; i < data.length; i++) {
    const u = next() / 2 ** 32;
    const x = kind === "float" ? low + u * (high - low) : Math.floor(low + u * (high - low + 1));
    data[i] = (wide ? BigInt(x) : dtype === "f16" ? toF16(x) : x) as never;
  }
  return { dtype, shape, data };
}

/** The seed of --random, where it is given. */
export function seedOf(flags: Flags): number | undefined {
  const seed = flags.one("random");
  return seed === undefined ? undefined : integer("random", seed);
}

/** A tensor for every port; those that are not given are random, of `seed`. Errors: `usage`, `bad-input` where one has no value. */
export function feed(
  ports: readonly Port[],
  given: ReadonlyMap<string, Tensor>,
  flags: Flags,
  seed: number | undefined = seedOf(flags),
): ReadonlyMap<string, Tensor> {
  const ranges = limits(flags);
  if (seed === undefined && ranges.size > 0) throw usage("--range is given without --random");
  const names = ports.map((p) => p.name);
  for (const [flag, map] of [["input", given] as const, ["range", ranges] as const])
    for (const name of map.keys())
      if (!names.includes(name))
        throw new SparsecError("bad-input", `--${flag} names '${name}', and the model's inputs are ${names.join(", ")}`);
  const missing = ports.filter((p) => !given.has(p.name));
  if (seed === undefined && missing.length > 0) {
    const what = missing.map((p) => `${p.name}: ${p.dtype}[${p.shape.join(",")}]`).join(", ");
    const hint = `${missing.map((p) => `--input ${p.name}=${p.name}.npy`).join(" ")}, or --random SEED`;
    throw new SparsecError("bad-input", `no value for ${what}`, undefined, hint);
  }
  return new Map(ports.map((p) => [p.name, given.get(p.name) ?? randomTensor(p, seed ?? 0, ranges.get(p.name))]));
}
