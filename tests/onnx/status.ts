// The published list of the official ONNX tests, by name and backend, as Markdown.

import type { OnnxTest } from "../support/onnx-tests.ts";
import type { Device, Outcome, Outcomes } from "./run-node-test.ts";

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
  rows.filter(({ test, outcomes }) => group.has(test) && outcomes.get(device)?.kind === kind).length;

/** What gave wrong numbers, or failed without saying why. */
export const wrongOnes = (rows: readonly Row[], device: Device): readonly string[] =>
  rows.flatMap(({ test, outcomes }) => {
    const o = outcomes.get(device);
    return o?.kind === "wrong" ? [`${test.name}: ${o.why}`] : [];
  });

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ");
const shown = (o: Outcome): string => (o.kind === "pass" ? "pass" : `${o.kind}: ${cell(o.why)}`);

/** The page of some devices, which `heading` describes in a line or more; `about` is the heading of the column of outcomes. */
export function statusPage(rows: readonly Row[], devices: readonly Device[], heading: readonly string[], about: string): string {
  const summary = GROUPS.map((g) => {
    const cells = devices.map((d) => `${count(rows, g, d, "pass")} | ${count(rows, g, d, "refused")} | ${count(rows, g, d, "wrong")}`);
    return `| ${g.title} | ${rows.filter((r) => g.has(r.test)).length} | ${cells.join(" | ")} |`;
  });
  const lines = rows.map(({ test, outcomes }) => {
    const [first, ...others] = devices.map((d) => shown(outcomes.get(d)!));
    const result = others.every((o) => o === first) ? first : devices.map((d) => `${d} ${shown(outcomes.get(d)!)}`).join("; ");
    return `| ${test.name} | ${test.group} | ${test.opset ?? ""} | ${result} |`;
  });
  return [
    "# The official ONNX node tests",
    "",
    ...heading,
    "",
    `| group | tests | ${devices.map((d) => `${d.split(":")[0]}: pass | refused | wrong`).join(" | ")} |`,
    `|---|---|${devices.map(() => "---|---|---|").join("")}`,
    ...summary,
    "",
    `| test | group | opset | ${about} |`,
    "|---|---|---|---|",
    ...lines,
    "",
  ].join("\n");
}
