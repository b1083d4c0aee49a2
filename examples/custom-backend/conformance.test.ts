// The backend against the cases that every backend must pass. What it does not do would be listed in `skip`, with the reason.

import { conformance } from "sparsec/testing";
import { test } from "vitest";
import { dataview } from "./backend.ts";
import { dataviewExecutor } from "./executor.ts";

await conformance(dataview, dataviewExecutor, { test, skip: [] });
