// The pass against its .ir file.

import { readFileSync } from "node:fs";
import { checkIr } from "sparsec/testing";
import { test } from "vitest";
import { reciprocal } from "./reciprocal.ts";

test("reciprocal.ir", () => checkIr(readFileSync(new URL("reciprocal.ir", import.meta.url), "utf8"), [reciprocal]));
