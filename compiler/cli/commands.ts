// The table of contents of the command line: what each command is called, takes and shows. Its work is loaded when it is asked for.

import { type ArgsDef, type CommandDef, defineCommand } from "citty";
import type { Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** Does the work of a command. Gives the exit code where it is not 0. */
export type Run = (flags: Flags, terminal: Terminal) => Promise<number | undefined>;

export interface Command {
  readonly definition: CommandDef;
  readonly args: ArgsDef;
  readonly examples: readonly string[];
  load(): Promise<{ readonly run: Run }>;
}

const json = { type: "boolean", description: "one JSON document on stdout, errors too" } as const;
const model = (what: string) => ({ type: "positional", description: what }) as const;
/** What decides how a model is compiled; each may be given again and again. */
const compiling = {
  backend: { type: "string", valueHint: "wasm,js", description: "backends to compile for (default wasm)" },
  dim: { type: "string", valueHint: "batch=1", description: "value of a symbolic dimension; repeatable" },
  "input-shape": { type: "string", valueHint: "x=1x3x224x224", description: "whole shape of an input; repeatable" },
  batch: { type: "string", valueHint: "N", description: "compiles for N items at once, in place of the inputs' batch extent" },
  const: { type: "string", valueHint: "sr=16000", description: "fixes an input: number, list 1,2,3, or x.npy; repeatable" },
  sparsity: { type: "enum", options: ["auto", "off"], description: "off leaves every weight dense (default auto)" },
  cost: { type: "string", valueHint: "FILE", description: "how fast kernels are here, from sparsec calibrate (default: what ships)" },
  config: { type: "string", valueHint: "FILE", description: "config file (default: the nearest sparsec.config.ts; none: no config)" },
  external: {
    type: "boolean",
    default: true,
    description: "read tensors from files beside the model",
    negativeDescription: "refuse tensors in files beside the model",
  },
} as const satisfies ArgsDef;
const placing = {
  place: {
    type: "enum",
    options: ["auto", "wasm", "webgpu"],
    description: "cuts the model into parts for wasm and webgpu, where each is predicted to do best; or all for one",
  },
} as const satisfies ArgsDef;
const imposing = {
  "impose-sparsity": {
    type: "string",
    valueHint: "0.9[:1x4]",
    description: "zeroes weights first, to tell what pruning would buy in speed",
  },
} as const satisfies ArgsDef;
/** How weights and activations become small integers. */
const rounding = {
  block: {
    type: "enum",
    options: ["tensor", "channel", "32", "64", "128"],
    description: "weights that share a scale (default channel; 32 for int4)",
  },
  limits: {
    type: "enum",
    options: ["min-max", "percentile", "mse"],
    description: "how limits of activations follow from samples (default min-max)",
  },
  calibrate: { type: "string", valueHint: "FOLDER|FILE.npz", description: "samples by input, stacked along a first axis" },
  evaluate: {
    type: "string",
    valueHint: "FOLDER|FILE.npz",
    description: "other samples, with an array 'labels': accuracy before and after",
  },
  correct: { type: "boolean", description: "brings each channel's mean and deviation back to the float model's" },
  "max-loss": { type: "string", valueHint: "POINTS", description: "keeps the worst layers float until no more is lost on the samples" },
} as const satisfies ArgsDef;
const schemes = ["int8", "int4", "int8-weights", "int4-weights"];
const quantizing = {
  quantize: {
    type: "enum",
    options: schemes,
    description: "rounds weights, and activations, to small integers",
  },
  ...rounding,
} as const satisfies ArgsDef;
/** What decides how it runs. */
const running = {
  device: { type: "string", valueHint: "wasm|js", description: "what to run on (default auto)" },
  threads: { type: "string", valueHint: "N|auto", description: "threads that share a run, where they pay (default 1)" },
  turbo: { type: "boolean", description: "switches on what the engine has but hides: relaxed SIMD in Node 20, wider vectors in Node 26" },
} as const satisfies ArgsDef;
const feeding = {
  input: { type: "string", valueHint: "x=x.npy", description: "value of an input; repeatable" },
  random: { type: "string", valueHint: "SEED", description: "random values for inputs that are not given" },
  range: {
    type: "string",
    valueHint: "x=0:511",
    description: "limits of an input's random values; repeatable (default -1:1, integers 0:1)",
  },
} as const satisfies ArgsDef;

const command = (
  name: string,
  description: string,
  args: ArgsDef,
  examples: readonly string[],
  load: Command["load"],
): readonly [string, Command] => [name, { definition: defineCommand({ meta: { name, description }, args }), args, examples, load }];

export const commands: ReadonlyMap<string, Command> = new Map([
  command(
    "compile",
    "Compiles an ONNX model to an artifact",
    {
      model: model("the model, an .onnx file"),
      out: { type: "string", alias: "o", valueHint: "FOLDER", description: "folder to write (default: MODEL.sparsec)" },
      threads: { type: "boolean", description: "also variants that threads can share" },
      ...compiling,
      ...placing,
      ...imposing,
      ...quantizing,
      json,
    },
    [
      "sparsec compile model.onnx",
      "sparsec compile model.onnx --quantize int8 --calibrate samples.npz --evaluate labelled.npz",
      "sparsec compile model.onnx -o out.sparsec --backend wasm,js --dim batch=1 --const sr=16000",
      "sparsec compile model.onnx --place auto --backend wasm",
    ],
    () => import("./compile.ts"),
  ),
  command(
    "run",
    "Runs an artifact, or a model compiled in memory, once",
    {
      model: model("an artifact's folder or an .onnx file"),
      ...feeding,
      ...running,
      out: { type: "string", valueHint: "FOLDER", description: "writes output_K.npy and outputs.json there" },
      ...compiling,
      ...placing,
      json,
    },
    ["sparsec run model.sparsec --input image=image.npy --out results", "sparsec run model.onnx --random 1 --range ids=0:511"],
    () => import("./run.ts"),
  ),
  command(
    "explain",
    "Shows what was made of each node, and why",
    {
      model: model("an artifact's folder or an .onnx file"),
      device: { type: "string", valueHint: "wasm:relaxed", description: "the variant to show (default: the first)" },
      ...imposing,
      ...quantizing,
      profile: { type: "string", valueHint: "trace.json", description: "runs it and shows times; the file opens in Perfetto" },
      ...feeding,
      ...compiling,
      ...placing,
      json,
    },
    [
      "sparsec explain model.sparsec",
      "sparsec explain model.onnx --sparsity off --json",
      "sparsec explain model.onnx --profile trace.json",
    ],
    () => import("./explain.ts"),
  ),
  command(
    "bench",
    "Measures how fast a model runs, alone or beside other engines",
    {
      model: model("an artifact's folder or an .onnx file"),
      ...feeding,
      ...imposing,
      ...quantizing,
      seconds: { type: "string", valueHint: "3", description: "how long to measure each engine (default 3)" },
      vs: {
        type: "string",
        valueHint: "ort-web,ort-node,tfjs=model.json",
        description: "engines to compare with, in turns; installed where you run this",
      },
      scenario: {
        type: "enum",
        options: ["sync", "async"],
        description: "one run after the other, or streams at the same time (default sync)",
      },
      streams: {
        type: "string",
        valueHint: "K",
        description: "instances side by side: in turn, or with async each in a thread (default 1)",
      },
      ...running,
      ...compiling,
      json,
    },
    ["sparsec bench model.onnx --vs ort-web", "sparsec bench model.sparsec --scenario async --streams 4 --seconds 10 --json"],
    () => import("./bench.ts"),
  ),
  command(
    "opt",
    "Runs passes over a graph and prints it",
    {
      graph: model("an .ir or .onnx file"),
      passes: { type: "positional", required: false, description: "further passes, as --pass names them" },
      pass: { type: "string", valueHint: "NAME", description: "passes to run, in order (default: the whole pipeline); repeatable" },
      "dump-after": { type: "string", valueHint: "NAME|all", description: "prints the graph after a pass to stderr; repeatable" },
      "time-passes": { type: "boolean", description: "prints the time of each pass to stderr" },
      "stop-after": { type: "string", valueHint: "N", description: "ends after N passes" },
      ...compiling,
      ...placing,
      json,
    },
    ["sparsec opt graph.ir --pass canonicalize --pass fuse", "sparsec opt model.onnx --stop-after 3 --time-passes"],
    () => import("./opt.ts"),
  ),
  command(
    "diff",
    "Compares a model's values on several devices, or a quantized model's with the float one's, node by node",
    {
      model: model("an .onnx file"),
      quantized: { type: "positional", required: false, description: "a quantized form of it, whose noise is told, as with --quantize" },
      devices: {
        type: "string",
        valueHint: "wasm,js,reference",
        description: "devices to compare (default wasm,js,reference); one for quantized models (default wasm)",
      },
      ...feeding,
      ...quantizing,
      tolerance: { type: "string", valueHint: "1e-4", description: "largest relative error |d| / |expected| that counts as equal" },
      top: { type: "string", valueHint: "10", description: "how many nodes to show (default 10)" },
      ...compiling,
      json,
    },
    [
      "sparsec diff model.onnx --random 1",
      "sparsec diff model.onnx --devices wasm,reference --input image=image.npy",
      "sparsec diff model.onnx --quantize int8 --calibrate samples.npz",
      "sparsec diff model.onnx model.int8.onnx --random 1",
    ],
    () => import("./diff.ts"),
  ),
  command(
    "calibrate",
    "Measures how fast kernels are on this machine, for --cost",
    {
      out: { type: "string", alias: "o", valueHint: "FILE", description: "file to write (default: sparsec.costs.json)" },
      backend: compiling.backend,
      config: compiling.config,
      json,
    },
    ["sparsec calibrate -o costs.json", "sparsec compile model.onnx --cost costs.json"],
    () => import("./calibrate.ts"),
  ),
  command(
    "quantize",
    "Writes a model with small integers as weights and activations, as ONNX",
    {
      model: model("the model, an .onnx file"),
      out: { type: "string", alias: "o", valueHint: "FILE", description: "file to write (default: MODEL.SCHEME.onnx)" },
      scheme: { type: "enum", options: schemes, description: "bits of weights; with -weights activations stay floats (default int8)" },
      ...rounding,
      dim: compiling.dim,
      "input-shape": compiling["input-shape"],
      batch: compiling.batch,
      const: compiling.const,
      config: compiling.config,
      external: compiling.external,
      json,
    },
    [
      "sparsec quantize model.onnx -o small.onnx --calibrate samples.npz",
      "sparsec quantize model.onnx --scheme int4-weights --dim batch=1",
    ],
    () => import("./quantize.ts"),
  ),
  command(
    "doctor",
    "Tells what this machine can run, and how to get what is missing",
    { json },
    ["sparsec doctor"],
    () => import("./doctor.ts"),
  ),
]);
