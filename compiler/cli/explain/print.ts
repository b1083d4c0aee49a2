// How `sparsec explain` shows a program: two lines for each kernel, within the width of a page.

import type { QuantizationReport } from "../../index.ts";
import type { Note } from "../../pipeline.ts";
import type { NodeReport, Quantities, VariantReport } from "../../report.ts";
import { bytes, cut, percent, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";

/** What was measured of a kernel, beside what is known of it. Milliseconds. */
export interface Timed {
  readonly measured: number;
  /** Of the whole run. */
  readonly share: number;
  /** Arithmetic that is not with zeros, of what the machine does at its best; absent where nothing is counted. */
  readonly ofPeak?: number;
}

export interface Explained {
  /** What became of weights and activations, where they were quantized. */
  readonly quantization?: QuantizationReport | undefined;
  readonly variant: VariantReport;
  readonly others: readonly string[];
  readonly notes: readonly Note[];
  /** What a run would take without passes. */
  readonly before: Quantities | undefined;
  /** For each of the variant's nodes; undefined for those that share a step with the one before. */
  readonly timed?: readonly (Timed | undefined)[];
  /** Microseconds of a run of the model itself, where zeros were imposed on it. */
  readonly unpruned: number | undefined;
  readonly totals?: { readonly whole: number; readonly sum: number; readonly peak: number; readonly rounds: number };
}

const WIDTH = 100;
const NAME_WIDTH = 28;
const SHAPE_WIDTH = 22;
const OP_WIDTH = 20;

/** Text in lines of at most `width` characters, broken at spaces. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

export const micro = (us: number): string => us.toFixed(us < 10 ? 2 : us < 100 ? 1 : 0);

/** The end of a name that is too long: exporters write the path of the layer first. */
export const ending = (text: string, width: number): string => (text.length <= width ? text : `...${text.slice(3 - width)}`);

const zerosOf = (n: NodeReport): string => (n.elements === undefined ? "" : percent(n.zeros!, n.elements));

/** The second line: what the first has no room for. */
function remark(n: NodeReport, timed: boolean): string {
  const format = (n.pattern ?? (n.format !== undefined && n.format !== "dense")) ? `${n.pattern ?? "-"} as ${n.format ?? "dense"}: ` : "";
  return `${timed ? `${n.kernel}, ${cut(n.shape, SHAPE_WIDTH)}; ` : ""}${format}${n.why}`;
}

function rows({ variant, timed }: Explained): readonly (readonly string[])[] {
  const head = timed
    ? ["node", "op", "zeros", "predicted us", "measured us", "share", "of peak"]
    : ["node", "op", "shape", "zeros", "kernel", "bytes"];
  const name = (n: NodeReport): string => ending(`${n.name}${n.nodes.length > 1 ? ` +${n.nodes.length - 1}` : ""}`, NAME_WIDTH);
  return [
    head,
    ...variant.nodes.map((n, k) => {
      const start = [name(n), cut(n.ops.join("+"), timed ? OP_WIDTH : SHAPE_WIDTH)];
      if (!timed) return [...start, cut(n.shape, SHAPE_WIDTH), zerosOf(n), cut(n.kernel, SHAPE_WIDTH), bytes(n.bytes)];
      const t = timed[k];
      const times = t ? [micro(1000 * t.measured), percent(t.share, 1), t.ofPeak === undefined ? "" : percent(t.ofPeak, 1)] : ["", "", ""];
      return [...start, zerosOf(n), micro(predicted(variant.nodes, k)), ...times];
    }),
  ];
}

/** Of a step whose kernels are told of at its first. */
const predicted = (nodes: readonly NodeReport[], k: number): number =>
  nodes[k - 1]?.step === nodes[k]!.step ? 0 : nodes.filter((n) => n.step === nodes[k]!.step).reduce((us, n) => us + n.predicted, 0);

const taken = (q: Quantities): readonly string[] => [
  String(q.kernels),
  `${q.conversions} (${bytes(q.convertedBytes)})`,
  bytes(q.intermediateBytes),
  bytes(q.arena),
];

export const noteLine = ({ node, message }: Note): string => `note: ${node === undefined ? "" : `${node}: `}${message}`;

export function print(terminal: Terminal, e: Explained): void {
  const { colors: c } = terminal;
  const { variant, before, totals } = e;
  const [head, ...lines] = table(rows(e), new Set(e.timed ? [2, 3, 4, 5, 6] : [3, 5]));
  terminal.out(c.bold(head!));
  for (const [k, line] of lines.entries()) {
    terminal.out(line);
    for (const text of wrap(remark(variant.nodes[k]!, e.timed !== undefined), WIDTH - 4)) terminal.out(c.dim(`    ${text}`));
  }
  terminal.out(`\n${variant.backend}:${variant.variant}: weights ${bytes(variant.weights)}`);
  const heads = ["", "kernels", "layout conversions", "written between kernels", "arena"];
  const quantities = [heads, ...(before ? [["before passes", ...taken(before)]] : []), ["one inference", ...taken(variant)]];
  for (const line of table(quantities, new Set([1, 2, 3, 4]))) terminal.out(line);
  const sum = variant.nodes.reduce((us, n) => us + n.predicted, 0);
  const gain = e.unpruned === undefined ? "" : `, ${micro(e.unpruned)} us without imposed zeros: ${(e.unpruned / sum).toFixed(2)}x`;
  terminal.out(`\npredicted: ${micro(sum)} us a run${gain}`);
  if (totals)
    terminal.out(
      `measured: ${micro(1000 * totals.whole)} us a run, ${micro(1000 * totals.sum)} us over its steps (medians of ${totals.rounds}); peak ${totals.peak.toFixed(1)} GFLOP/s`,
    );
  if (e.others.length > 0) terminal.out(`also compiled: ${e.others.join(", ")} (--device shows one)`);
  for (const note of e.notes) terminal.out(noteLine(note));
}
