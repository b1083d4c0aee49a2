// The WebGPU backend against the conformance suite, on a software driver.

import { test } from "vitest";
import { webgpu } from "../../backends/index.ts";
import { webgpuExecutor } from "../../runtime/executors/webgpu.ts";
import { conformance } from "../conformance/index.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const reason = webgpuSkipped();
if (reason !== undefined) test.skip(`conformance of webgpu (${reason})`, () => {});
else
  await conformance(webgpu, webgpuExecutor, {
    test,
    // WGSL has no 64-bit floats.
    without: ["f64"],
  });
