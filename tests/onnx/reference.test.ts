// The official ONNX node tests through import and graph interpreter: the meaning of every operator, without any backend.

import { describe, expect, it } from "vitest";
import { onnxTests } from "../support/onnx-tests.ts";
import { type Outcome, runReference } from "../support/reference.ts";

const tests = onnxTests()?.filter((t) => t.suite !== "light");

describe.skipIf(!tests)("the interpreter on the official ONNX tests", () => {
  const outcomes = new Map<string, { readonly group: string; readonly outcome: Outcome }>();

  it("gives no wrong numbers: each passes or is refused with a code and a reason", () => {
    for (const t of tests ?? [])
      outcomes.set(`${t.suite}/${t.name}`, { group: t.suite === "node" ? t.group : t.suite, outcome: runReference(t) });
    const wrong = [...outcomes].flatMap(([name, { outcome }]) => (outcome.kind === "wrong" ? [`${name}: ${outcome.why}`] : []));
    expect(wrong).toEqual([]);
    const silent = [...outcomes].flatMap(([name, { outcome }]) => (outcome.kind === "refused" && outcome.why.length < 20 ? [name] : []));
    expect(silent).toEqual([]);
  }, 300_000);

  it("passes what it is meant to", () => {
    const passed = (group: string): number => [...outcomes.values()].filter((o) => o.group === group && o.outcome.kind === "pass").length;
    expect(passed("core")).toBeGreaterThanOrEqual(1055);
    expect(passed("core_expanded")).toBeGreaterThanOrEqual(346);
    expect(passed("other")).toBeGreaterThanOrEqual(120);
  });

  it("refuses, of the core tests, only random results and operator sets too old or new", () => {
    const refused = [...outcomes].flatMap(([name, { group, outcome }]) =>
      group === "core" && outcome.kind === "refused" ? [[name.slice(5), outcome.code]] : [],
    );
    expect(refused).toEqual([
      ["test_not_2d", "unsupported"],
      ["test_not_3d", "unsupported"],
      ["test_not_4d", "unsupported"],
      ["test_training_dropout", "unsupported"],
      ["test_training_dropout_default", "unsupported"],
      ["test_training_dropout_default_mask", "unsupported"],
      ["test_training_dropout_mask", "unsupported"],
    ]);
  });
});
