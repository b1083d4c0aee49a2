// The official ONNX node tests on WebGPU, without any fallback: enough pass, none gives wrong numbers, and STATUS-webgpu.md says which do.

import { beforeAll, describe, expect, it } from "vitest";
import { onnxTests } from "../support/onnx-tests.ts";
import { webgpuSkipped } from "../support/webgpu.ts";
import { DEVICES, runNodeTest } from "./run-node-test.ts";
import { count, GROUPS, type Row, statusPage, wrongOnes } from "./status.ts";

const tests = webgpuSkipped() === undefined ? onnxTests()?.filter((t) => t.suite === "node") : undefined;
const [device] = DEVICES;
/** Of those that wasm passes, the ones in f64 are refused. */
const THRESHOLDS: ReadonlyMap<string, number> = new Map([
  ["core", 900],
  ["core, opset <= 22", 760],
  ["core_expanded", 270],
]);

describe.skipIf(!tests)("ONNX node tests on WebGPU", () => {
  const rows: Row[] = [];
  beforeAll(async () => {
    for (const test of tests ?? []) rows.push({ test, outcomes: await runNodeTest(test, DEVICES) });
  }, 900_000);

  it.each(GROUPS.filter((g) => THRESHOLDS.has(g.title)))("passes enough of $title", (group) => {
    const passed = count(rows, group, device, "pass");
    console.log(`${device}, ${group.title}: ${passed} pass`);
    expect(passed).toBeGreaterThanOrEqual(THRESHOLDS.get(group.title)!);
  });

  it("gives wrong numbers nowhere: every test passes, or is refused with the operator and the reason", () => {
    expect(wrongOnes(rows, device)).toEqual([]);
  });

  it("are listed in STATUS-webgpu.md as they end", async () => {
    expect(rows.length).toBe(1765);
    const heading = [
      "Written by `npm run status` from `webgpu.test.ts`; node tests of ONNX release 1.22.0, on the `webgpu` backend, by Dawn on a software",
      "driver. Tolerance: rtol 1e-3, atol 1e-7 + 1e-6 of the largest finite expected magnitude. What is refused fails to compile, with the",
      "error given: nothing is left to the CPU. WebGPU has no f64.",
    ];
    await expect(statusPage(rows, DEVICES, heading, "webgpu")).toMatchFileSnapshot("STATUS-webgpu.md");
  });
});
