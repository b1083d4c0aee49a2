// `sparsec diff` with a quantized model: signal to noise of each node against the float model's, worst first.

import { SparsecError } from "../../ir/diagnostics.ts";
import { DTYPES } from "../../ir/dtype.ts";
import type { Graph, Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { isStatic, maxShape, typeToString } from "../../ir/types.ts";
import { type CompileOptions, importModel, quantizePipeline } from "../index.ts";
import { addSquares, decibels, EXACT, type Squares } from "../quantize/measure.ts";
import { applyRecipe } from "../quantize/recipe.ts";
import { samplesOf } from "../quantize/samples.ts";
import { chunks, type Device, innerValues } from "./compare.ts";
import { feed, givenInputs } from "./feed.ts";
import { type Flags, integer } from "./flags.ts";
import type { Settings } from "./options.ts";
import { toDoubles } from "./summary.ts";
import { cut, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** The same value in both graphs. */
interface Pair {
  readonly name: string;
  readonly float: Value;
  readonly quantized: Value;
}

/** Two graphs with the same inputs. */
interface Subjects {
  readonly float: Graph;
  readonly quantized: Graph;
  readonly nodes: readonly Pair[];
  readonly outputs: readonly Pair[];
  readonly samples: readonly (readonly Tensor[])[];
}

interface NodeNoise {
  readonly node: string;
  readonly op: string;
  readonly shape: string;
  /** Signal to noise, dB. */
  readonly noise: number;
}

const nodeName = ({ node }: Value): string => node.locs[0]?.name ?? "";

/** Whether both are floats of one shape: what can be compared. */
const alike = ({ float, quantized }: Pair): boolean =>
  DTYPES[float.type.dtype].kind === "float" &&
  DTYPES[quantized.type.dtype].kind === "float" &&
  isStatic(float.type) &&
  maxShape(float.type).join() === maxShape(quantized.type).join();

/** What the command line says of both models. */
interface Asked {
  readonly flags: Flags;
  readonly options: CompileOptions;
  /** --input. */
  readonly given: ReadonlyMap<string, Tensor>;
}

/** --input and --random for the inputs of a graph, as one sample. */
function fed(graph: Graph, { flags, given }: Asked): readonly Tensor[] {
  const ports = graph.params.map((p) => ({ name: String(p.node.attrs.name), dtype: p.type.dtype, shape: maxShape(p.type) }));
  return [...feed(ports, given, flags).values()];
}

/** A float model, and what --quantize makes of it: on --input or --random, else on what it is calibrated with. */
async function quantizedHere(path: string, all: Asked): Promise<Subjects> {
  const { flags, given, options } = all;
  const { graph, outputs } = await importModel(path, options);
  const asked = options.quantize!;
  const { recipe } = await quantizePipeline(graph, asked, options);
  const { graph: quantized, made } = applyRecipe(recipe);
  const float = recipe.graph;
  const own = given.size > 0 || flags.one("random") !== undefined || !asked.calibrate;
  return {
    float,
    quantized,
    nodes: innerValues(float).map((v) => ({ name: nodeName(v), float: v, quantized: made.get(v)! })),
    outputs: outputs.map((name, k) => ({ name, float: float.outputs[k]!, quantized: quantized.outputs[k]! })),
    samples: own ? [fed(float, all)] : samplesOf(float.params, asked.calibrate, asked.files?.calibrate ?? "calibrate").samples,
  };
}

type Imported = Awaited<ReturnType<typeof importModel>>;

/** Values of one name; and of nodes of one name, where the values have others. */
function pairsOf(float: Imported, quantized: Imported): readonly Pair[] {
  const pairs = new Map<Value, Pair>();
  const taken = new Set<Value>();
  const add = (pair: Pair): void => {
    if (pairs.has(pair.float) || taken.has(pair.quantized) || !alike(pair)) return;
    pairs.set(pair.float, pair);
    taken.add(pair.quantized);
  };
  const inner = new Set(innerValues(float.graph));
  for (const [name, v] of float.values) {
    const other = quantized.values.get(name);
    if (other && inner.has(v)) add({ name: nodeName(v), float: v, quantized: other });
  }
  // The last of what a node became is its value.
  const byNode = ({ graph }: Imported): ReadonlyMap<string, Value> => new Map(innerValues(graph).map((v) => [nodeName(v), v]));
  const others = byNode(quantized);
  for (const [name, v] of byNode(float)) {
    const other = others.get(name);
    if (name !== "" && other) add({ name, float: v, quantized: other });
  }
  return [...inner].flatMap((v) => pairs.get(v) ?? []);
}

/** A float model and a quantized one of the same inputs. Errors: `other-inputs`, `nothing-in-common`. */
async function quantizedElsewhere(path: string, other: string, all: Asked): Promise<Subjects> {
  const [float, quantized] = [await importModel(path, all.options), await importModel(other, all.options)];
  const show = ({ graph }: Imported): string => graph.params.map((p) => `${p.node.attrs.name}: ${typeToString(p.type)}`).join(", ");
  if (show(float) !== show(quantized))
    throw new SparsecError(
      "other-inputs",
      `its inputs are ${show(quantized)}, and those of ${path} are ${show(float)}`,
      { file: other, name: "" },
      "compare models with the same inputs, in the same order; shapes: --dim, --input-shape",
    );
  const outputs = float.outputs.flatMap((name, k): readonly Pair[] => {
    const at = quantized.outputs.indexOf(name);
    return at < 0 ? [] : [{ name, float: float.graph.outputs[k]!, quantized: quantized.graph.outputs[at]! }];
  });
  const subjects = { float: float.graph, quantized: quantized.graph, nodes: pairsOf(float, quantized), outputs: outputs.filter(alike) };
  if (subjects.nodes.length === 0 && subjects.outputs.length === 0)
    throw new SparsecError(
      "nothing-in-common",
      `no value or node of floats is called as one of ${path}`,
      { file: other, name: "" },
      "quantize the float model here: sparsec diff MODEL --quantize int8",
    );
  return { ...subjects, samples: [fed(float.graph, all)] };
}

/** Signal to noise of pairs, over all samples. */
async function noiseOf(pairs: readonly Pair[], { float, quantized, samples }: Subjects, device: Device): Promise<readonly number[]> {
  const expected = await device.open(
    float,
    pairs.map((p) => p.float),
  );
  const actual = await device.open(
    quantized,
    pairs.map((p) => p.quantized),
  );
  const squares = pairs.map((): Squares => ({ signal: 0, noise: 0 }));
  try {
    for (const sample of samples) {
      const [e, a] = [await expected.run(sample), await actual.run(sample)];
      squares.forEach((s, i) => void addSquares(s, toDoubles(e[i]!), toDoubles(a[i]!)));
    }
  } finally {
    expected.dispose();
    actual.dispose();
  }
  return squares.map(decibels);
}

const show = (noise: number): string => (noise < EXACT ? noise.toFixed(1) : "exact");

/** The whole command, where there is a second model or --quantize. */
export async function diffNoise(flags: Flags, terminal: Terminal, set: Settings, device: Device): Promise<number> {
  const [path, other] = flags.positionals as readonly [string, string?];
  const top = integer("top", flags.one("top") ?? "10", 1);
  const given = await givenInputs(flags);
  const inputShapes = { ...Object.fromEntries([...given].map(([name, t]) => [name, t.shape])), ...set.options.inputShapes };
  const all: Asked = { flags, given, options: { ...set.options, inputShapes } };
  const subjects = other === undefined ? await quantizedHere(path, all) : await quantizedElsewhere(path, other, all);
  const pairs = subjects.nodes.filter(alike);
  const of = new Map(pairs.map((p) => [p.float, p]));
  const nodes: NodeNoise[] = [];
  for (const part of pairs.length > 0 ? chunks(pairs.map((p) => p.float)) : []) {
    terminal.stage(`values ${nodes.length + 1} to ${nodes.length + part.length} of ${pairs.length}`);
    const noise = await noiseOf(
      part.map((v) => of.get(v)!),
      subjects,
      device,
    );
    part.forEach((v, i) => {
      nodes.push({ node: of.get(v)!.name, op: v.node.op, shape: typeToString(v.type), noise: noise[i]! });
    });
  }
  terminal.stage("outputs, compiled as usual");
  const ends = subjects.outputs.filter(alike);
  const last = ends.length > 0 ? await noiseOf(ends, subjects, device) : [];
  const outputs = ends.map(({ name }, i) => ({ output: name, noise: last[i]! }));
  nodes.sort((a, b) => a.noise - b.noise);
  terminal.done();
  if (terminal.json) {
    const quantized = other === undefined ? { scheme: set.options.quantize!.scheme } : { quantized: other };
    terminal.document({ model: path, ...quantized, device: device.name, samples: subjects.samples.length, outputs, nodes });
    return 0;
  }
  const count = subjects.samples.length;
  terminal.out(`signal to noise in dB, of ${count} ${count === 1 ? "sample" : "samples"} on ${device.name}`);
  for (const line of table([["output", "dB"], ...outputs.map((o) => [o.output, show(o.noise)])], new Set([1]))) terminal.out(line);
  terminal.out(`\nworst of ${nodes.length} values${other === undefined ? "" : " that both models name"}`);
  const rows = nodes.slice(0, top).map((n) => [cut(n.node, 40), n.op, n.shape, show(n.noise)]);
  for (const line of table([["node", "op", "shape", "dB"], ...rows], new Set([3]))) terminal.out(line);
  return 0;
}
