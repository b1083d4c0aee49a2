// Finds functions that exporters spell out as small operators, and calls them by their names.

import { rewritePass } from "../pass.ts";
import { activationRules } from "../rules/activation.ts";
import { normalizationRules } from "../rules/normalization.ts";

export const recognize = rewritePass({
  name: "recognize",
  doc: "Replaces softmax, layer and RMS norm, GELU, SiLU, Mish and hard swish written as small operators by the operators of those names.",
  exactness: "bounded",
  invariant: "these functions are single nodes, so that kernels and fusion see them whole",
  rules: [...activationRules, ...normalizationRules],
});
