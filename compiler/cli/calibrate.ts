// `sparsec calibrate`: how fast kernels are on this machine, as a file that `--cost` takes.

import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { defaultExecutors } from "../../runtime/default-executors.ts";
import { SparsecError } from "../../runtime/index.ts";
import type { CostFile, Costs } from "../cost/costs.ts";
import { resolveBackends } from "../index.ts";
import { measureCosts, timeKernel } from "./calibrate/measure.ts";
import type { Run } from "./commands.ts";
import { readCosts } from "./cost-file.ts";
import { settings } from "./options.ts";
import { table } from "./table.ts";

const DEFAULT_FILE = "sparsec.costs.json";

const machine = (): string => `${cpus()[0]?.model.trim() ?? "unknown"}, ${process.arch}`;

/** Lines for people: rates and efficiencies of a variant. */
function lines(title: string, c: Costs): readonly string[] {
  const list = (rows: readonly (readonly number[])[]): string => rows.map(([x, ...y]) => `${x}: ${y.join(" / ")}`).join(", ");
  const rows = [
    ["dense GFLOP/s by columns", `${list(c.dense)}; beyond the cache ${c.denseFar}`],
    ["sparse over dense, by columns", list(c.single)],
    ["  blocks of several rows", list(c.shared)],
    ["  one column, by rows, near / far", `${list(c.few)}; along ${c.along.near} / ${c.along.far}`],
    ["grouped GFLOP/s", String(c.grouped)],
    ["moved GB/s", `${c.vectors} by vectors, ${c.elements} by elements, ${c.memory} beyond the cache`],
    ["a function, a start", `${c.functions} ns, ${c.start} us`],
  ];
  return [`${title}`, ...table(rows).map((line) => `  ${line}`)];
}

/** What a file that is there already says of this machine: another engine may have measured it. */
async function known(file: string): Promise<Pick<CostFile, "variants" | "devices">> {
  // Whatever else lies there is written over.
  const found = await readCosts(file).catch(() => undefined);
  return found?.machine === machine() ? found : { variants: {} };
}

export const run: Run = async (flags, terminal) => {
  const { options, config } = await settings(flags, terminal);
  const file = flags.one("out") ?? DEFAULT_FILE;
  const executors = config.executors ?? [];
  const all = [...executors, ...defaultExecutors];
  const measured: [string, Costs][] = [];
  const skipped: { readonly variant: string; readonly reason: string }[] = [];
  for (const backend of resolveBackends(options)) {
    const executor = all.find((e) => e.backend === backend.name);
    for (const variant of backend.variants) {
      const title = `${backend.name}:${variant.name}`;
      const needs = { backend: backend.name, name: variant.name, needs: variant.needs };
      const reason = executor ? await executor.unsupported(needs) : "there is no executor for it";
      if (reason !== undefined) skipped.push({ variant: title, reason });
      else
        measured.push([title, await measureCosts(timeKernel(backend, variant, executors), (what) => terminal.stage(`${title}: ${what}`))]);
    }
  }
  const before = await known(file);
  const costs: CostFile = { ...before, version: 1, machine: machine(), variants: { ...before.variants, ...Object.fromEntries(measured) } };
  try {
    await writeFile(file, `${JSON.stringify(costs, null, 1)}\n`);
  } catch (e) {
    throw new SparsecError("unwritable", `cannot write the costs: ${(e as Error).message}`, { file, name: "" });
  }
  terminal.done();
  if (terminal.json) {
    terminal.document({ file, measured: measured.map(([name]) => name), skipped, ...costs });
    return 0;
  }
  for (const [title, c] of measured) for (const line of lines(title, c)) terminal.out(line);
  for (const s of skipped) terminal.out(`${s.variant}: not measured, ${s.reason}`);
  terminal.out(`\nnext: sparsec compile model.onnx --cost ${file}, or \`cost\` in sparsec.config.ts`);
  return 0;
};
