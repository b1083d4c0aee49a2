// The compiler read from top to bottom: a model becomes a graph, the graph a better graph, then steps, a plan, code, an artifact.

import { SparsecError } from "../ir/diagnostics.ts";
import type { Graph, Value } from "../ir/graph.ts";
import { maxShape } from "../ir/types.ts";
import type { Extent, Part, Port, Slot, StepInfo, VariantManifest } from "../runtime/artifact.ts";
import { WEIGHTS } from "../runtime/artifact.ts";
import { type Artifact, createArtifact } from "./artifact.ts";
import type { Backend, Capabilities, Emitted, Variant } from "./backend.ts";
import { type CostFile, type Costs, costsFor } from "./cost/costs.ts";
import { errors } from "./diagnostics.ts";
import { emitTypes } from "./emit-types.ts";
import { createImage } from "./image.ts";
import { legalize } from "./kernel/legalize.ts";
import { lowerGraph } from "./lower/lower.ts";
import type { LoweredGraph, Place, Step } from "./lower/step.ts";
import { partsOf, whole } from "./parts.ts";
import type { Targets } from "./pass.ts";
import { expand } from "./passes/expand.ts";
import { placeOn } from "./passes/place.ts";
import { promoteF16 } from "./passes/promote-f16.ts";
import { defaultPipeline, type Note, type Pipeline, runPipeline } from "./pipeline.ts";
import { targetOf } from "./placement.ts";
import { type MemoryPlan, planMemory } from "./plan-memory.ts";
import { buildProgram } from "./program.ts";
import { foundQuantization } from "./quantize/found.ts";
import type { QuantizationReport } from "./quantize/report.ts";
import { integersIn, isQuantized } from "./quantized.ts";
import {
  explainSteps,
  forecast,
  type PartReport,
  type Quantities,
  quantitiesOf,
  REPORT,
  reportToJson,
  type VariantReport,
} from "./report.ts";
import type { SparsityFinding } from "./sparsity/finding.ts";
import { createWeightsWriter, type WeightsWriter } from "./weights-writer.ts";

export interface CompileGraphOptions {
  /** Those that get the whole model. */
  readonly backends: readonly Backend[];
  /** Cuts the model into parts for these backends, where each is predicted to do best; for one of them, all goes there. */
  readonly place?: readonly Backend[] | undefined;
  readonly sparsity?: "auto" | "off" | undefined;
  /** Whether to emit variants that teams of threads run, too, where a backend can. */
  readonly threads?: boolean | undefined;
  readonly pipeline?: Pipeline | undefined;
  /** Writes `model.mjs` and `model.d.ts`, typed by the model's own names. */
  readonly types?: boolean | undefined;
  /** Writes `report.json`, which `explain` reads. Default true. */
  readonly report?: boolean | undefined;
  /** How fast kernels are on a machine, from `sparsec calibrate`; what ships, where left out. */
  readonly cost?: CostFile | undefined;
  /** `run` runs the steps that two words at the arena's end name (see `STEP_RANGE`): for measuring them one by one. */
  readonly profile?: boolean | undefined;
  /** Told what begins: for progress. */
  onStage?(stage: string): void;
  onPass?(name: string, before: Graph, after: Graph, ms: number): void;
  readonly debug?: number | undefined;
  log?(line: string): void;
}

/** What was decided while compiling, for `explain`. */
export interface CompileReport {
  readonly notes: readonly Note[];
  readonly sparsity: readonly SparsityFinding[];
  /** Per variant, what it takes, what each kernel computes and why so. */
  readonly variants: readonly VariantReport[];
  /** The parts, where the model was cut into some. */
  readonly parts: readonly PartReport[];
  /** What became of weights and activations, where they were quantized. */
  readonly quantization?: QuantizationReport;
  /** The graph that was lowered, or cut into parts. */
  readonly graph: Graph;
}

export interface Compiled {
  readonly artifact: Artifact;
  readonly report: CompileReport;
}

/** Bytes of weights and arena: an address has 31 bits, of which the runtime takes a little to reserve and to align. */
const MEMORY_LIMIT = 2 ** 31 - 256;

const portOf = (name: string, v: Value): Port => ({ name, dtype: v.type.dtype, shape: maxShape(v.type) });

