// Checks what a caller gives a run, and copies it into the program's memory.

import type { Port } from "./artifact.ts";
import { arrayName, errors, show } from "./diagnostics.ts";
import { ARRAYS, RANGES, type TypedArray } from "./dtype.ts";

/** A tensor as a caller gives it: its elements row-major, with its shape or in the model's. */
export type Input<T extends TypedArray = TypedArray, S extends readonly number[] = readonly number[]> =
  | T
  | { readonly data: T; readonly shape: S };
export type Inputs = { readonly [name: string]: Input };

/** An input that is on the model's device already: row-major from the start of a buffer that may be copied from. Its values are not checked. */
export interface GPUInput {
  readonly buffer: GPUBuffer;
  readonly shape?: readonly number[];
}

/** An input's port with its place in the program's memory. */
export interface InputPlace {
  readonly port: Port;
  readonly view: TypedArray;
  /** Whether the caller has the view: it fills the input in place, and need not name it in a run. */
  held: boolean;
  /** Whether the program runs on a device, which may have the input already. */
  readonly onDevice: boolean;
  /** The caller's buffer that the coming run takes the input from. */
  buffer: GPUBuffer | undefined;
}

export const inputNamed = (places: ReadonlyMap<string, InputPlace>, name: string): InputPlace => {
  const place = places.get(name);
  if (!place) throw errors.badOption(`no input is named ${show(name)}; the inputs are ${names(places)}`);
  return place;
};

/** Checks every input before it touches any; throws one `bad-input` that lists all that is wrong. */
export const bindInputs = (model: string, places: ReadonlyMap<string, InputPlace>, given: Inputs | undefined): void => {
  if (given !== undefined && (typeof given !== "object" || given === null || ArrayBuffer.isView(given)))
    throw errors.badInputs(model, [`run() takes an object of inputs by name, not ${show(given)}; expected ${names(places)}`]);
  let problems: string[] | undefined;
  if (given)
    for (const name of Object.keys(given))
      if (!places.has(name)) (problems ??= []).push(`no input is named ${show(name)}; expected ${names(places)}`);
  for (const place of places.values()) {
    const problem = checkInput(place, givenFor(place, given));
    if (problem !== undefined) (problems ??= []).push(`input ${show(place.port.name)}: ${problem}`);
  }
  if (problems) throw errors.badInputs(model, problems);
  for (const place of places.values()) bind(place, givenFor(place, given) as Input | GPUInput);
};

const bind = (place: InputPlace, value: Input | GPUInput): void => {
  place.buffer = isBuffer(value) ? value.buffer : undefined;
  if (isBuffer(value)) return;
  const data = dataOf(value) as TypedArray;
  if (data !== place.view) (place.view as Float32Array).set(data as Float32Array);
};

/** What the caller gives for an input: by name, or else the view that it holds. */
const givenFor = ({ port, view, held }: InputPlace, given: Inputs | undefined): unknown => {
  const named: unknown = given && Object.hasOwn(given, port.name) ? given[port.name] : undefined;
  return named === undefined && held ? view : named;
};

const isWrapped = (value: unknown): value is { readonly data: unknown } =>
  typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && "data" in value;
const isBuffer = (value: unknown): value is GPUInput =>
  typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && "buffer" in value;
const dataOf = (value: unknown): unknown => (isWrapped(value) ? value.data : value);

/** What is wrong with an input, if anything. */
const checkInput = (place: InputPlace, value: unknown): string | undefined => {
  const { port, view } = place;
  if (value === undefined) return `missing; expected ${describe(port)}`;
  if (isBuffer(value)) return checkBuffer(place, value);
  const data = dataOf(value);
  if (!ArrayBuffer.isView(data) || arrayName(data) !== ARRAYS[port.dtype].name) return `found ${show(data)}; expected ${describe(port)}`;
  const array = data as TypedArray;
  if (isWrapped(value)) {
    const shape = "shape" in value ? value.shape : undefined;
    if (!Array.isArray(shape)) return `found data without a shape; expected ${describe(port)}`;
    if (!sameShape(shape, port)) return `found shape [${shape.map(show).join(", ")}]; expected ${describe(port)}`;
    if ("dtype" in value && value.dtype !== port.dtype) return `found dtype ${show(value.dtype)}; expected ${describe(port)}`;
  }
  if (array.length !== view.length)
    return `found ${array.length} elements; expected ${view.length} for ${port.dtype} [${port.shape.join(", ")}]`;
  const range = RANGES[port.dtype];
  if (range) {
    const at = firstOutside(array as Int8Array, range[0], range[1]);
    if (at >= 0) return `found ${array[at]} at element ${at}; expected ${range[0]} to ${range[1]} for ${port.dtype}`;
  }
  return undefined;
};

/** The first element that is not within the bounds, or -1. A loop, as a function to findIndex would be allocated for each run. */
const firstOutside = (array: Int8Array, low: number, high: number): number => {
  for (let i = 0; i < array.length; i++) if (array[i]! < low || array[i]! > high) return i;
  return -1;
};

const sameShape = (shape: readonly unknown[], port: Port): boolean =>
  shape.length === port.shape.length && shape.every((n, i) => n === port.shape[i]);

/** GPUBufferUsage.COPY_SRC, which only browsers have a name for. */
const COPY_SRC = 4;

const checkBuffer = ({ port, view, onDevice }: InputPlace, { buffer, shape }: GPUInput): string | undefined => {
  if (!onDevice) return `found a buffer of a GPU, but the model runs on none; expected ${describe(port)}`;
  const words = Math.ceil(view.byteLength / 4) * 4;
  if (!(buffer?.size >= words)) return `found a buffer of ${show(buffer?.size)} bytes; expected ${words}`;
  if (!(buffer.usage & COPY_SRC)) return "found a buffer whose usage lacks COPY_SRC";
  if (shape !== undefined && !(Array.isArray(shape) && sameShape(shape, port)))
    return `found shape ${Array.isArray(shape) ? `[${shape.map(show).join(", ")}]` : show(shape)}; expected ${describe(port)}`;
  return undefined;
};

export const elementCount = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

const NOTES: Readonly<Record<string, string>> = { f16: " of the bits of f16", bool: " of 0 and 1", i4: " of -8 to 7", u4: " of 0 to 15" };
const describe = ({ dtype, shape }: Port): string => `a ${ARRAYS[dtype].name}${NOTES[dtype] ?? ""} for ${dtype} [${shape.join(", ")}]`;

const names = (places: ReadonlyMap<string, InputPlace>): string =>
  places.size ? [...places.values()].map(({ port }) => `${show(port.name)} ${port.dtype} [${port.shape.join(", ")}]`).join(", ") : "none";
