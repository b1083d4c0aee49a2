// The package's entry: compile a model, and everything that passes, operators and backends are written with.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { js, wasm, webgpu } from "../backends/index.ts";
import { SparsecError } from "../ir/diagnostics.ts";
import type { TypedArray } from "../ir/dtype.ts";
import type { Graph } from "../ir/graph.ts";
import type { OpDef } from "../ir/op.ts";
import type { Tensor } from "../ir/tensor.ts";
import type { Inputs } from "../runtime/index.ts";
import { load } from "../runtime/index.ts";
import type { Artifact } from "./artifact.ts";
import type { Backend } from "./backend.ts";
import { type Compiled, compileGraph } from "./compile.ts";
import type { CostFile } from "./cost/costs.ts";
import type { ConstantInit } from "./onnx/constants.ts";
import { importOnnx } from "./onnx/import.ts";
import type { OnnxOp } from "./onnx/op.ts";
import { decodeModel } from "./onnx/proto/decode.ts";
import { externalDataBeside, noExternalData } from "./onnx/proto/external.ts";
import { writeOnnx } from "./onnx/write/write.ts";
import type { Pass } from "./pass.ts";
import { placeOn } from "./passes/place.ts";
import { quantizeBlocks } from "./passes/quantize-blocks.ts";
import { defaultPipeline, type Note, type Pipeline, runPipeline } from "./pipeline.ts";
import { targetOf } from "./placement.ts";
import type { OpenGraph } from "./quantize/observe.ts";
import { type Quantization, quantize } from "./quantize/quantize.ts";
import type { QuantizationReport } from "./quantize/report.ts";
import { type Stacked, samplesOf } from "./quantize/samples.ts";
import type { SchemeOptions } from "./quantize/scheme.ts";

/** What becomes of a float model's weights and activations. */
export interface QuantizeOptions extends SchemeOptions {
  /** Typical inputs, by name, with an axis of samples in front: a hundred do. */
  readonly calibrate?: Stacked;
  /** Other inputs, with `labels`: the classes that the first output should name. Accuracy is measured on them, before and after. */
  readonly evaluate?: Stacked;
  /** What errors call them: the files that they come from. */
  readonly files?: { readonly calibrate?: string | undefined; readonly evaluate?: string | undefined };
}

export interface CompileOptions {
  /**
   * Names of built-in backends (`wasm`, `webgpu`, `js`) or backends of your own; `["wasm"]` when absent. With `place`, those that get the
   * whole model beside its parts, to be taken where those do not run; none when absent.
   */
  readonly backends?: readonly (string | Backend)[];
  /** Cuts the model into parts for `wasm` and `webgpu`: where each is predicted to do best, values handed over and all, or all on one. */
  readonly place?: Place;
  /** Values of symbolic dimensions: `{ batch: 1 }`. */
  readonly dims?: Readonly<Record<string, number>>;
  /** Whole shapes of inputs: `{ x: [1, 3, 224, 224] }`. */
  readonly inputShapes?: Readonly<Record<string, readonly number[]>>;
  /** Items at once: takes the place of the inputs' batch extent (a symbol named for it, else a leading symbol or 1). */
  readonly batch?: number;
  /** Inputs fixed to values; they are no inputs of the compiled model. */
  readonly constants?: Readonly<Record<string, ConstantInit>>;
  /** `off` leaves every weight dense. */
  readonly sparsity?: "auto" | "off";
  /** Whether to write variants that threads can share, too: twice the code, the same weights. Default false. */
  readonly threads?: boolean;
  /** Rounds weights, and activations, to small integers. */
  readonly quantize?: QuantizeOptions;
  /** The passes to run, in order; or what makes them of the default ones. */
  readonly passes?: Pipeline | ((defaults: Pipeline) => Pipeline);
  /** Operators of your own, and how ONNX nodes become them. */
  readonly ops?: { readonly ops?: readonly OpDef[]; readonly onnx?: readonly OnnxOp[] };
  /** Whether tensors may lie in files beside the model. Default true for paths. */
  readonly external?: boolean;
  /** Writes `model.mjs` and `model.d.ts`, typed by the model's own names. Default false. */
  readonly types?: boolean;
  /** Writes `report.json`, which `sparsec explain` reads; nothing at run time does. Default true. */
  readonly report?: boolean;
  /** How fast kernels are on a machine, from `sparsec calibrate`: what is chosen by speed is chosen by it. What ships, where left out. */
  readonly cost?: CostFile;
  /** Makes an artifact whose steps can be run one by one, as `sparsec explain --profile` does; no other can run it. Default false. */
  readonly profile?: boolean;
  /** Told what begins: for progress. */
  onStage?(stage: string): void;
  onPass?(name: string, before: Graph, after: Graph, ms: number): void;
  /** 1 to 3: more and more lines to `log`. */
  readonly debug?: number;
  log?(line: string): void;
}

