// The machine's measured peak: the most multiplications and additions in a second, by code of the very variant that is judged by it.

import { defaultExecutors, type Executor, type HostExecutor } from "../../../runtime/index.ts";
import type { Backend, Variant } from "../../backend.ts";
import { peakProgram } from "../../cost/peak.ts";
import { legalize } from "../../kernel/legalize.ts";

const CHAINS = [6, 8, 10, 12];
const RUNS = 30;

/** GFLOP/s of one thread. */
export async function measurePeak(backend: Backend, variant: Variant, executors: readonly Executor[]): Promise<number> {
  const executor = [...executors, ...defaultExecutors].find((e) => e.backend === backend.name) as HostExecutor;
  let best = 0;
  for (const chains of CHAINS) {
    const { program, flops, arena } = peakProgram(variant.can, chains);
    const { code, files } = await backend.emit(legalize(program, variant.can), variant);
    const content = files[code]!;
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const manifest = { backend: backend.name, name: variant.name, needs: variant.needs, code, weights: 64, arena, sections: [] };
    const instance = await executor.instantiate({ bytes }, { ...manifest, inputs: [], outputs: [], faults: [], steps: [] });
    for (let i = 0; i < RUNS; i++) {
      const start = performance.now();
      await instance.run();
      best = Math.max(best, flops / (performance.now() - start) / 1e6);
    }
    instance.dispose();
  }
  return best;
}
