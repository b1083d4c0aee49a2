// Copies outputs out of the program's memory, in their true shapes where extents are known only after a run.

import type { Extent, Port, PortDType, Slot } from "./artifact.ts";
import { errors, show } from "./diagnostics.ts";
import type { ArrayOf, TypedArray } from "./dtype.ts";

/** A tensor as a run returns it: a copy, row-major. */
export interface Tensor<D extends PortDType = PortDType, S extends readonly number[] = readonly number[]> {
  readonly data: ArrayOf<D>;
  readonly dtype: D;
  readonly shape: S;
}
export type Outputs = { readonly [name: string]: Tensor };

/** A tensor that a run left on the device: row-major in a buffer of the caller's, who destroys it. */
export interface GPUTensor {
  readonly buffer: GPUBuffer;
  readonly dtype: PortDType;
  readonly shape: readonly number[];
}

/** An output's port with its place in the program's memory; `view` has the port's shape, bounded extents at their maximum. */
export interface OutputPlace {
  readonly port: Port;
  readonly number: number;
  readonly view: TypedArray;
  readonly extents: readonly Extent[];
  readonly region: Slot["region"];
  /** Where a run left it that was to keep it on the device. */
  buffer: GPUBuffer | undefined;
}

/** The places of the outputs named, or of all. */
export const chooseOutputs = (places: ReadonlyMap<string, OutputPlace>, wanted: readonly string[] | undefined): readonly OutputPlace[] =>
  wanted?.map((name) => outputNamed(places, name)) ?? [...places.values()];

export const outputNamed = (places: ReadonlyMap<string, OutputPlace>, name: string): OutputPlace => {
  const place = places.get(name);
  if (!place) throw errors.badOption(`no output is named ${show(name)}; the outputs are ${[...places.keys()].map(show).join(", ")}`);
  return place;
};

/** The extent that a run left at a place of the arena. */
type ReadExtent = (at: number) => number;

/** Fresh copies of outputs. Throws `fault` where an extent is past its maximum. */
export const collectOutputs = (model: string, chosen: readonly OutputPlace[], read: ReadExtent): Outputs => {
  const outputs = Object.create(null) as Record<string, Tensor>;
  for (const { port, view, extents } of chosen) {
    const shape = extents.map((extent) => (typeof extent === "number" ? extent : trueExtent(model, port, extent, read)));
    outputs[port.name] = { data: compact(view, port.shape, shape), dtype: port.dtype, shape };
  }
  return outputs;
};

const trueExtent = (model: string, port: Port, { max, at }: Exclude<Extent, number>, read: ReadExtent): number => {
  const found = read(at);
  if (found < 0 || found > max) throw errors.fault(model, `an extent of output ${show(port.name)} is not within 0 to ${max}`);
  return found;
};

/** The buffers that a run left outputs in. */
export const collectBuffers = (chosen: readonly OutputPlace[]): Readonly<Record<string, GPUTensor>> => {
  const outputs = Object.create(null) as Record<string, GPUTensor>;
  for (const place of chosen) {
    const { name, dtype, shape } = place.port;
    outputs[name] = { buffer: place.buffer!, dtype, shape };
    place.buffer = undefined;
  }
  return outputs;
};

/** A dense copy of the leading corner `shape` of a row-major array of extents `full`. */
const compact = (view: TypedArray, full: readonly number[], shape: readonly number[]): ArrayOf<PortDType> => {
  // Rows are whole from the last extent that was cut.
  let cut = shape.length - 1;
  while (cut >= 0 && shape[cut] === full[cut]) cut--;
  if (cut < 0) return view.slice();
  const inner = shape.slice(cut + 1).reduce((product, n) => product * n, 1);
  const run = shape[cut]! * inner;
  const pitch = full[cut]! * inner;
  const rows = shape.slice(0, cut).reduce((product, n) => product * n, 1);
  if (rows === 1) return view.slice(0, run);
  const out = view.slice(0, rows * run);
  for (let row = 0; row < rows && run > 0; row++) {
    // Mixed-radix digits of the row, in the extents of the full array.
    let rest = row;
    let from = 0;
    let stride = 1;
    for (let axis = cut - 1; axis >= 0; axis--) {
      from += (rest % shape[axis]!) * stride;
      rest = Math.floor(rest / shape[axis]!);
      stride *= full[axis]!;
    }
    (out as Float32Array).set((view as Float32Array).subarray(from * pitch, from * pitch + run), row * run);
  }
  return out;
};
