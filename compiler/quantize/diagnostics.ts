// The errors that quantization raises.

import { type Loc, SparsecError } from "../../ir/diagnostics.ts";

/** What the classes of samples are called. */
export const LABELS = "labels";

const SAMPLES = "give samples of the model's inputs: calibrate, or --calibrate FOLDER|FILE.npz";

export const errors = {
  badOption: (why: string, hint?: string) => new SparsecError("bad-option", why, undefined, hint),
  noSamples: (what: string) => new SparsecError("no-samples", `${what} needs calibration samples`, undefined, SAMPLES),
  badSamples: (why: string, loc: Loc, hint?: string) => new SparsecError("bad-samples", why, loc, hint),
  noLabels: (file: string) =>
    new SparsecError(
      "no-labels",
      "samples to evaluate on have no labels",
      { file, name: LABELS },
      "an integer array 'labels' beside the inputs, one for each sample",
    ),
  alreadyQuantized: (loc: Loc | undefined) =>
    new SparsecError(
      "already-quantized",
      "the model is quantized already",
      loc,
      "compile it without --quantize, or quantize the float model",
    ),
  otherGraph: () =>
    new SparsecError(
      "bad-option",
      "quantize-blocks runs on the graph that its recipe was made for",
      undefined,
      "keep the passes before it",
    ),
} as const;
