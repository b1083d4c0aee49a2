// FileCheck checks: a checker that accepts everything would make every .ir file pass.

import { expect, test } from "vitest";
import { filecheck, runLine } from "./filecheck.ts";

const output = "alpha(%1)\nbeta(%1)\ngamma\nbeta(%2)";
const check =
  (...lines: string[]) =>
  () =>
    filecheck(lines.map((l) => `// ${l}`).join("\n"), output);

test("finds lines in order", () => {
  expect(check("CHECK: alpha", "CHECK: gamma")).not.toThrow();
  expect(check("CHECK: gamma", "CHECK: alpha")).toThrow(/line 2: CHECK: alpha\n {2}not found after output line 3/);
});

test("next means next", () => {
  expect(check("CHECK: alpha", "CHECK-NEXT: beta")).not.toThrow();
  expect(check("CHECK: alpha", "CHECK-NEXT: gamma")).toThrow(/found on output line 3, expected 2/);
});

test("not means not between its neighbours", () => {
  expect(check("CHECK: beta", "CHECK-NOT: alpha", "CHECK: gamma")).not.toThrow();
  expect(check("CHECK: alpha", "CHECK-NOT: beta", "CHECK: gamma")).toThrow(/is on output line 2, and must be absent/);
  expect(check("CHECK: alpha", "CHECK-NOT: beta\\(%2")).not.toThrow();
  expect(check("CHECK: gamma", "CHECK-NOT: beta")).toThrow(/must be absent/);
});

test("captures are one text", () => {
  expect(check("CHECK: alpha([[X:%\\d]])", "CHECK: beta([[X]])", "CHECK-NEXT: gamma")).not.toThrow();
  expect(check("CHECK: gamma", "CHECK: beta([[X:%\\d]])", "CHECK: beta([[X]])")).toThrow(/not found/);
  expect(check("CHECK: beta([[Y]])")).toThrow(/not found/);
});

test("text is literal, but for {{expressions}} and runs of spaces", () => {
  expect(check("CHECK: alpha(.1)")).toThrow(/not found/);
  expect(check("CHECK: alpha({{.}}1)")).not.toThrow();
});

test("a file without directives tests nothing, and says so", () => {
  expect(check("nothing")).toThrow("no CHECK directive");
  expect(check("CHECK-NOT: delta")).toThrow("no CHECK directive");
});

test("the RUN line names passes", () => {
  expect(runLine("// RUN: fuse  canonicalize\n")).toEqual(["fuse", "canonicalize"]);
  expect(runLine("// RUN:\ngraph")).toEqual([]);
  expect(runLine("graph")).toEqual([]);
});
