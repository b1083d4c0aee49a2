// The published list of the official ONNX tests, by name and backend, as Markdown.

import type { OnnxTest } from "../support/onnx-tests.ts";
import { DEVICES, type Device, type Outcome, type Outcomes } from "./run-node-test.ts";

export interface Row {
  readonly test: OnnxTest;
  readonly outcomes: Outcomes;
}

export interface Group {
  readonly title: string;
  has(test: OnnxTest): boolean;
}

export const GROUPS: readonly Group[] = [
  { title: "core", has: (t) => t.group === "core" },
  { title: "core, opset <= 22", has: (t) => t.group === "core" && t.opset !== undefined && t.opset <= 22 },
  { title: "core_expanded", has: (t) => t.group === "core_expanded" },
  { title: "all", has: () => true },
];

export const count = (rows: readonly Row[], group: Group, device: Device, kind: Outcome["kind"]): number =>
  rows.filter(({ test, outcomes }) => group.has(test) && outcomes[device].kind === kind).length;

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const shown = (o: Outcome): string => (o.kind === "pass" ? "pass" : `${o.kind}: ${cell(o.why)}`);

export function statusPage(rows: readonly Row[]): string {
  const summary = GROUPS.map((g) => {
    const cells = DEVICES.map((d) => `${count(rows, g, d, "pass")} | ${count(rows, g, d, "refused")} | ${count(rows, g, d, "wrong")}`);
    return `| ${g.title} | ${rows.filter((r) => g.has(r.test)).length} | ${cells.join(" | ")} |`;
  });
  const lines = rows.map(({ test, outcomes }) => {
    const [first, ...others] = DEVICES.map((d) => shown(outcomes[d]));
    const result = others.every((o) => o === first) ? first : DEVICES.map((d) => `${d} ${shown(outcomes[d])}`).join("; ");
    return `| ${test.name} | ${test.group} | ${test.opset ?? ""} | ${result} |`;
  });
  return [
    "# The official ONNX node tests",
    "",
    "Written by `npm run status` from `conformance.test.ts`; node tests of ONNX release 1.22.0, on the `wasm` backend (baseline SIMD)",
    "and on `js`. Tolerance: rtol 1e-3, atol 1e-7 + 1e-6 of the largest finite expected magnitude. What is refused fails to compile,",
    "with the error given; nothing may give wrong numbers.",
    "",
    "| group | tests | wasm: pass | refused | wrong | js: pass | refused | wrong |",
    "|---|---|---|---|---|---|---|---|",
    ...summary,
    "",
    "| test | group | opset | wasm and js |",
    "|---|---|---|---|",
    ...lines,
    "",
  ].join("\n");
}
