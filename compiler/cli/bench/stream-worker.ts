// The thread that `streams.ts` starts: loads its instance, waits until all are ready, then runs until the time is over.

import { parentPort, workerData } from "node:worker_threads";
import { load } from "../../../runtime/index.ts";
import type { StreamJob, StreamMessage } from "./streams.ts";

const WARM_UP = 300;

async function measure({ folder, device, inputs, seconds, gate }: StreamJob): Promise<void> {
  const tell = (m: StreamMessage): void => parentPort!.postMessage(m);
  const model = await load(folder, { device });
  const warm = performance.now() + WARM_UP;
  for (let k = 0; k < 2 || performance.now() < warm; k++) await model.run(inputs[k % inputs.length]!);
  tell("ready");
  Atomics.wait(new Int32Array(gate), 0, 0);
  const times: number[] = [];
  let before = performance.now();
  const until = before + 1000 * seconds;
  while (before < until) {
    await model.run(inputs[times.length % inputs.length]!);
    const now = performance.now();
    times.push((now - before) / 1000);
    before = now;
  }
  tell({ times });
}

measure(workerData as StreamJob).catch((e: unknown) =>
  parentPort!.postMessage({ error: e instanceof Error ? e.message : String(e) } satisfies StreamMessage),
);
