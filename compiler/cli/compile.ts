// `sparsec compile`: a model to an artifact's folder.

import { basename, dirname, join } from "node:path";
import type { VariantManifest } from "../../runtime/artifact.ts";
import type { SparsityFinding } from "../index.ts";
import { compileModel } from "../index.ts";
import type { Run } from "./commands.ts";
import { settings } from "./options.ts";
import { quantizationLines } from "./quantizing.ts";
import { bytes, percent, table } from "./table.ts";

/** Zeros in the weights of products and convolutions, and how many of those are stored without them. */
function zerosOf(findings: readonly SparsityFinding[]) {
  const size = (f: SparsityFinding): number => f.shape.reduce((n, d) => n * d, 1);
  const elements = findings.reduce((n, f) => n + size(f), 0);
  const zeros = findings.reduce((n, f) => n + Math.round(f.zeros * size(f)), 0);
  return { tensors: findings.length, sparse: findings.filter((f) => f.format !== "dense").length, elements, zeros };
}

const defaultFolder = (model: string): string => join(dirname(model), `${basename(model).replace(/\.onnx$/, "")}.sparsec`);

export const run: Run = async (flags, terminal) => {
  const model = flags.positionals[0]!;
  const folder = flags.one("out") ?? defaultFolder(model);
  const { options } = await settings(flags, terminal);
  const start = performance.now();
  const { artifact, report, notes } = await compileModel(model, {
    types: true,
    ...options,
    threads: flags.is("threads") ?? options.threads ?? false,
  });
  terminal.stage("write");
  await artifact.write(folder);
  const { quantization } = report;
  const ms = performance.now() - start;
  const { manifest } = artifact;
  const zeros = zerosOf(report.sparsity);
  const described = (v: VariantManifest) => ({
    backend: v.backend,
    variant: v.name,
    kernels: v.steps.length,
    code: manifest.files[v.code]!.bytes,
    weights: v.weights,
    arena: v.arena,
  });
  const variants = manifest.variants.map(described);
  const parts = manifest.parts?.map((part) => part.variants.map(described)) ?? [];
  terminal.done();
  if (terminal.json) {
    const files = Object.entries(manifest.files).map(([name, f]) => ({ name, bytes: f.bytes }));
    const { name, inputs, outputs } = manifest;
    terminal.document({
      artifact: folder,
      name,
      bytes: artifact.size,
      inputs,
      outputs,
      variants,
      ...(parts.length > 0 ? { parts } : {}),
      files,
      zeros,
      ...(quantization ? { quantization } : {}),
      notes: [...notes, ...report.notes],
      ms,
    });
    return 0;
  }
  for (const note of notes) terminal.note(`note: ${note}`);
  const { colors: c } = terminal;
  terminal.out(`${c.bold(folder)}  ${bytes(artifact.size)}, compiled in ${(ms / 1000).toFixed(2)} s`);
  const port = (p: (typeof manifest.inputs)[number]): string => `${p.name}: ${p.dtype}[${p.shape.join(",")}]`;
  terminal.out(`  inputs   ${manifest.inputs.map(port).join(", ")}`);
  terminal.out(`  outputs  ${manifest.outputs.map(port).join(", ")}`);
  if (zeros.elements > 0)
    terminal.out(
      `  zeros    ${percent(zeros.zeros, zeros.elements)} of ${zeros.elements} weights; ${zeros.sparse} of ${zeros.tensors} tensors stored without them`,
    );
  const row = (v: (typeof variants)[number], of = ""): readonly string[] => [
    `${of}${v.backend}:${v.variant}`,
    String(v.kernels),
    bytes(v.code),
    bytes(v.weights),
    bytes(v.arena),
  ];
  const rows = [...variants.map((v) => row(v)), ...parts.flatMap((part, k) => part.map((v) => row(v, `part ${k + 1}, `)))];
  for (const line of table([["variant", "steps", "code", "weights", "arena"], ...rows], new Set([1, 2, 3, 4]))) terminal.out(`  ${line}`);
  // Of a model that came quantized, `explain` lists the weights.
  const lines = quantization ? quantizationLines(quantization) : [];
  for (const line of quantization?.scheme ? lines : lines.slice(0, 1)) terminal.out(`  ${line}`);
  for (const { pass, node, message } of report.notes)
    if (pass === "quantize-blocks") terminal.note(`warning: ${node === undefined ? "" : `${node}: `}${message}`);
  if (report.notes.length > 0) terminal.out(`  ${report.notes.length} notes of passes: see sparsec explain`);
  terminal.out(`\nnext: sparsec run ${folder} --random 1\n      sparsec explain ${folder}`);
  return 0;
};
