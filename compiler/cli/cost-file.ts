// Reads what `sparsec calibrate` wrote. Everything in it is checked: decisions hang on it.

import { readFile } from "node:fs/promises";
import { SparsecError } from "../../ir/diagnostics.ts";
import type { CostFile, Costs } from "../cost/costs.ts";
import { BLOCK_RATES } from "../cost/device.ts";

type Check = (x: unknown) => boolean;

const isRate: Check = (x) => typeof x === "number" && Number.isFinite(x) && x > 0;
/** Tuples of positive numbers whose first ones grow. */
const isRows =
  (width: number): Check =>
  (x) =>
    Array.isArray(x) &&
    x.length > 0 &&
    x.every((row: unknown) => Array.isArray(row) && row.length === width && row.every(isRate)) &&
    x.every((row: readonly number[], k) => k === 0 || row[0]! > (x as readonly (readonly number[])[])[k - 1]![0]!);
const isObject =
  (fields: Readonly<Record<string, Check>>): Check =>
  (x) =>
    typeof x === "object" &&
    x !== null &&
    Object.entries(fields).every(([key, check]) => check(Object.hasOwn(x, key) ? x[key as never] : undefined));

const isTransfer = isObject({ latency: isRate, rate: isRate });

const COSTS = {
  dense: isRows(2),
  denseFar: isRate,
  single: isRows(2),
  shared: isRows(2),
  // Every number of rows is a multiple of the first.
  few: (x) => isRows(3)(x) && (x as readonly (readonly number[])[])[0]![0] === 1,
  along: isObject({ near: isRate, far: isRate }),
  grouped: isRate,
  vectors: isRate,
  elements: isRate,
  memory: isRate,
  functions: isRate,
  start: isRate,
  transfer: (x) => x === undefined || isTransfer(x),
} satisfies Record<keyof Costs, Check>;

const SHAPES = new Set(BLOCK_RATES.map((r) => r.block.join("x")));
const isBlockRate = isObject({ block: (x) => Array.isArray(x) && SHAPES.has(x.join("x")), many: isRate, few: isRate });
const isDevices: Check = (x) =>
  typeof x === "object" &&
  x !== null &&
  Object.values(x).every((rates) => Array.isArray(rates) && rates.length > 0 && rates.every(isBlockRate));

const isFile = isObject({
  version: (x) => x === 1,
  machine: (x) => typeof x === "string",
  variants: (x) => typeof x === "object" && x !== null && Object.values(x).every(isObject(COSTS)),
});

/** Errors: `unreadable`, `bad-costs`. */
export async function readCosts(path: string): Promise<CostFile> {
  const at = { file: path, name: "" };
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (e) {
    throw new SparsecError("unreadable", `cannot read the costs: ${(e as Error).message}`, at);
  }
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    found = undefined;
  }
  if (!isFile(found) || !isDevices((found as CostFile).devices ?? {}))
    throw new SparsecError("bad-costs", "it holds no costs of this version of sparsec", at, "write it with `sparsec calibrate`");
  return found as CostFile;
}
