// `sparsec diff`: the values of a model's nodes on several devices, against the reference's, and where they part. With a quantized model,
// how far those lie from the float model's.

import type { Graph, Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { maxShape, typeToString } from "../../ir/types.ts";
import { importModel, resolveBackends, resolvePipeline } from "../index.ts";
import type { Run } from "./commands.ts";
import { chunks, compiled, type Device, innerValues, reference, relativeError, valuesOn } from "./compare.ts";
import { diffNoise } from "./diff-noise.ts";
import { feed, givenInputs } from "./feed.ts";
import { type Flags, integer, usage } from "./flags.ts";
import { type Settings, settings } from "./options.ts";
import { cut, table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

type Errors = Readonly<Record<string, number>>;

interface NodeErrors {
  readonly node: string;
  readonly op: string;
  readonly shape: string;
  /** Relative error by device. */
  readonly errors: Errors;
}

interface OutputErrors {
  readonly output: string;
  readonly errors: Errors;
}

function devicesOf(flags: Flags, { options, config }: Settings, byNoise: boolean): readonly Device[] {
  const given = flags.list("devices");
  const names = given.length > 0 ? given : byNoise ? ["wasm"] : ["wasm", "js", "reference"];
  if (byNoise ? names.length > 1 : names.length < 2 || new Set(names).size !== names.length)
    throw usage(`--devices is '${names.join(",")}', and ${byNoise ? "one is expected" : "two or more different ones are expected"}`);
  const own = new Map((config.backends ?? []).flatMap((b) => (typeof b === "string" ? [] : [[b.name, b] as const])));
  const how = { pipeline: resolvePipeline(options), sparsity: options.sparsity, executors: config.executors ?? [] };
  return names.map((name) => {
    if (name === "reference") return reference;
    const backend = name.split(":")[0]!;
    return compiled(name, resolveBackends({ backends: [own.get(backend) ?? backend] })[0]!, how);
  });
}

function toleranceOf(flags: Flags): number {
  const text = flags.one("tolerance") ?? "1e-4";
  const value = Number(text);
  if (!(value >= 0)) throw usage(`--tolerance is '${text}', and a number >= 0 is expected`);
  return value;
}

const worst = (errors: Errors): number => Math.max(...Object.values(errors));

/** Errors of `wanted` on every device, against the values expected. */
async function errorsOf(
  graph: Graph,
  wanted: readonly Value[],
  expected: readonly Tensor[],
  devices: readonly Device[],
  inputs: readonly Tensor[],
): Promise<readonly Errors[]> {
  const rows: Record<string, number>[] = wanted.map(() => ({}));
  for (const device of devices) {
    const actual = await valuesOn(device, graph, wanted, inputs);
    for (const [k, row] of rows.entries()) row[device.name] = relativeError(actual[k]!, expected[k]!);
  }
  return rows;
}

const scientific = (x: number): string => (x === 0 ? "0" : Number.isFinite(x) ? x.toExponential(1) : "differs in kind");

function print(
  terminal: Terminal,
  outputs: readonly OutputErrors[],
  nodes: readonly NodeErrors[],
  names: readonly string[],
  top: number,
): void {
  const show = (errors: Errors): string[] => names.map((n) => scientific(errors[n]!));
  const right = new Set(names.map((_, k) => k + 1));
  for (const line of table([["output", ...names], ...outputs.map((o) => [o.output, ...show(o.errors)])], right)) terminal.out(line);
  const largest = [...nodes].sort((a, b) => worst(b.errors) - worst(a.errors)).slice(0, top);
  const rows = largest.map((n) => [cut(n.node, 40), n.op, n.shape, ...show(n.errors)]);
  terminal.out(`\nlargest relative errors of ${nodes.length} values`);
  for (const line of table([["node", "op", "shape", ...names], ...rows], new Set(names.map((_, k) => k + 3)))) terminal.out(line);
}

export const run: Run = async (flags, terminal) => {
  const [path, other, more] = flags.positionals as readonly [string, string?, string?];
  if (more !== undefined) throw usage(`'${more}' is one argument too many`, "expected: model, or float and quantized model");
  const set = await settings(flags, terminal);
  const { quantize } = set.options;
  if (other !== undefined && quantize)
    throw usage("--quantize is given with a quantized model", "give the float model only, or no --quantize");
  const byNoise = other !== undefined || quantize !== undefined;
  const all = devicesOf(flags, set, byNoise);
  if (byNoise) {
    if (flags.one("tolerance") !== undefined) throw usage("--tolerance is for devices, not for quantized models");
    return diffNoise(flags, terminal, set, all[0]!);
  }
  const tolerance = toleranceOf(flags);
  const top = integer("top", flags.one("top") ?? "10", 1);
  // The reference, where it takes part, is what the others are held against.
  const devices = all.toSorted((a, b) => Number(b === reference) - Number(a === reference));
  const given = await givenInputs(flags);
  const shapes = Object.fromEntries([...given].map(([name, t]) => [name, t.shape]));
  const {
    graph,
    outputs: outputNames,
    notes,
  } = await importModel(path, {
    ...set.options,
    inputShapes: { ...shapes, ...set.options.inputShapes },
  });
  for (const note of notes) terminal.note(`note: ${note}`);
  const ports = graph.params.map((p) => ({ name: String(p.node.attrs.name), dtype: p.type.dtype, shape: maxShape(p.type) }));
  const inputs = [...feed(ports, given, flags).values()];

  const [base, ...others] = devices as [Device, ...Device[]];
  const values = innerValues(graph);
  const parts = chunks(values);
  const nodes: NodeErrors[] = [];
  let outputs: readonly OutputErrors[] = [];
  for (const [k, part] of parts.entries()) {
    terminal.stage(`values ${nodes.length + 1} to ${nodes.length + part.length} of ${values.length}`);
    // The outputs come with the last values: the reference is slow, and one run gives both.
    const ends = k === parts.length - 1 ? graph.outputs : [];
    const expected = await valuesOn(base, graph, [...part, ...ends], inputs);
    const rows = await errorsOf(graph, part, expected, others, inputs);
    part.forEach(({ node, type }, i) => {
      nodes.push({ node: node.locs[0]?.name ?? "", op: node.op, shape: typeToString(type), errors: rows[i]! });
    });
    if (ends.length === 0) continue;
    terminal.stage("outputs, compiled as usual");
    const errors = await errorsOf(graph, ends, expected.slice(part.length), others, inputs);
    outputs = errors.map((e, i) => ({ output: outputNames[i]!, errors: e }));
  }
  terminal.done();
  const first = nodes.find((n) => !(worst(n.errors) <= tolerance)) ?? null;
  const equal = first === null && outputs.every((o) => worst(o.errors) <= tolerance);
  const verdict = equal
    ? `equal to ${base.name} within ${tolerance}`
    : first
      ? `first to differ from ${base.name} by more than ${tolerance}: ${first.node} (${first.op})`
      : `outputs differ from ${base.name} by more than ${tolerance}, and no node does when all are kept: look at fusion (sparsec explain)`;
  if (terminal.json)
    terminal.document({
      model: path,
      against: base.name,
      devices: others.map((d) => d.name),
      tolerance,
      equal,
      verdict,
      first,
      outputs,
      nodes,
    });
  else {
    const names = others.map((d) => d.name);
    print(terminal, outputs, nodes, names, top);
    terminal.out(`\n${verdict}`);
  }
  return equal ? 0 : 1;
};