interface EmittedVariant {
  readonly manifest: VariantManifest;
  readonly files: Readonly<Record<string, string | Uint8Array>>;
}

/** Steps of a variant as the manifest prints them. */
const stepInfo = (s: Step): StepInfo => ({
  kernel: s.kind === "kernel" ? s.lowered.kernel : s.kind,
  nodes: s.kind === "kernel" || s.kind === "if" || s.kind === "loop" ? s.node.locs.map((l) => l.name) : [],
});

function slots(g: LoweredGraph, plan: MemoryPlan, constant: (p: Place) => number): { readonly inputs: Slot[]; readonly outputs: Slot[] } {
  const slot = ({ value, place }: LoweredGraph["outputs"][number]): Slot => ({
    region: place.buffer.constant ? "weights" : "arena",
    offset: place.buffer.constant ? constant(place) : plan.offsets.get(place.buffer)!,
    extents: value.type.shape.map(
      (d): Extent => (typeof d === "number" ? d : { max: d.max, at: plan.offsets.get(g.counts.get(d.value)!.buffer)! }),
    ),
  });
  return { inputs: g.inputs.map(slot), outputs: g.outputs.map(slot) };
}

/** Rounding to steps makes a last bit a whole step: a quantized graph gets the same bits from every variant, fused operations or not. */
const capabilitiesOf = ({ can }: Variant, sameBits: boolean): Capabilities =>
  sameBits ? { ...can, fma: false, wholeFma: can.fma, exactSums: true } : can;
const capabilitiesFor = (graph: Graph, variant: Variant): Capabilities => capabilitiesOf(variant, isQuantized(graph));

/** A variant as measured: its device's sparse kernels as fast as the costs say. */
function measuredVariant(backend: Backend, variant: Variant, cost: CostFile | undefined): Variant {
  const { device } = variant.can;
  // Where one variant was measured, so was the device of the others.
  const key = [variant, ...backend.variants]
    .map(({ name }) => `${backend.name}:${name}`)
    .find((k) => Object.hasOwn(cost?.devices ?? {}, k));
  const rates = key && cost?.devices?.[key];
  return device && rates ? { ...variant, can: { ...variant.can, device: { ...device, sparseRates: rates } } } : variant;
}

/** The costs of a variant. Those that differ in what their programs may use cost alike: one measured, all are. */
function costsOf(backend: Backend, variant: Variant, cost: CostFile | undefined): Costs {
  const names = [variant, ...(variant.may ? backend.variants : [])].map(({ name }) => `${backend.name}:${name}`);
  return costsFor(names.find((name) => Object.hasOwn(cost?.variants ?? {}, name)) ?? names[0]!, cost);
}

/** What passes decide by: hosts share what is chosen for the first of them. */
function targetsOf(backends: readonly Backend[], cost: CostFile | undefined): Targets {
  const host = backends.find((b) => !b.variants[0]?.can.device);
  return {
    costs: host && costsFor(`${host.name}:${host.variants[0]?.name}`, cost),
    devices: backends.flatMap((b) => b.variants.slice(-1).flatMap((v) => measuredVariant(b, v, cost).can.device ?? [])),
  };
}

/** With `profile`: bytes at the arena's end, of which the first two words say from which step to run, and before which to stop. */
export const STEP_RANGE = 64;

/** The variants of a backend that teams of threads run. */
const teamsOf = ({ team, variants }: Backend): readonly Variant[] =>
  team === undefined
    ? []
    : variants.map((v) => ({ ...v, name: `${v.name}-threads`, needs: [...v.needs, "threads"], can: { ...v.can, threads: team } }));

interface Emitting {
  readonly weights: WeightsWriter;
  readonly findings: readonly SparsityFinding[];
  readonly options: CompileGraphOptions;
  /** Whether every variant must compute the same bits. */
  readonly sameBits: boolean;
}

/** Variants that need the same and whose programs may use all that a program of `variant` uses, the plainest last: it is theirs, too. */
function alike(variants: readonly Variant[], variant: Variant, uses: readonly string[]): readonly Variant[] {
  if (!variant.may) return [variant];
  return variants.filter(({ may = [], needs }) => needs.join() === variant.needs.join() && uses.every((feature) => may.includes(feature)));
}

