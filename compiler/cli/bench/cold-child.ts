// The process that `cold.ts` starts: the runtime is imported once the clock runs.

import { existsSync, readFileSync } from "node:fs";
import type { Answer, Job } from "./cold.ts";

/** The largest resident memory so far. Linux counts that of whoever forked this process in `maxRSS`, but not in VmHWM. */
function peakBytes(): number {
  const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : "";
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1] ?? process.resourceUsage().maxRSS) * 1024;
}

async function measure({ folder, device, turbo, inputs }: Job): Promise<Answer> {
  const start = performance.now();
  const { load } = await import("../../../runtime/index.ts");
  const model = await load(folder, { device, turbo });
  const loaded = performance.now();
  await model.run(inputs);
  const first = performance.now();
  await model.run(inputs);
  const second = performance.now();
  return { load: loaded - start, first: first - loaded, second: second - first, peak: peakBytes() };
}

process.once("message", (job: Job) => {
  measure(job)
    .catch((e: unknown): Answer => ({ error: e instanceof Error ? e.message : String(e) }))
    .then((answer) => process.send!(answer, () => process.disconnect()));
});
