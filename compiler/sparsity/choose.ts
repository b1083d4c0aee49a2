// Chooses how a constant matrix is stored: the format that the cost model predicts to be fastest, dense unless one clearly is.

import { LEAST_GAIN, type Product, predictedGain } from "../cost.ts";
import type { Analysis } from "./analyze.ts";
import { type Pattern, patternToString } from "./finding.ts";

/** A constant operand of a product, seen as a matrix with one row for each output channel. */
export interface Candidate {
  readonly rows: number;
  readonly columns: number;
  /** Columns for each input channel: the elements of a convolution's kernel. */
  readonly taps: number;
  /** Which axis of the constant the rows are: it decides between `csr` and `csc`, `bsr` and `bsc`. */
  readonly by: "first" | "last";
  readonly product: Product;
}

export interface Choice {
  /** Name of a layout, or "dense". */
  readonly format: string;
  readonly why: string;
  readonly predictedGain: number;
}

/** Smaller matrices are over before a sparse kernel has begun. */
const LEAST_ELEMENTS = 64;

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;
const dense = (why: string): Choice => ({ format: "dense", why, predictedGain: 1 });

/** The formats that hold a pattern, most special first. */
function formatsFor(p: Pattern, by: Candidate["by"]): readonly string[] {
  const general = by === "first" ? "csr" : "csc";
  if (p.kind === "block") return [`${by === "first" ? "bsr" : "bsc"}-${p.rows}x${p.columns}`, general];
  if (p.kind === "n-of-m" && p.along === "rows") return [`${by === "first" ? "nm" : "nmc"}-${p.n}-${p.m}`, general];
  return [general];
}

/** `kernels`: the formats that there are sparse kernels for. */
export function choose(a: Analysis, c: Candidate, kernels: ReadonlySet<string>): Choice {
  if (a.nonzeros === c.rows * c.columns) return dense("it has no zeros");
  if (c.rows * c.columns < LEAST_ELEMENTS) return dense(`${c.rows * c.columns} elements are too few to gain from`);
  const format = formatsFor(a.pattern, c.by).find((f) => kernels.has(f));
  if (!format) return dense(`there is no kernel for ${patternToString(a.pattern)}`);
  const blocked = a.pattern.kind === "block" && /^bs[rc]-/.test(format);
  const kept = (1 - a.zeros) / (blocked && a.pattern.kind === "block" ? a.pattern.fill : 1);
  const gain = predictedGain(blocked ? "block" : "unstructured", kept, c.product);
  const { columns, fewer = 1 } = c.product;
  const against = fewer > 1 ? `, against a dense kernel ${fewer.toFixed(1)}x as fast as its products` : "";
  const facts = `${percent(a.zeros)} zeros, ${patternToString(a.pattern)}, ${columns} columns at once${against}`;
  if (gain < LEAST_GAIN)
    return dense(`${facts}: the dense kernel is predicted to be as fast (gain ${gain.toFixed(2)}, needs ${LEAST_GAIN})`);
  return { format, why: facts, predictedGain: gain };
}
