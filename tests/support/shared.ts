// Where the shared test material lies, and what a test does where it does not: skip with a printed reason, or fail if it is required.

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's root folder. */
export const projectRoot = fileURLToPath(new URL("../..", import.meta.url));

/** The folder of shared material: `SPARSEC_SHARED`, by default `../shared` beside the project. */
export const sharedRoot = resolve(projectRoot, process.env["SPARSEC_SHARED"] ?? "../shared");

const required: ReadonlySet<string> = new Set((process.env["SPARSEC_REQUIRE"] ?? "").split(",").filter((s) => s !== ""));
const told = new Set<string>();

/**
 * Why tests that need `what` are to be skipped, or undefined if they can run; prints the reason once. Throws instead where
 * `SPARSEC_REQUIRE` lists `what`. For `describe.skipIf(skipReason("shared", ...) !== undefined)`.
 */
export function skipReason(what: string, missing: string | undefined): string | undefined {
  if (missing === undefined) return undefined;
  if (required.has(what)) throw new Error(`SPARSEC_REQUIRE lists "${what}", and ${missing}`);
  if (!told.has(missing)) console.warn(`skipped: ${missing} (SPARSEC_REQUIRE=${what} makes this a failure)`);
  told.add(missing);
  return missing;
}

/** The path of `parts` below the shared folder, or undefined (reason printed) where it is absent. */
export function sharedPath(...parts: readonly string[]): string | undefined {
  const path = join(sharedRoot, ...parts);
  const reason = skipReason(
    "shared",
    existsSync(path) ? undefined : `there is no shared/${parts.join("/")}; set SPARSEC_SHARED to the folder of shared material`,
  );
  return reason === undefined ? path : undefined;
}