export const PLACES = ["auto", "wasm", "webgpu"] as const;
export type Place = (typeof PLACES)[number];

const BACKENDS: ReadonlyMap<string, Backend> = new Map([wasm, webgpu, js].map((b) => [b.name, b]));

function backendOf(b: string | Backend): Backend {
  if (typeof b !== "string") return b;
  const known = BACKENDS.get(b);
  if (!known)
    throw new SparsecError("unknown-backend", `there is no backend '${b}'`, undefined, `built in: ${[...BACKENDS.keys()].join(", ")}`);
  return known;
}

/** The backends that the options name. Errors: `unknown-backend`. */
export const resolveBackends = ({ backends, place }: Pick<CompileOptions, "backends" | "place">): readonly Backend[] =>
  (backends ?? (place ? [] : ["wasm"])).map(backendOf);

/** The backends that the model's nodes are placed on; none where it stays whole. */
export function resolvePlace({ place }: Pick<CompileOptions, "place">): readonly Backend[] {
  if (place === undefined) return [];
  if (!PLACES.includes(place)) throw new SparsecError("bad-option", `place is ${PLACES.join(", ")}; not '${String(place)}'`);
  return place === "auto" ? [wasm, webgpu] : [backendOf(place)];
}

/** What the pipeline ends with where nodes are to be placed. */
export const placePass = (options: Pick<CompileOptions, "place" | "cost">): Pass =>
  placeOn(resolvePlace({ place: options.place ?? "auto" }).map((b) => targetOf(b, options.cost)));

/** The passes that the options ask for. */
export const resolvePipeline = ({ passes }: Pick<CompileOptions, "passes">): Pipeline =>
  typeof passes === "function" ? passes(defaultPipeline) : (passes ?? defaultPipeline);

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (e) {
    throw new SparsecError("unreadable", `cannot read the model: ${(e as Error).message}`, { file: path, name: "" });
  }
}

/** Reads a model (path or bytes) into a graph. `outputs` are the names of the graph's results. */
export async function importModel(model: string | Uint8Array, options: CompileOptions = {}): Promise<ReturnType<typeof importOnnx>> {
  const path = typeof model === "string" ? model : undefined;
  const bytes = typeof model === "string" ? await read(model) : model;
  const external =
    path === undefined
      ? noExternalData("the model was given as bytes")
      : options.external === false
        ? noExternalData("--no-external was given")
        : externalDataBeside(path);
  const { dims, inputShapes, batch, constants, ops } = options;
  const decoded = decodeModel(bytes, { file: path === undefined ? "model.onnx" : basename(path), external });
  return importOnnx(decoded, {
    ...(dims ? { dims } : {}),
    ...(inputShapes ? { inputShapes } : {}),
    ...(batch === undefined ? {} : { batch }),
    ...(constants ? { constants } : {}),
    ...(ops ? { ops } : {}),
  });
}

/** Runs graphs here, on the variant that all engines compute the same bits with. */
const openGraph: OpenGraph = async (graph) => {
  const names = graph.outputs.map((_, k) => `y${k}`);
  const baseline = { ...wasm, variants: wasm.variants.filter((v) => v.name === "baseline") };
  const { artifact } = await compileGraph(graph, names, { backends: [baseline], report: false });
  const model = await load(artifact, { device: "wasm" });
  const ports = model.inputs.map((p) => p.name);
  return {
    run(sample) {
      // All of our arrays are on plain buffers, as the runtime asks.
      const results = model.runSync(Object.fromEntries(ports.map((name, i) => [name, sample[i]!])) as unknown as Inputs);
      return names.map((name) => results[name]! as Tensor);
    },
    dispose: () => model.dispose(),
  };
};

export interface QuantizedPipeline extends Quantization {
  /** The passes with `quantize-blocks` among them, where weights have their last values. */
  readonly pipeline: Pipeline;
}