/** A variant as emitted, after those that are better where what they need is to be had. */
async function emitVariant(
  graph: Graph,
  backend: Backend,
  variant: Variant,
  all: readonly Variant[],
  { weights, findings, options: { profile = false, cost }, sameBits }: Emitting,
): Promise<{ readonly emitted: readonly (EmittedVariant & { readonly report: VariantReport })[]; readonly of: readonly Variant[] }> {
  const can = capabilitiesOf(measuredVariant(backend, variant, cost), sameBits);
  const lowered = lowerGraph(graph, can);
  const { threads = 1, device } = can;
  const plan = planMemory(lowered, { threads, ...(device ? { alignment: device.alignment, apart: true } : {}) });
  const image = createImage(weights, device?.alignment);
  const { inputs, outputs } = slots(lowered, plan, (p) => image.constant(p.buffer.constant!.data));
  const { program, order, calls } = buildProgram(lowered, plan, image, { ...(profile ? { range: plan.bytes } : {}), team: threads > 1 });
  if (plan.bytes + image.bytes > MEMORY_LIMIT)
    throw errors.tooMuchMemory(plan.bytes, image.bytes, MEMORY_LIMIT, graph.outputs[0]?.node.locs[0]?.file);
  const placement = { weights: image.bytes, arena: plan.bytes, cuts: plan.cuts, weightCuts: image.starts, steps: calls };
  const emitted = await backend.emit(legalize(program, can), variant, placement);
  const manifest = {
    backend: backend.name,
    ...(threads > 1 ? { threads } : {}),
    weights: Math.max(16, image.bytes),
    arena: profile ? plan.bytes + STEP_RANGE : Math.max(64, plan.bytes),
    sections: image.sections,
    inputs,
    outputs,
    faults: program.faults,
    steps: order.map(stepInfo),
  };
  const report = {
    backend: backend.name,
    ...quantitiesOf(lowered, manifest.arena),
    weights: manifest.weights,
    steps: lowered.steps.length,
    nodes: explainSteps(graph, lowered.steps, findings, backend.name, costsOf(backend, variant, cost), device !== undefined),
  };
  const of = alike(all, variant, emitted.uses ?? []);
  const { name } = of.at(-1) ?? variant;
  const named = (name: string, { code, files, schedule, uses = [], limits = [] }: Emitted) => ({
    manifest: { ...manifest, name, needs: [...variant.needs, ...uses, ...limits], code, ...(schedule ? { schedule } : {}) },
    files,
    report: { ...report, variant: name },
  });
  const { better } = emitted;
  return { emitted: [...(better ? [named(`${name}-${better.name}`, better)] : []), named(name, emitted)], of };
}

/** What one inference of a graph takes as it is, without any pass but what lowering needs. */
export function quantitiesBefore(graph: Graph, variant: Variant): Quantities {
  const { graph: expanded } = runPipeline(graph, [promoteF16, expand]);
  const lowered = lowerGraph(expanded, capabilitiesFor(expanded, variant));
  return quantitiesOf(lowered, planMemory(lowered).bytes);
}

/** Microseconds that a run of a graph is predicted to take once it went through the passes. */
export function forecastFor(graph: Graph, pipeline: Pipeline, backend: Backend, variant: Variant, cost: CostFile | undefined): number {
  const costs = costsOf(backend, variant, cost);
  const { graph: better } = runPipeline(graph, pipeline, { targets: targetsOf([backend], cost) });
  return forecast(better, lowerGraph(better, capabilitiesFor(better, measuredVariant(backend, variant, cost))).steps, costs);
}

interface EmittedVariants {
  readonly variants: readonly VariantManifest[];
  readonly reports: readonly VariantReport[];
  readonly files: Map<string, Uint8Array>;
}

