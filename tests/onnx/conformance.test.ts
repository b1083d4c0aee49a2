// The official ONNX node tests on every backend: enough of them pass, none gives wrong numbers, and STATUS.md says which do.

import { beforeAll, describe, expect, it } from "vitest";
import { onnxTests } from "../support/onnx-tests.ts";
import { HOSTS, runNodeTest } from "./run-node-test.ts";
import { count, GROUPS, type Row, statusPage, wrongOnes } from "./status.ts";

const tests = onnxTests()?.filter((t) => t.suite === "node");
const THRESHOLDS: ReadonlyMap<string, number> = new Map([
  ["core", 930],
  ["core, opset <= 22", 785],
  ["core_expanded", 290],
]);

describe.skipIf(!tests)("ONNX node tests", () => {
  const rows: Row[] = [];
  beforeAll(async () => {
    for (const test of tests ?? []) rows.push({ test, outcomes: await runNodeTest(test, HOSTS) });
  }, 600_000);

  describe.each(HOSTS)("%s", (device) => {
    it.each(GROUPS.filter((g) => THRESHOLDS.has(g.title)))("passes enough of $title", (group) => {
      const passed = count(rows, group, device, "pass");
      console.log(`${device}, ${group.title}: ${passed} pass`);
      expect(passed).toBeGreaterThanOrEqual(THRESHOLDS.get(group.title)!);
    });

    it("gives wrong numbers nowhere: every test passes, or is refused with the operator and the reason", () => {
      const wrong = wrongOnes(rows, device);
      expect(wrong).toEqual([]);
    });
  });

  it("are listed in STATUS.md as they end", async () => {
    expect(rows.length).toBe(1765);
    const heading = [
      "Written by `npm run status` from `conformance.test.ts`; node tests of ONNX release 1.22.0, on the `wasm` backend (baseline SIMD)",
      "and on `js`. Tolerance: rtol 1e-3, atol 1e-7 + 1e-6 of the largest finite expected magnitude. What is refused fails to compile,",
      "with the error given; nothing may give wrong numbers.",
    ];
    await expect(statusPage(rows, HOSTS, heading, "wasm and js")).toMatchFileSnapshot("STATUS.md");
  });
});
