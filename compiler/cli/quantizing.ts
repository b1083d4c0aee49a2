// The flags of quantization, and the arrays that they name: FILE.npz, or a folder with NAME.npy for each input.

import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { SparsecError } from "../../ir/diagnostics.ts";
import type { LayerReport, QuantizationReport, QuantizeOptions, Stacked } from "../index.ts";
import { readNpy } from "../npy.ts";
import { readNpz } from "../npz.ts";
import { EXACT } from "../quantize/measure.ts";
import type { Block, Range, SchemeName } from "../quantize/scheme.ts";
import { type Flags, usage } from "./flags.ts";
import { table } from "./table.ts";

const unreadable = (path: string, e: unknown): SparsecError =>
  new SparsecError("unreadable", `cannot read samples: ${(e as Error).message}`, { file: path, name: "" });

/** Arrays of samples, by input. Errors: `unreadable`, and those of arrays. */
async function readSamples(path: string): Promise<Stacked> {
  try {
    if (path.endsWith(".npz")) return Object.fromEntries(readNpz(await readFile(path), path));
    const files = (await readdir(path)).filter((f) => f.endsWith(".npy")).sort();
    const arrays = await Promise.all(
      files.map(async (f) => [basename(f, ".npy"), readNpy(await readFile(join(path, f)), join(path, f))] as const),
    );
    return Object.fromEntries(arrays);
  } catch (e) {
    throw e instanceof SparsecError ? e : unreadable(path, e);
  }
}

const blockOf = (text: string): Block => (/^\d+$/.test(text) ? (Number(text) as Block) : (text as Block));

/** What the flags ask for; undefined where none asks for quantization. Errors: `usage`, and those of `readSamples`. */
export async function quantizing(flags: Flags, name: string | undefined): Promise<QuantizeOptions | undefined> {
  const one = (flag: string): string | undefined => flags.one(flag);
  const also = ["block", "limits", "calibrate", "evaluate", "max-loss"].filter((f) => one(f) !== undefined);
  if (name === undefined) {
    if (also.length > 0 || flags.is("correct")) throw usage(`--${also[0] ?? "correct"} is given without --quantize`);
    return undefined;
  }
  const [calibrate, evaluate, maxLoss] = [one("calibrate"), one("evaluate"), one("max-loss")];
  if (maxLoss !== undefined && !(Number(maxLoss) >= 0)) throw usage(`--max-loss is '${maxLoss}', and a number of points is expected`);
  return {
    scheme: name as SchemeName,
    block: one("block") === undefined ? undefined : blockOf(one("block")!),
    range: one("limits") as Range | undefined,
    correct: flags.is("correct"),
    maxLoss: maxLoss === undefined ? undefined : Number(maxLoss),
    ...(calibrate === undefined ? {} : { calibrate: await readSamples(calibrate) }),
    ...(evaluate === undefined ? {} : { evaluate: await readSamples(evaluate) }),
    files: { calibrate, evaluate },
  };
}

const decibels = (x: number | undefined): string => (x === undefined ? "" : x < EXACT ? x.toFixed(1) : "exact");

/** The report for people: what each layer became and what it cost. */
export function quantizationLines({ scheme, layers, activations, output, loss, accuracy }: QuantizationReport): readonly string[] {
  const rounded = layers.filter((l) => l.dtype !== "f32").length;
  const head = scheme
    ? `quantized ${scheme.name}: ${rounded} of ${layers.length} layers, ${activations} activations`
    : `came quantized: ${rounded} weights, ${activations} activations`;
  const levels = (l: LayerReport): string => (l.dtype === "f32" ? "" : l.symmetric ? "symmetric" : "asymmetric");
  // What a model that came quantized was rounded from is not known.
  const noises = scheme ? ["weights, dB", "result, dB"] : [];
  const rows = layers.map((l) => {
    const own = [l.node, l.op, l.shape.join("x"), l.dtype, levels(l), l.block];
    return scheme ? [...own, decibels(l.rounding), decibels(l.noise)] : own;
  });
  return [
    head,
    ...table([["layer", "op", "weights", "dtype", "levels", "scale per", ...noises], ...rows], new Set([6, 7])).map((line) => `  ${line}`),
    ...(output === undefined ? [] : [`output ${decibels(output)} dB; ${loss!.toFixed(1)} points lost on the calibration samples`]),
    ...(accuracy
      ? [`accuracy ${accuracy.before.toFixed(2)} % before, ${accuracy.after.toFixed(2)} % after, of ${accuracy.samples} samples`]
      : []),
  ];
}
