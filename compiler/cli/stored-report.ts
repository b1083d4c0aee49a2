// Reads the report.json of an artifact. Artifacts come from anywhere: everything in it is checked.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SparsecError } from "../../ir/diagnostics.ts";
import type { LayerReport, QuantizationReport } from "../index.ts";
import { type NodeReport, type PartReport, REPORT, type ReportFile, type VariantReport } from "../report.ts";

type Check = (x: unknown) => boolean;
type Fields = Readonly<Record<string, Check>>;

const isString: Check = (x) => typeof x === "string";
const isCount: Check = (x) => Number.isSafeInteger(x) && (x as number) >= 0;
const isNumber: Check = (x) => typeof x === "number";
const isTime: Check = (x) => typeof x === "number" && x >= 0;
const isArrayOf =
  (check: Check): Check =>
  (x) =>
    Array.isArray(x) && x.every(check);
const optional =
  (check: Check): Check =>
  (x) =>
    x === undefined || check(x);
const isObject =
  (fields: Fields): Check =>
  (x) =>
    typeof x === "object" &&
    x !== null &&
    Object.entries(fields).every(([key, check]) => check(Object.hasOwn(x, key) ? x[key as never] : undefined));

const NODE = {
  step: isCount,
  nodes: isArrayOf(isString),
  name: isString,
  op: isString,
  ops: isArrayOf(isString),
  shape: isString,
  elements: optional(isCount),
  zeros: optional(isCount),
  pattern: optional(isString),
  format: optional(isString),
  kernel: isString,
  backend: isString,
  bytes: isCount,
  flops: isCount,
  nonzeroFlops: isCount,
  predicted: isTime,
  why: isString,
} satisfies Record<keyof NodeReport, Check>;
const VARIANT = {
  backend: isString,
  variant: isString,
  arena: isCount,
  weights: isCount,
  intermediateBytes: isCount,
  kernels: isCount,
  conversions: isCount,
  convertedBytes: isCount,
  steps: isCount,
  nodes: isArrayOf(isObject(NODE)),
} satisfies Record<keyof VariantReport, Check>;
const PART = {
  backend: isString,
  nodes: optional(isArrayOf(isString)),
  predicted: optional((x) => typeof x === "object" && x !== null && Object.values(x).every(isTime)),
  bytesIn: optional(isCount),
  bytesOut: optional(isCount),
  why: optional(isString),
  variants: isArrayOf(isObject(VARIANT)),
} satisfies Record<keyof PartReport, Check>;
const LAYER = {
  node: isString,
  op: isString,
  shape: isArrayOf(isCount),
  dtype: isString,
  block: isString,
  symmetric: (x) => typeof x === "boolean",
  rounding: optional(isNumber),
  noise: optional(isNumber),
} satisfies Record<keyof LayerReport, Check>;
const QUANTIZATION = {
  scheme: optional(isObject({ name: isString })),
  layers: isArrayOf(isObject(LAYER)),
  size: isTime,
  activations: isCount,
  output: optional(isNumber),
  loss: optional(isTime),
  accuracy: optional(isObject({ samples: isCount, before: isTime, after: isTime })),
} satisfies Record<keyof QuantizationReport, Check>;
const FILE = {
  version: (x) => x === 1,
  notes: isArrayOf(isObject({ pass: isString, node: optional(isString), message: isString })),
  variants: isArrayOf(isObject(VARIANT)),
  parts: optional(isArrayOf(isObject(PART))),
  quantization: optional(isObject(QUANTIZATION)),
} satisfies Record<keyof ReportFile, Check>;

/** The report in an artifact's folder. Errors: `no-report`, `corrupt`. */
export async function readReport(folder: string): Promise<ReportFile> {
  const file = join(folder, REPORT);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch {
    throw new SparsecError(
      "no-report",
      `there is no ${REPORT} in it`,
      { file: folder, name: "" },
      "give the artifact's folder or the model; `sparsec compile` writes the report",
    );
  }
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    found = undefined;
  }
  if (!isObject(FILE)(found))
    throw new SparsecError("corrupt", "it is no report of this version of sparsec", { file, name: "" }, "compile the model again");
  return found as ReportFile;
}
