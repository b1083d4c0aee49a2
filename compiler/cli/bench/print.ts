// How `sparsec bench` shows what it measured.

import { COUNTED } from "../../flops.ts";
import { bytes, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import type { ColdStart } from "./cold.ts";
import type { Sizes } from "./sizes.ts";

/** Items in a second; times in milliseconds for each run. */
export interface Measured {
  readonly rate: number;
  readonly mean: number;
  /** Half of the mean's 95 % confidence interval. */
  readonly margin: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly least: number;
  readonly samples: number;
  readonly runsPerSample: number;
  readonly busy: number;
}

export interface Result {
  readonly path: string;
  readonly scenario: "sync" | "async";
  readonly streams: number;
  readonly batch: number;
  readonly seconds: number;
  readonly device: string;
  readonly threads: number;
  /** Ours first. `difference`: how far another engine's results lie from ours, relative. */
  readonly rows: readonly (Measured & { readonly name: string; readonly difference?: number })[];
  readonly cold: ColdStart | string;
  readonly sizes: Sizes;
  /** Bytes of the memory that an instance takes. */
  readonly arena: number;
  readonly image: number;
  /** Of one run. */
  readonly flops: { readonly all: number; readonly nonzero: number } | undefined;
  /** For each item, or why it is not known. */
  readonly joules: number | string;
}

/** Three or four digits, whatever the size. */
const short = (x: number): string => (x >= 1000 ? x.toFixed(0) : x >= 100 ? x.toFixed(1) : x.toPrecision(3));

const giga = (flops: number): string => short(flops / 1e9);

function lines(r: Result): readonly (readonly [string, string])[] {
  const [ours] = r.rows as [Result["rows"][number]];
  // Runs in a second, over all streams.
  const perSecond = ours.rate / r.batch;
  const cold =
    typeof r.cold === "string"
      ? `- (${r.cold})`
      : `${short(r.cold.load + r.cold.first)} ms in a new process: load ${short(r.cold.load)}, first run ${short(r.cold.first)} (second ${short(r.cold.second)})`;
  const peak = typeof r.cold === "string" ? "-" : `${bytes(r.cold.peak)} resident in that process`;
  const { flops } = r;
  return [
    ["cold start", cold],
    ["memory", `${peak}; weights ${bytes(r.image)}, arena ${bytes(r.arena)}`],
    ["artifact", `code ${bytes(r.sizes.code)} (${bytes(r.sizes.codeGzipped)} gzipped), weights ${bytes(r.sizes.weights)}`],
    ["busy", `${ours.busy.toFixed(2)} threads (processor time over wall time)`],
    [
      "arithmetic",
      flops
        ? `${giga(flops.nonzero * perSecond)} GFLOP/s effective, ${giga(flops.all * perSecond)} dense-equivalent (${giga(flops.nonzero / r.batch)} of ${giga(flops.all / r.batch)} GFLOP an item; ${COUNTED.join(", ")})`
        : "- (the artifact has no report)",
    ],
    ["energy", typeof r.joules === "string" ? `- (${r.joules})` : `${short(1 / r.joules)} items/s per watt`],
  ];
}

function text(terminal: Terminal, r: Result): void {
  const { colors: c } = terminal;
  const how = [`batch ${r.batch}`, r.scenario, ...(r.streams > 1 ? [`${r.streams} streams`] : [])].join(", ");
  terminal.out(`${c.bold(r.path)}  ${r.device}, ${how}\n`);
  const [ours] = r.rows as [Result["rows"][number]];
  const many = r.rows.length > 1;
  const head = ["", "items/s", "mean ms", "+-", "median", "p90", "p99", ...(many ? ["ours is", "results"] : [])];
  const rows = r.rows.map((m) => [
    m.name,
    ...[m.rate, m.mean, m.margin, m.median, m.p90, m.p99].map(short),
    ...(many
      ? m === ours
        ? ["", ""]
        : [
            `${(m.median / ours.median).toFixed(2)}x`,
            m.difference === undefined ? "not compared" : m.difference === 0 ? "equal" : `off by ${m.difference.toExponential(1)}`,
          ]
      : []),
  ]);
  const [first, ...rest] = table([head, ...rows], new Set([1, 2, 3, 4, 5, 6, 7]));
  terminal.out(c.bold(first!));
  for (const line of rest) terminal.out(line);
  terminal.out("");
  for (const line of table(lines(r))) terminal.out(line);
}

export function print(terminal: Terminal, r: Result): void {
  if (!terminal.json) return text(terminal, r);
  const { path, rows, cold, joules, flops, ...rest } = r;
  const perSecond = rows[0]!.rate / r.batch;
  terminal.document({
    model: path,
    ...rest,
    rows: rows.map((m) => ({ ...m, timesOurs: m.median / rows[0]!.median })),
    cold: typeof cold === "string" ? { unknown: cold } : cold,
    energy: typeof joules === "string" ? { unknown: joules } : { joulesPerItem: joules, itemsPerSecondPerWatt: 1 / joules },
    ...(flops
      ? {
          flops: {
            counted: COUNTED,
            perRun: flops,
            gigaPerSecond: { effective: (flops.nonzero * perSecond) / 1e9, denseEquivalent: (flops.all * perSecond) / 1e9 },
          },
        }
      : {}),
  });
}
