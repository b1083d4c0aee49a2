// `sparsec explain`: what was made of each node, and why.

import { SparsecError } from "../../ir/diagnostics.ts";
import { compileModel } from "../index.ts";
import type { Note } from "../pipeline.ts";
import type { NodeReport, VariantReport } from "../report.ts";
import type { Run } from "./commands.ts";
import { backendsFor } from "./open.ts";
import { isFolder, settings } from "./options.ts";
import { readReport } from "./stored-report.ts";
import { bytes, cut, percent, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const title = (v: VariantReport): string => `${v.backend}:${v.variant}`;

const totals = ({ arena, weights, kernels, intermediateBytes }: VariantReport) => ({ arena, weights, kernels, intermediateBytes });

/** The variant that `device` names: a backend's first, or one by its whole name; without one, the first of all. */
function choose(variants: readonly VariantReport[], device: string | undefined, path: string): VariantReport {
  const found = device === undefined || device === "auto" ? variants[0] : variants.find((v) => v.backend === device || title(v) === device);
  if (found) return found;
  throw new SparsecError("unknown-device", `no variant for device '${device}'; there are ${variants.map(title).join(", ")}`, {
    file: path,
    name: "",
  });
}

const HEAD = ["node", "op", "shape", "zeros", "pattern", "format", "kernel", "backend", "bytes", "why"];
const NAME_WIDTH = 32;

const row = (n: NodeReport): string[] => [
  cut(`${n.name}${n.nodes.length > 1 ? ` +${n.nodes.length - 1}` : ""}`, NAME_WIDTH),
  cut(n.ops.join("+"), NAME_WIDTH),
  cut(n.shape, NAME_WIDTH),
  n.elements === undefined ? "" : percent(n.zeros!, n.elements),
  n.pattern ?? "",
  n.format ?? "",
  n.kernel,
  n.backend,
  bytes(n.bytes),
  n.why,
];

function print(terminal: Terminal, chosen: VariantReport, all: readonly VariantReport[], notes: readonly Note[]): void {
  const { colors: c } = terminal;
  const [head, ...lines] = table([HEAD, ...chosen.nodes.map(row)], new Set([3, 8]));
  terminal.out(c.bold(head!));
  for (const line of lines) terminal.out(line);
  const t = totals(chosen);
  terminal.out(
    `\n${title(chosen)}: ${t.kernels} kernels, weights ${bytes(t.weights)}, arena ${bytes(t.arena)}, ${bytes(t.intermediateBytes)} written between kernels`,
  );
  const others = all.filter((v) => v !== chosen).map(title);
  if (others.length > 0) terminal.out(`also compiled: ${others.join(", ")} (--device shows one)`);
  for (const note of notes) terminal.out(`note: ${note.node === undefined ? "" : `${note.node}: `}${note.message}`);
}

export const run: Run = async (flags, terminal) => {
  const path = flags.positionals[0]!;
  const asked = flags.one("device");
  let variants: readonly VariantReport[];
  let notes: readonly Note[];
  if (await isFolder(path)) ({ variants, notes } = await readReport(path));
  else {
    const set = await settings(flags, terminal);
    const compiled = await compileModel(path, { ...set.options, backends: backendsFor(asked, set) });
    for (const note of compiled.notes) terminal.note(`note: ${note}`);
    ({ variants, notes } = compiled.report);
  }
  const chosen = choose(variants, asked, path);
  terminal.done();
  if (terminal.json) {
    const list = variants.map((v) => ({ backend: v.backend, variant: v.variant, ...totals(v) }));
    terminal.document({
      model: path,
      backend: chosen.backend,
      variant: chosen.variant,
      nodes: chosen.nodes,
      totals: totals(chosen),
      variants: list,
      notes,
    });
  } else print(terminal, chosen, variants, notes);
  return 0;
};
