// `sparsec explain`: what was made of each node, why, and how long each takes.

import { writeFile } from "node:fs/promises";
import { SparsecError } from "../../ir/diagnostics.ts";
import type { Graph } from "../../ir/graph.ts";
import type { Inputs } from "../../runtime/index.ts";
import type { Backend } from "../backend.ts";
import { forecastFor, quantitiesBefore } from "../compile.ts";
import { type Compiled, compileModel, resolveBackends, resolvePipeline } from "../index.ts";
import type { Note } from "../pipeline.ts";
import type { NodeReport, PartReport, Quantities, VariantReport } from "../report.ts";
import type { Run } from "./commands.ts";
import { printPart, printRegions } from "./explain/parts.ts";
import { measurePeak } from "./explain/peak.ts";
import { type Explained, noteLine, print, type Timed } from "./explain/print.ts";
import { type Profile, profile } from "./explain/profile.ts";
import { traceOf } from "./explain/trace.ts";
import { feed, givenInputs, seedOf } from "./feed.ts";
import { type Flags, usage } from "./flags.ts";
import { backendsFor } from "./open.ts";
import { isFolder, type Settings, settings } from "./options.ts";
import { quantizationLines } from "./quantizing.ts";
import { runnable } from "./runnable.ts";
import { readReport } from "./stored-report.ts";
import type { Terminal } from "./terminal.ts";

const title = (v: VariantReport): string => `${v.backend}:${v.variant}`;

const totals = ({ arena, weights, kernels, intermediateBytes, conversions, convertedBytes }: VariantReport) => ({
  arena,
  weights,
  kernels,
  intermediateBytes,
  conversions,
  convertedBytes,
});

/** The variant that `device` names: a backend's first, or one by its whole name; without one, the first of all. */
function choose(variants: readonly VariantReport[], device: string | undefined, path: string): VariantReport {
  const found = device === undefined || device === "auto" ? variants[0] : variants.find((v) => v.backend === device || title(v) === device);
  if (found) return found;
  throw new SparsecError("unknown-device", `no variant for device '${device}'; there are ${variants.map(title).join(", ")}`, {
    file: path,
    name: "",
  });
}

/** Whether it is the parts that are to be shown, not the whole model. */
const inParts = (parts: readonly PartReport[], device: string | undefined): boolean =>
  parts.some((p) => p.variants.length > 0) && (device === undefined || device === "auto" || device === "parts");

function showParts(
  terminal: Terminal,
  model: string,
  parts: readonly PartReport[],
  variants: readonly VariantReport[],
  notes: readonly Note[],
) {
  terminal.done();
  if (terminal.json) {
    terminal.document({ model, parts, variants: variants.map((v) => ({ backend: v.backend, variant: v.variant, ...totals(v) })), notes });
    return 0;
  }
  printRegions(terminal, parts);
  for (const [k, part] of parts.entries()) printPart(terminal, part, k);
  if (variants.length > 0) terminal.out(`\nthe whole model, too: ${variants.map(title).join(", ")} (--device shows one)`);
  for (const note of notes) terminal.out(noteLine(note));
  return 0;
}

const SECONDS = 2;

interface Measurement {
  readonly profile: Profile;
  /** GFLOP/s. */
  readonly peak: number;
}

/** Runs the program step by step and writes the trace. */
async function measure(
  { artifact }: Compiled,
  chosen: VariantReport,
  backends: readonly Backend[],
  set: Settings,
  flags: Flags,
  terminal: Terminal,
): Promise<Measurement> {
  const { manifest } = artifact;
  const executors = set.config.executors ?? [];
  const backend = backends.find((b) => b.name === chosen.backend)!;
  const variant = backend.variants.find((v) => v.name === chosen.variant)!;
  terminal.stage("measure the machine's peak");
  const peak = await measurePeak(backend, variant, executors);
  terminal.stage("measure the steps");
  const inputs = feed(manifest.inputs, await givenInputs(flags), flags, seedOf(flags) ?? 1);
  const measured = await profile({
    artifact,
    device: title(chosen),
    executors,
    // Ours are on plain buffers.
    inputs: Object.fromEntries(inputs) as unknown as Inputs,
    steps: chosen.steps,
    seconds: SECONDS,
  });
  const file = flags.one("profile")!;
  try {
    await writeFile(file, `${JSON.stringify(traceOf(manifest.name, chosen, measured), null, 1)}\n`);
  } catch (e) {
    throw new SparsecError("unwritable", `cannot write the trace: ${(e as Error).message}`, { file, name: "" });
  }
  return { profile: measured, peak };
}

