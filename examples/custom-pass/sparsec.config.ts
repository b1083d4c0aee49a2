// The pass takes its place in the pipeline: once constants are folded and in canonical order.

import { defineConfig, insertAfter } from "sparsec";
import { reciprocal } from "./reciprocal.ts";

export default defineConfig({ passes: (defaults) => insertAfter(defaults, "canonicalize", reciprocal) });
