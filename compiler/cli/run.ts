// `sparsec run`: one inference of an artifact, or of a model compiled in memory.

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SparsecError } from "../../ir/diagnostics.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { Inputs } from "../../runtime/index.ts";
import { writeNpy } from "../npy.ts";
import type { Run } from "./commands.ts";
import { feed, givenInputs } from "./feed.ts";
import { type Flags, threadsOf } from "./flags.ts";
import { open } from "./open.ts";
import { settings } from "./options.ts";
import { elementAt, summarize, summaryLines } from "./summary.ts";
import type { Terminal } from "./terminal.ts";

/** Outputs of at most this many elements are part of the JSON document. */
const SMALL = 1024;

async function writeOutputs(folder: string, outputs: readonly (readonly [string, Tensor])[]): Promise<readonly string[]> {
  const entries = outputs.map(([name, t], k) => ({ name, dtype: t.dtype, shape: t.shape, file: `output_${k}.npy` }));
  try {
    await mkdir(folder, { recursive: true });
    for (const [k, [, tensor]] of outputs.entries()) await writeFile(join(folder, entries[k]!.file), writeNpy(tensor));
    await writeFile(join(folder, "outputs.json"), `${JSON.stringify({ outputs: entries }, null, 2)}\n`);
  } catch (e) {
    if (e instanceof SparsecError) throw e;
    throw new SparsecError("unwritable", `cannot write the outputs: ${(e as Error).message}`, { file: folder, name: "" });
  }
  return entries.map((e) => e.file);
}

const jsonOf = (name: string, t: Tensor, file: string | undefined) => ({
  name,
  dtype: t.dtype,
  shape: t.shape,
  ...(t.data.length > 0 ? summarize(t) : {}),
  ...(t.data.length <= SMALL ? { data: Array.from({ length: t.data.length }, (_, i) => elementAt(t, i)) } : {}),
  ...(file === undefined ? {} : { file }),
});

export const run: Run = async (flags: Flags, terminal: Terminal) => {
  const path = flags.positionals[0]!;
  const set = await settings(flags, terminal);
  const given = await givenInputs(flags);
  const model = await (await open(path, given, set, terminal, threadsOf(flags))).load();
  try {
    const inputs = feed(model.inputs, given, flags);
    terminal.stage("run");
    const start = performance.now();
    // The runtime's arrays are on plain buffers, as all of ours are.
    const results = await model.run(Object.fromEntries(inputs) as unknown as Inputs);
    const ms = performance.now() - start;
    const outputs = model.outputs.map(({ name }) => [name, results[name]! as Tensor] as const);
    const folder = flags.one("out");
    const files = folder === undefined ? [] : await writeOutputs(folder, outputs);
    terminal.done();
    const { backend, variant, why, threads, whyThreads, turbo, skipped, parts } = model.info();
    if (terminal.json) {
      const device = { backend, variant, why, threads, whyThreads, turbo, skipped, ...(parts ? { parts } : {}) };
      terminal.document({
        model: path,
        device,
        ms,
        ...(folder ? { out: folder } : {}),
        outputs: outputs.map(([n, t], k) => jsonOf(n, t, files[k])),
      });
      return 0;
    }
    terminal.note(
      `${backend}:${variant}, first run in ${ms.toFixed(1)} ms${set.turbo ? `; turbo ${turbo.on ? "on" : "off"}: ${turbo.why}` : ""}`,
    );
    if (flags.one("threads") !== undefined) terminal.note(`threads: ${threads} (${whyThreads})`);
    for (const [k, [name, t]] of outputs.entries()) {
      const file = files[k] ? `  -> ${join(folder!, files[k])}` : "";
      terminal.out(`${terminal.colors.bold(name)}: ${t.dtype}[${t.shape.join(",")}]${file}`);
      for (const line of summaryLines(t)) terminal.out(`  ${line}`);
    }
    return 0;
  } finally {
    model.dispose();
  }
};
