// Tests of passes written as text: a graph with `// RUN: pass ...` and `// CHECK: ...` comments.

import type { Pass } from "../../compiler/pass.ts";
import { passContext, runPass } from "../../compiler/pass.ts";
import type { OpDef } from "../../ir/op.ts";
import { opSet } from "../../ir/op.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { print } from "../../ir/print.ts";
import { filecheck, runLine } from "../support/filecheck.ts";

/**
 * Parses the graph, runs the passes of its RUN line out of `passes`, prints the result, and holds it against the CHECK, CHECK-NEXT and
 * CHECK-NOT lines. Throws with the line that fails and the whole output.
 */
export function checkIr(text: string, passes: readonly Pass[], ops: readonly OpDef[] = []): void {
  const names = runLine(text);
  if (names.length === 0) throw new TypeError("there is no line `// RUN: pass ...`");
  const graph = names.reduce(
    (g, name) => {
      const pass = passes.find((p) => p.name === name);
      if (!pass) throw new TypeError(`RUN names '${name}', and the passes given are ${passes.map((p) => p.name).join(", ")}`);
      return runPass(pass, g, passContext());
    },
    parse(text, opSet([...standardOps.values()], ops)),
  );
  filecheck(text, print(graph));
}
