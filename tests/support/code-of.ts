// The code of the error that a call ends in, for tests of refusals.

import { SparsecError } from "../../ir/diagnostics.ts";

/** "none" if nothing was thrown; "not coded: ..." if it was no SparsecError. */
export function codeOf(run: () => unknown): string {
  try {
    run();
    return "none";
  } catch (e) {
    return e instanceof SparsecError ? e.code : `not coded: ${String(e)}`;
  }
}