/** Finds out how to quantize a graph, after the passes that come before. Errors: `bad-option`, `no-samples`, `bad-samples`, `no-labels`. */
export async function quantizePipeline(graph: Graph, asked: QuantizeOptions, options: CompileOptions = {}): Promise<QuantizedPipeline> {
  const pipeline = resolvePipeline(options);
  const names = pipeline.map((p) => p.name);
  const at = 1 + Math.max(names.indexOf("recognize"), names.indexOf("fold-batchnorm"));
  options.onStage?.("quantize");
  const { graph: ready } = runPipeline(graph, pipeline.slice(0, at));
  const found = await quantize(
    ready,
    asked,
    {
      calibration: asked.calibrate && samplesOf(ready.params, asked.calibrate, asked.files?.calibrate ?? "calibrate"),
      evaluation: asked.evaluate && samplesOf(ready.params, asked.evaluate, asked.files?.evaluate ?? "evaluate"),
    },
    openGraph,
  );
  return { ...found, pipeline: pipeline.toSpliced(at, 0, quantizeBlocks(found)) };
}

/** Compiles a model and tells what was decided. Errors: coded, naming file, node and tensor. */
export async function compileModel(
  model: string | Uint8Array,
  options: CompileOptions = {},
): Promise<Compiled & { readonly notes: readonly string[] }> {
  options.onStage?.("read");
  const { graph, outputs, notes } = await importModel(model, options);
  const quantized = options.quantize && (await quantizePipeline(graph, options.quantize, options));
  const compiled = await compileGraph(graph, outputs, {
    backends: resolveBackends(options),
    place: resolvePlace(options),
    sparsity: options.sparsity,
    threads: options.threads,
    pipeline: quantized ? quantized.pipeline : resolvePipeline(options),
    types: options.types,
    report: options.report,
    profile: options.profile,
    cost: options.cost,
    debug: options.debug,
    ...(options.onStage ? { onStage: options.onStage } : {}),
    ...(options.onPass ? { onPass: options.onPass } : {}),
    ...(options.log ? { log: options.log } : {}),
  });
  return { ...compiled, notes };
}

/** A quantized model as an ONNX file, for use elsewhere, with the shapes that the options give it. Errors: `unsupported` too. */
export async function quantizeModel(
  model: string | Uint8Array,
  asked: QuantizeOptions,
  options: CompileOptions = {},
): Promise<{ readonly onnx: Uint8Array; readonly quantization: QuantizationReport; readonly notes: readonly Note[] }> {
  options.onStage?.("read");
  const { graph, outputs } = await importModel(model, options);
  // Elsewhere, what is known of weights alone is best.
  const floats = asked.scheme.endsWith("-weights") ? { activations: "float" as const } : {};
  const { pipeline, report } = await quantizePipeline(graph, { ...asked, ...floats }, options);
  const last = pipeline.findIndex((p) => p.name === "quantize-blocks");
  const { graph: quantized, notes } = runPipeline(graph, pipeline.slice(0, last + 1));
  return { onnx: writeOnnx(quantized, outputs), quantization: report, notes };
}

/** Compiles a model to an artifact. */
export async function compile(model: string | Uint8Array, options: CompileOptions = {}): Promise<Artifact> {
  return (await compileModel(model, options)).artifact;
}

export { SparsecError } from "../ir/diagnostics.ts";
export type { Artifact } from "./artifact.ts";
export { type Backend, type Capabilities, defineBackend, type Emitted, type Variant } from "./backend.ts";
export { type Compiled, type CompileReport, compileGraph } from "./compile.ts";
export { type Config, defineConfig } from "./config.ts";
export type { CostFile, Costs } from "./cost/costs.ts";
export { defineOnnxOp, type ImportContext, type OnnxOp } from "./onnx/op.ts";
export { definePass, type Pass, type PassContext, rewritePass } from "./pass.ts";
export { defaultPipeline, insertAfter, insertBefore, type Pipeline, replace, runPipeline, without } from "./pipeline.ts";
export type { LayerReport, QuantizationReport } from "./quantize/report.ts";
export type { Stacked } from "./quantize/samples.ts";
export type { SchemeOptions } from "./quantize/scheme.ts";
export type { NodeReport, PartReport, VariantReport } from "./report.ts";
export type { SparsityFinding } from "./sparsity/finding.ts";
export type { TypedArray };