/** All variants of backends. The names of their files begin with `prefix`. */
async function emitVariants(graph: Graph, backends: readonly Backend[], emitting: Emitting, prefix = ""): Promise<EmittedVariants> {
  const { threads, profile, onStage } = emitting.options;
  const variants: VariantManifest[] = [];
  const reports: VariantReport[] = [];
  const files = new Map<string, Uint8Array>();
  const encoder = new TextEncoder();
  for (const backend of backends) {
    const done = new Set<Variant>();
    const all = [...backend.variants, ...(threads && !profile ? teamsOf(backend) : [])];
    for (const variant of all) {
      // A program that came out plainer than it might have is there already.
      if (done.has(variant)) continue;
      onStage?.(`emit ${prefix}${backend.name} ${variant.name}`);
      const { emitted, of } = await emitVariant(graph, backend, variant, all, emitting);
      for (const v of of) done.add(v);
      for (const { manifest, report, files: own } of emitted) {
        variants.push({ ...manifest, code: `${prefix}${manifest.code}` });
        reports.push(report);
        for (const [name, content] of Object.entries(own))
          files.set(`${prefix}${name}`, typeof content === "string" ? encoder.encode(content) : content);
      }
    }
  }
  return { variants, reports, files };
}

/** Compiles a graph for the backends. The ports keep the names of the graph's parameters; `outputs` names its results. */
export async function compileGraph(graph: Graph, outputs: readonly string[], options: CompileGraphOptions): Promise<Compiled> {
  const { backends, place = [], pipeline = defaultPipeline, onStage } = options;
  const all = [...new Set([...backends, ...place])];
  if (all.length === 0) throw new SparsecError("bad-option", "no backend was given", undefined, 'for example { backends: ["wasm"] }');
  onStage?.("optimize");
  const targets = place.map((b) => targetOf(b, options.cost));
  const {
    graph: better,
    notes,
    sparsity,
    regions,
    quantization = foundQuantization(graph),
  } = runPipeline(graph, targets.length > 0 ? [...pipeline, placeOn(targets)] : pipeline, {
    sparsity: options.sparsity,
    targets: targetsOf(all, options.cost),
    debug: options.debug,
    ...(options.onPass ? { onPass: options.onPass } : {}),
    ...(options.log ? { log: options.log } : {}),
  });
  const weights = createWeightsWriter(integersIn(better));
  const emitting: Emitting = { weights, findings: sparsity, options, sameBits: isQuantized(better) };
  const backendOf = (name: string): Backend => {
    const found = all.find((b) => b.name === name);
    if (!found)
      throw errors.noBackend(
        name,
        all.map((b) => b.name),
      );
    return found;
  };
  const placed = partsOf(better, outputs);
  // One region is the whole model.
  const cut = placed.length > 1;
  const alone = placed.length === 1 ? [backendOf(placed[0]!.backend)] : [];
  const { variants, reports, files } = await emitVariants(whole(better), [...new Set([...alone, ...backends])], emitting);
  const parts: Part[] = [];
  const partReports: PartReport[] = [];
  for (const [k, { backend, region, body, inputs, outputs: made }] of placed.entries()) {
    const emitted = await emitVariants(body, cut ? [backendOf(backend)] : [], emitting, `part${k + 1}.`);
    for (const [name, bytes] of emitted.files) files.set(name, bytes);
    parts.push({
      inputs: body.params.map((p, i) => portOf(inputs[i]!, p)),
      outputs: body.outputs.map((v, i) => portOf(made[i]!, v)),
      variants: emitted.variants,
    });
    partReports.push({ ...(regions.get(region) ?? { backend }), variants: emitted.reports });
  }
  files.set(WEIGHTS, weights.finish());
  const ports = {
    inputs: graph.params.map((p) => portOf(String(p.node.attrs.name), p)),
    outputs: better.outputs.map((v, k) => portOf(outputs[k]!, v)),
  };
  if (options.types)
    for (const [name, bytes] of await emitTypes({ name: graph.name, ...ports, variant: variants[0], files: [...files.keys()] }))
      files.set(name, bytes);
  const report: CompileReport = {
    notes,
    sparsity,
    variants: reports,
    parts: partReports,
    graph: better,
    ...(quantization ? { quantization } : {}),
  };
  // After the types: nothing at run time reads it.
  if (options.report ?? true) files.set(REPORT, new TextEncoder().encode(reportToJson(report)));
  const artifact = createArtifact({ name: graph.name, ...ports, variants, ...(cut ? { parts } : {}), files });
  return { artifact, report };
}
