// How `sparsec explain` shows where a model's regions were placed, and why.

import type { PartReport } from "../../report.ts";
import { bytes, table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { ending, micro, print, wrap } from "./print.ts";

const WIDTH = 100;
const NAME_WIDTH = 28;

const nodesOf = ({ nodes = [] }: PartReport): string => {
  const [first = "", last = first] = [nodes[0], nodes.at(-1)].map((name) => name && ending(name, NAME_WIDTH));
  return nodes.length > 1 ? `${first} .. ${last}` : first;
};

/** A line for each region, and one that says why it is there; nothing where nothing was placed. */
export function printRegions(terminal: Terminal, parts: readonly PartReport[]): void {
  if (parts.length === 0) return;
  const { colors: c } = terminal;
  const targets = [...new Set(parts.flatMap((p) => Object.keys(p.predicted ?? {})))];
  const [head, ...lines] = table(
    [
      ["region", "backend", "nodes", "", ...targets.map((t) => `us on ${t}`), "bytes in", "bytes out"],
      ...parts.map((p, k) => [
        String(k + 1),
        p.backend,
        String(p.nodes?.length ?? ""),
        nodesOf(p),
        ...targets.map((t) => (p.predicted?.[t] === undefined ? "-" : micro(p.predicted[t]))),
        bytes(p.bytesIn ?? 0),
        bytes(p.bytesOut ?? 0),
      ]),
    ],
    new Set([2, ...targets.map((_, k) => 4 + k), 4 + targets.length, 5 + targets.length]),
  );
  terminal.out(c.bold(head!));
  for (const [k, line] of lines.entries()) {
    terminal.out(line);
    for (const text of wrap(parts[k]!.why ?? "placed by a pass of yours", WIDTH - 4)) terminal.out(c.dim(`    ${text}`));
  }
  terminal.out("");
}

/** The kernels of a part, in its first variant; nothing where the part is the whole model. */
export function printPart(terminal: Terminal, { variants, backend }: PartReport, k: number): void {
  const [variant] = variants;
  if (!variant) return;
  terminal.out(terminal.colors.bold(`region ${k + 1}, on ${backend}`));
  print(terminal, { variant, others: [], notes: [], before: undefined, unpruned: undefined });
  terminal.out("");
}
