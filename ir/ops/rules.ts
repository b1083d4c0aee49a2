// Checks that type rules share: element types, attributes, axes, broadcasting. Each says what was found and what was expected.

import type { DType } from "../dtype.ts";
import { DTYPES } from "../dtype.ts";
import type { InferContext } from "../op.ts";
import { broadcast, type Dim, type TensorType, typeToString } from "../types.ts";

export type Kind = "float" | "int" | "uint" | "bool";

export const FLOAT: readonly Kind[] = ["float"];
export const INTEGER: readonly Kind[] = ["int", "uint"];
export const NUMBER: readonly Kind[] = ["float", "int", "uint"];
export const LOGICAL: readonly Kind[] = ["int", "uint", "bool"];
export const ANY: readonly Kind[] = ["float", "int", "uint", "bool"];

const NAMES: Readonly<Record<Kind, string>> = { float: "float", int: "signed integer", uint: "unsigned integer", bool: "bool" };

/** Operand `k`'s type, whose elements must be of one of `kinds`. */
export function operandOf(c: InferContext, k: number, kinds: readonly Kind[] = ANY): TensorType {
  const t = c.types[k]!;
  if (!kinds.includes(DTYPES[t.dtype].kind))
    c.fail(`operand ${k} must be ${kinds.map((d) => NAMES[d]).join(" or ")}, got ${typeToString(t)}`);
  return t;
}

/** The element type that operands `ks` (all by default) share. */
export function sharedDType(c: InferContext, ks: readonly number[] = c.types.map((_, k) => k)): DType {
  const dtype = c.types[ks[0]!]!.dtype;
  if (ks.some((k) => c.types[k]!.dtype !== dtype)) {
    c.fail(`operands must have one element type, got ${ks.map((k) => typeToString(c.types[k]!)).join(" and ")}`);
  }
  return dtype;
}

/** Integers whose products are summed in 32 bits. */
const NARROW: ReadonlySet<DType> = new Set(["i8", "u8", "i16"]);

/** The element type of a sum of products of operands 0 and 1: theirs, which they share, or i32 where both are narrow integers. */
export function productDType(c: InferContext): DType {
  return [0, 1].every((k) => NARROW.has(c.types[k]!.dtype)) ? "i32" : sharedDType(c, [0, 1]);
}

/** The shape that operands `ks` (all by default) broadcast to. */
export function sharedShape(c: InferContext, ks: readonly number[] = c.types.map((_, k) => k)): readonly Dim[] {
  let shape: readonly Dim[] = [];
  for (const k of ks) {
    const next = broadcast(shape, c.types[k]!.shape);
    if (!next) return c.fail(`shapes do not broadcast: ${ks.map((j) => typeToString(c.types[j]!)).join(" and ")}`);
    shape = next;
  }
  return shape;
}

/** An integer attribute, at least `least`. */
export function intAttr(c: InferContext, name: string, least = Number.MIN_SAFE_INTEGER): number {
  const value = c.attrs[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least)
    return c.fail(`attribute '${name}' must be an integer${least > Number.MIN_SAFE_INTEGER ? ` >= ${least}` : ""}, got ${String(value)}`);
  return value;
}

/** A number attribute. */
export function numberAttr(c: InferContext, name: string): number {
  const value = c.attrs[name];
  return typeof value === "number" ? value : c.fail(`attribute '${name}' must be a number, got ${String(value)}`);
}

export function stringAttr<T extends string>(c: InferContext, name: string, allowed: readonly T[]): T {
  const value = c.attrs[name];
  return allowed.find((a) => a === value) ?? c.fail(`attribute '${name}' must be one of ${allowed.join(", ")}, got ${String(value)}`);
}

/** A list of `length` integers, each at least `least`. */
export function intsAttr(c: InferContext, name: string, length?: number, least = Number.MIN_SAFE_INTEGER): readonly number[] {
  const value = c.attrs[name];
  const good = Array.isArray(value) && value.every((v) => typeof v === "number" && Number.isSafeInteger(v) && v >= least);
  if (!good || (length !== undefined && value.length !== length)) {
    return c.fail(
      `attribute '${name}' must be ${length === undefined ? "" : `${length} `}integers${least > Number.MIN_SAFE_INTEGER ? ` >= ${least}` : ""}, got ${String(value)}`,
    );
  }
  return value as readonly number[];
}

/** Attribute `axis`: an axis of a tensor of `rank` axes. */
export function axisAttr(c: InferContext, rank: number, name = "axis"): number {
  const axis = intAttr(c, name, 0);
  return axis < rank ? axis : c.fail(`attribute '${name}' is ${axis}, and there are ${rank} axes`);
}

/** Attribute `axes`: distinct axes of a tensor of `rank` axes. */
export function axesAttr(c: InferContext, rank: number, name = "axes"): readonly number[] {
  const axes = intsAttr(c, name, undefined, 0);
  if (axes.some((a) => a >= rank) || new Set(axes).size !== axes.length)
    c.fail(`attribute '${name}' is [${axes}], and ${rank} axes are there to name once each`);
  return axes;
}

/** An extent that must be constant. */
export function staticDim(c: InferContext, k: number, axis: number): number {
  const d = c.types[k]!.shape[axis]!;
  return typeof d === "number"
    ? d
    : c.fail(`axis ${axis} of operand ${k}, ${typeToString(c.types[k]!)}, hangs on data, and must be constant`);
}
