// Where the models and data lie that are not part of the project.

import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** SPARSEC_SHARED, or ../shared beside the project. */
export const shared = process.env.SPARSEC_SHARED ?? resolve(fileURLToPath(import.meta.url), "../../../shared");
