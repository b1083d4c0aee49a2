// Readers of JSON values that take nothing on trust: each returns what it checked, or rejects the manifest at that place.

import { show } from "./diagnostics.ts";
import { inside, MEMORY_LIMIT, type Place, reject } from "./place.ts";

export type Parse<T> = (value: unknown, at: Place) => T;

const TEXT_LIMIT = 2 ** 16;
export const LIST_LIMIT = 2 ** 20;

export const integer =
  (least: number, limit: number): Parse<number> =>
  (value, at) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= limit
      ? (value as number)
      : reject(at, `expected an integer from ${least} to ${limit}, found ${show(value)}`);

export const upTo = (limit: number): Parse<number> => integer(0, limit);

export const size = upTo(MEMORY_LIMIT);
export const u32 = upTo(2 ** 32 - 1);

export const text: Parse<string> = (value, at) =>
  typeof value === "string" && value.length <= TEXT_LIMIT
    ? value
    : reject(at, `expected a string of at most ${TEXT_LIMIT} characters, found ${show(value)}`);

export const oneOf =
  <const T extends readonly string[]>(...values: T): Parse<T[number]> =>
  (value, at) =>
    values.find((v) => v === value) ?? reject(at, `expected ${values.map(show).join(" or ")}, found ${show(value)}`);

export const list =
  <T>(limit: number, item: Parse<T>): Parse<readonly T[]> =>
  (value, at) =>
    Array.isArray(value) && value.length <= limit
      ? Array.from(value, (v, i) => item(v, inside(at, i)))
      : reject(at, `expected a list of at most ${limit}, found ${show(value)}`);

/** Reads the fields of an object one by one. */
export const object = (value: unknown, at: Place): (<T>(key: string, parse: Parse<T>) => T) => {
  const fields = record(value, at);
  return (key, parse) => parse(Object.hasOwn(fields, key) ? fields[key] : undefined, inside(at, key));
};

export const record = (value: unknown, at: Place): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : reject(at, `expected an object, found ${show(value)}`);
