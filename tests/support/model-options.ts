// What each real model needs to compile with the shapes of its reference: symbolic extents and inputs that decide shapes.

import type { CompileOptions } from "../../compiler/index.ts";
import type { Inputs } from "../../runtime/index.ts";
import type { TestTensor } from "./tensors.ts";

/** Models that are not named compile without any option. */
const OPTIONS: ReadonlyMap<string, Pick<CompileOptions, "dims" | "constants">> = new Map([
  ["gcn-cora-edgelist", { dims: { N: 50, E: 200 } }],
  ["silero-vad-16k-op15-if", { dims: { batch: 1, sequence: 576 }, constants: { sr: 16000n } }],
  ["sst2-encoder-dense", { dims: { B: 2, T: 24 } }],
  ["sst2-encoder-unstructured90", { dims: { B: 2, T: 24 } }],
  ["stories260K-llama", { dims: { B: 1, T: 16 } }],
]);

export const optionsOf = (model: string): Pick<CompileOptions, "dims" | "constants"> => OPTIONS.get(model) ?? {};

/** Tensors as `run` takes them. The files that they come from are read into memory that is not shared. */
export const feeds = (tensors: readonly TestTensor[]): Inputs => Object.fromEntries(tensors.map((t) => [t.name, t])) as Inputs;

/** The reference inputs of a model, without those that are bound to constants. */
export const feedsOf = (model: string, inputs: readonly TestTensor[]): Inputs => {
  const { constants } = optionsOf(model);
  return feeds(inputs.filter((t) => !constants || !Object.hasOwn(constants, t.name)));
};
