// The rewrite driver: captures, conditions, and what a rule may not do.

import { describe, expect, test } from "vitest";
import type { Graph, Value } from "../../ir/graph.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { print } from "../../ir/print.ts";
import { any, applyRules, as, constant, once, op, type Rule, rule, where } from "../../ir/rewrite.ts";

const graph = (body: string): Graph => parse(`graph @g(%x: f32[2], %y: f32[2]) {\n${body}\n}`, standardOps, { file: "g.ir" });
const nodes = (g: Graph): string[] => [...print(g).matchAll(/= (\w+\([^)]*\))/g)].map((m) => m[1]!);

const apply = (g: Graph, ...rules: Rule[]): string[] => nodes(applyRules(g, rules));

describe("matching", () => {
  const sum = graph("  %a = neg(%x) : f32[2]\n  %b = add(%a, %y) : f32[2]\n  return %b");

  test("captures operands and rebuilds", () => {
    expect(
      apply(
        sum,
        rule("neg(x) + y -> y - x", op("add", op("neg", any("x")), any("y")), ({ x, y }, b) => b.value("sub", [y, x])),
      ),
    ).toEqual(["sub(%y, %x)"]);
  });

  test("a name that occurs twice is one value", () => {
    const twice = rule("x + x -> neg(x)", op("add", any("x"), any("x")), ({ x }, b) => b.value("neg", [x]));
    expect(apply(graph("  %a = add(%x, %x) : f32[2]\n  return %a"), twice)).toEqual(["neg(%x)"]);
    expect(apply(graph("  %a = add(%x, %y) : f32[2]\n  return %a"), twice)).toEqual(["add(%x, %y)"]);
  });

  test("one of several operators, a constant, a condition", () => {
    const g = graph("  %c = const() {data: [3]} : f32[]\n  %a = mul(%x, %c) : f32[2]\n  %b = sub(%x, %y) : f32[2]\n  return %a, %b");
    expect(
      apply(
        g,
        rule("r", op(["add", "mul"], any("x"), constant("c")), ({ x }, b) => b.value("neg", [x])),
      ),
    ).toEqual(["neg(%x)", "sub(%x, %y)"]);
    const last = (v: Value) => v.node.attrs["name"] === "y";
    expect(
      apply(
        g,
        rule("r", op("sub", any("x"), where(any("y"), last)), ({ x }, b) => b.value("neg", [x])),
      ),
    ).toContain("neg(%x)");
    expect(
      apply(
        g,
        rule(
          "r",
          op(
            "sub",
            any("x"),
            any("y", (v) => !last(v)),
          ),
          ({ x }, b) => b.value("neg", [x]),
        ),
      ),
    ).toContain("sub(%x, %y)");
  });

  test("as captures the inner value, root is the outer", () => {
    const r = rule("keep", op("add", as("inner", op("neg", any("x"))), any("y")), ({ inner }, b, root) =>
      b.value("mul", [inner, root.node.inputs[1]!]),
    );
    expect(apply(sum, r)).toEqual(["neg(%x)", "mul(%0, %y)"]);
  });

  test("a rule that gives nothing, or the same value, leaves the graph", () => {
    expect(applyRules(sum, [rule("none", op("add"), () => undefined), rule("same", op("add"), (_, __, root) => root)])).toBe(sum);
  });
});

test("a value that is used twice is not matched once", () => {
  const r = rule("neg(x) + y -> y - x", op("add", once(op("neg", any("x"))), any("y")), ({ x, y }, b) => b.value("sub", [y, x]));
  expect(apply(graph("  %a = neg(%x) : f32[2]\n  %b = add(%a, %y) : f32[2]\n  return %b"), r)).toEqual(["sub(%y, %x)"]);
  expect(apply(graph("  %a = neg(%x) : f32[2]\n  %b = add(%a, %y) : f32[2]\n  return %b, %a"), r)).toContain("add(%0, %y)");
  expect(apply(graph("  %a = neg(%x) : f32[2]\n  %b = add(%a, %a) : f32[2]\n  return %b"), r)).toContain("add(%0, %0)");
});

test("rules apply to what they made, and are traced", () => {
  const steps: string[] = [];
  const g = graph("  %a = relu(%x) : f32[2]\n  return %a");
  const out = applyRules(
    g,
    [
      rule("relu -> abs", op("relu", any("x")), ({ x }, b) => b.value("abs", [x])),
      rule("abs -> neg", op("abs", any("x")), ({ x }, b) => b.value("neg", [x])),
    ],
    (name, root) => steps.push(`${name} at ${root.node.op}`),
  );
  expect(nodes(out)).toEqual(["neg(%x)"]);
  expect(steps).toEqual(["relu -> abs at relu", "abs -> neg at abs"]);
});

test("a rule that changes a type is refused, with rule, types and place", () => {
  const g = graph("  %a = relu(%x) : f32[2]\n  return %a");
  const bad = rule("relu -> f16", op("relu", any("x")), ({ x }, b) => b.value("cast", [x], { to: "f16" }));
  expect(() => applyRules(g, [bad])).toThrow("g.ir:2 (%a): rule 'relu -> f16' changed the type from f32[2] to f16[2] [rewrite-type]");
});

test("rules that never settle on one value are refused", () => {
  const g = graph("  %a = relu(%x) : f32[2]\n  return %a");
  const flip = rule("flip", op(["relu", "abs"], any("x")), ({ x }, b, root) => b.value(root.node.op === "relu" ? "abs" : "relu", [x]));
  expect(() => applyRules(g, [flip])).toThrow(/still changes the graph after \d+ sweeps \[rewrite-loop\]/);
});

test("places survive a rewrite that hands them on", () => {
  const g = graph("  %a = relu(%x) : f32[2]\n  return %a");
  const out = applyRules(g, [rule("relu -> abs", op("relu", any("x")), ({ x }, b, root) => b.value("abs", [x], {}, root.node.locs))]);
  expect(out.outputs[0]!.node.locs).toEqual([{ file: "g.ir", name: "%a", line: 2 }]);
});
