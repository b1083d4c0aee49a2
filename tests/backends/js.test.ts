// The JavaScript backend against the conformance suite.

import { test } from "vitest";
import { js } from "../../backends/index.ts";
import { jsExecutor } from "../../runtime/executors/js.ts";
import { conformance } from "../conformance/index.ts";

await conformance(js, jsExecutor, { test });
