// Checks what a caller gives a run, and copies it into the program's memory.

import type { Port } from "./artifact.ts";
import { arrayName, errors, show } from "./diagnostics.ts";
import { ARRAYS, RANGES, type TypedArray } from "./dtype.ts";

/** A tensor as a caller gives it: its elements row-major, with its shape or in the model's. */
export type Input<T extends TypedArray = TypedArray, S extends readonly number[] = readonly number[]> =
  | T
  | { readonly data: T; readonly shape: S };
export type Inputs = { readonly [name: string]: Input };

/** An input's port with its place in the program's memory. */
export interface InputPlace {
  readonly port: Port;
  readonly view: TypedArray;
}

/** Checks every input before it touches any; throws one `bad-input` that lists all that is wrong. */
export const bindInputs = (model: string, places: ReadonlyMap<string, InputPlace>, given: Inputs): void => {
  const problems: string[] = [];
  if (typeof given !== "object" || given === null || ArrayBuffer.isView(given))
    throw errors.badInputs(model, [`run() takes an object of inputs by name, not ${show(given)}; expected ${names(places)}`]);
  for (const name of Object.keys(given)) if (!places.has(name)) problems.push(`no input is named ${show(name)}; expected ${names(places)}`);
  const data: TypedArray[] = [];
  for (const [name, { port }] of places) {
    const found: unknown = Object.hasOwn(given, name) ? given[name] : undefined;
    const checked = checkInput(port, found);
    if (typeof checked === "string") problems.push(`input ${show(name)}: ${checked}`);
    else data.push(checked);
  }
  if (problems.length) throw errors.badInputs(model, problems);
  let next = 0;
  for (const { view } of places.values()) copy(data[next++]!, view);
};

/** The elements of an input, or what is wrong with it. */
const checkInput = (port: Port, given: unknown): TypedArray | string => {
  const expected = `expected ${describe(port)}`;
  if (given === undefined) return `missing; ${expected}`;
  const wrapped = typeof given === "object" && given !== null && !ArrayBuffer.isView(given) && "data" in given;
  const data = wrapped ? given.data : given;
  if (!ArrayBuffer.isView(data) || arrayName(data) !== ARRAYS[port.dtype].name) return `found ${show(data)}; ${expected}`;
  const array = data as TypedArray;
  if (wrapped) {
    const shape = "shape" in given ? given.shape : undefined;
    if (!Array.isArray(shape)) return `found data without a shape; ${expected}`;
    if (shape.length !== port.shape.length || shape.some((n, i) => n !== port.shape[i]))
      return `found shape [${shape.map(show).join(", ")}]; ${expected}`;
    if ("dtype" in given && given.dtype !== port.dtype) return `found dtype ${show(given.dtype)}; ${expected}`;
  }
  const count = elementCount(port.shape);
  if (array.length !== count) return `found ${array.length} elements; expected ${count} for ${port.dtype} [${port.shape.join(", ")}]`;
  const range = RANGES[port.dtype];
  if (range) {
    const at = (array as Int8Array).findIndex((x) => x < range[0] || x > range[1]);
    if (at >= 0) return `found ${array[at]} at element ${at}; expected ${range[0]} to ${range[1]} for ${port.dtype}`;
  }
  return array;
};

const copy = (from: TypedArray, to: TypedArray): void => (to as Float32Array).set(from as Float32Array);

export const elementCount = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

const NOTES: Readonly<Record<string, string>> = { f16: " of the bits of f16", bool: " of 0 and 1", i4: " of -8 to 7", u4: " of 0 to 15" };
const describe = ({ dtype, shape }: Port): string => `a ${ARRAYS[dtype].name}${NOTES[dtype] ?? ""} for ${dtype} [${shape.join(", ")}]`;

const names = (places: ReadonlyMap<string, InputPlace>): string =>
  places.size ? [...places.values()].map(({ port }) => `${show(port.name)} ${port.dtype} [${port.shape.join(", ")}]`).join(", ") : "none";