/** Times by node. A step of several kernels, a loop, is told of at its first. */
function timesOf(nodes: readonly NodeReport[], { profile: p, peak }: Measurement): readonly (Timed | undefined)[] {
  const sum = p.steps.reduce((a, b) => a + b, 0);
  return nodes.map(({ step }, k) => {
    if (nodes[k - 1]?.step === step) return undefined;
    const measured = p.steps[step]!;
    const flops = nodes.filter((n) => n.step === step).reduce((total, n) => total + n.nonzeroFlops, 0);
    return { measured, share: measured / sum, ...(flops > 0 ? { ofPeak: flops / (measured * 1e6) / peak } : {}) };
  });
}

/** What a run would take without passes; undefined where lowering needs one. */
function before(raw: Graph | undefined, backends: readonly Backend[], chosen: VariantReport): Quantities | undefined {
  const variant = backends.find((b) => b.name === chosen.backend)?.variants.find((v) => v.name === chosen.variant);
  try {
    return raw && variant && quantitiesBefore(raw, variant);
  } catch (e) {
    if (e instanceof SparsecError) return undefined;
    throw e;
  }
}

/** What is predicted of the model itself, where zeros were imposed on it. */
function unpruned(
  raw: Graph | undefined,
  backends: readonly Backend[],
  chosen: VariantReport,
  { config, options }: Settings,
): number | undefined {
  const backend = backends.find((b) => b.name === chosen.backend);
  const variant = backend?.variants.find((v) => v.name === chosen.variant);
  return raw && backend && variant && forecastFor(raw, resolvePipeline(config), backend, variant, options.cost);
}

export const run: Run = async (flags, terminal) => {
  const path = flags.positionals[0]!;
  const asked = flags.one("device");
  const trace = flags.one("profile");
  let explained: Explained;
  let variants: readonly VariantReport[];
  let parts: readonly PartReport[];
  if (await isFolder(path)) {
    if (trace !== undefined) throw usage("--profile is for models: the steps of an artifact cannot be run one by one");
    const report = await readReport(path);
    ({ variants, parts = [] } = report);
    if (inParts(parts, asked)) return showParts(terminal, path, parts, variants, report.notes);
    const variant = choose(variants, asked, path);
    explained = {
      variant,
      others: variants.filter((v) => v !== variant).map(title),
      notes: report.notes,
      quantization: report.quantization,
      before: undefined,
      unpruned: undefined,
    };
  } else {
    const set = await settings(flags, terminal);
    if (trace !== undefined && set.options.place) throw usage("--profile is for whole models: a region's steps cannot be run one by one");
    const given = resolveBackends({ backends: backendsFor(asked, set) });
    const backends = trace === undefined ? given : await Promise.all(given.map((b) => runnable(b, asked, set.config.executors ?? [])));
    let raw: Graph | undefined;
    const compiled = await compileModel(path, {
      ...set.options,
      backends,
      profile: trace !== undefined,
      onPass: (_, graph) => {
        raw ??= graph;
      },
    });
    for (const note of compiled.notes) terminal.note(`note: ${note}`);
    ({ variants, parts } = compiled.report);
    if (inParts(parts, asked)) return showParts(terminal, path, parts, variants, compiled.report.notes);
    const variant = choose(variants, asked, path);
    const measured = trace === undefined ? undefined : await measure(compiled, variant, backends, set, flags, terminal);
    terminal.stage("count what a run takes without passes");
    explained = {
      variant,
      others: variants.filter((v) => v !== variant).map(title),
      notes: compiled.report.notes,
      quantization: compiled.report.quantization,
      before: before(raw, backends, variant),
      unpruned: flags.one("impose-sparsity") === undefined ? undefined : unpruned(raw, backends, variant, set),
      ...(measured
        ? {
            timed: timesOf(variant.nodes, measured),
            totals: {
              whole: measured.profile.whole,
              sum: measured.profile.steps.reduce((a, b) => a + b, 0),
              peak: measured.peak,
              rounds: measured.profile.rounds,
            },
          }
        : {}),
    };
  }
  terminal.done();
  const { variant, notes, timed } = explained;
  if (!terminal.json) {
    printRegions(terminal, parts);
    print(terminal, explained);
    if (explained.quantization) terminal.out(`\n${quantizationLines(explained.quantization).join("\n")}`);
  } else
    terminal.document({
      model: path,
      backend: variant.backend,
      variant: variant.variant,
      ...(parts.length > 0 ? { parts } : {}),
      nodes: timed ? variant.nodes.map((n, k) => ({ ...n, ...timed[k] })) : variant.nodes,
      totals: totals(variant),
      ...(explained.before ? { before: explained.before } : {}),
      predicted: variant.nodes.reduce((us, n) => us + n.predicted, 0),
      ...(explained.unpruned === undefined ? {} : { unpruned: explained.unpruned }),
      ...(explained.totals ? { measured: explained.totals } : {}),
      ...(explained.quantization ? { quantization: explained.quantization } : {}),
      variants: variants.map((v) => ({ backend: v.backend, variant: v.variant, ...totals(v) })),
      notes,
    });
  return 0;
};
