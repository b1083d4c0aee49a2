// Chooses how a constant matrix is stored: the format that the cost model predicts to be fastest on hosts, dense unless one clearly is.

import { bitmap } from "../../ir/layouts/index.ts";
import type { Device } from "../backend.ts";
import type { Costs } from "../cost/costs.ts";
import { mayGain } from "../cost/device.ts";
import { LEAST_GAIN, type Product, predictedGain } from "../cost/gain.ts";
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
  /** What it multiplies: bytes, to sums of i32; or small integers, in few rows that have a scale each. */
  readonly meets: "floats" | "bytes" | "rows";
  /** Right-hand sides at once: pixels of a convolution, rows or columns of the other operand. */
  readonly product: Omit<Product, "elements">;
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

/** A format that holds a pattern: the blocks that it keeps, and the part of their elements that is not zero. */
interface Option {
  readonly format: string;
  readonly block: readonly [rows: number, columns: number];
  readonly fill: number;
}

function optionsFor(p: Pattern, by: Candidate["by"]): readonly Option[] {
  const [blocks, general] = by === "first" ? ["bsr", "csr"] : ["bsc", "csc"];
  const single: Option = { format: general!, block: [1, 1], fill: 1 };
  if (p.kind !== "block") return [single];
  return [{ format: `${blocks}-${p.rows}x${p.columns}`, block: [p.rows, p.columns], fill: p.fill }, single];
}

/** Why there is nothing to gain by leaving out zeros, wherever it runs; undefined where there may be. */
function hopeless(a: Analysis, { rows, columns }: Candidate): string | undefined {
  if (a.nonzeros === rows * columns) return "it has no zeros";
  return rows * columns < LEAST_ELEMENTS ? `${rows * columns} elements are too few to gain from` : undefined;
}

/** Which elements are zero, where one of the devices may gain by that: how they multiply is for their lowering to choose. */
export function chooseForDevices(a: Analysis, c: Candidate, devices: readonly Device[]): Choice {
  const none = hopeless(a, c);
  if (none !== undefined) return dense(none);
  if (!devices.some((d) => mayGain(c.rows * c.columns, a.nonzeros, c.product.columns, d.sparseRates)))
    return dense(`${percent(a.zeros)} zeros are too few for a device to gain from`);
  return { format: bitmap.name, why: "devices choose by themselves", predictedGain: 1 };
}

/** For hosts. `kernels`: the formats that there are sparse kernels for. */
export function choose(a: Analysis, c: Candidate, kernels: ReadonlySet<string>, costs: Costs): Choice {
  const none = hopeless(a, c);
  if (none !== undefined) return dense(none);
  const product = { ...c.product, elements: c.rows * c.columns };
  const gains = optionsFor(a.pattern, c.by)
    .filter((o) => kernels.has(o.format))
    .map((o) => ({ format: o.format, gain: predictedGain(o.block, (1 - a.zeros) / o.fill, product, costs) }));
  if (gains.length === 0) return dense(`there is no kernel for ${patternToString(a.pattern)}`);
  const { format, gain } = gains.reduce((best, g) => (g.gain > best.gain ? g : best));
  const { columns, fewer = 1 } = c.product;
  const against = fewer > 1 ? `, against a dense kernel ${fewer.toFixed(1)}x as fast as its products` : "";
  const facts = `${percent(a.zeros)} zeros, ${patternToString(a.pattern)}, ${columns} columns at once${against}`;
  if (gain < LEAST_GAIN)
    return dense(`${facts}: the dense kernel is predicted to be as fast (gain ${gain.toFixed(2)}, needs ${LEAST_GAIN})`);
  return { format, why: facts, predictedGain: gain };
}
