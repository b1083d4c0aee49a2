// Several instances side by side: each in a thread of its own, all running as fast as they can for the same while.

import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Inputs } from "../../../runtime/index.ts";
import type { Times } from "./sampling.ts";

export interface StreamJob {
  readonly folder: string;
  readonly device: string | undefined;
  readonly inputs: readonly Inputs[];
  readonly seconds: number;
  /** One i32, 0 until all streams are ready. */
  readonly gate: SharedArrayBuffer;
}

/** Seconds for each run, in the order of the runs. */
export type StreamResult = readonly number[];

/** A message of a stream: that it is ready, or its result. */
export type StreamMessage = "ready" | { readonly times: StreamResult } | { readonly error: string };

interface Stream {
  readonly ready: Promise<void>;
  readonly result: Promise<StreamResult>;
}

function startStream(job: StreamJob): Stream {
  const program = fileURLToPath(new URL(`./stream-worker${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));
  const worker = new Worker(program, { workerData: job });
  /** What `pick` finds in a message, or the failure of the thread. */
  const first = <T>(pick: (m: StreamMessage) => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      worker.on("error", reject);
      worker.on("message", (m: StreamMessage) => {
        const found = pick(m);
        if (found !== undefined) resolve(found);
        else if (typeof m === "object" && "error" in m) reject(new Error(m.error));
      });
    });
  const ready = first((m) => (m === "ready" ? true : undefined)).then(() => {});
  const result = first((m) => (typeof m === "object" && "times" in m ? m.times : undefined));
  // Whoever waits for `ready` learns of a failure first.
  result.catch(() => {});
  return { ready, result };
}

export interface Streamed extends Times {
  /** Runs of all streams in a second. */
  readonly rate: number;
}

/** Runs `count` streams at once for `seconds`. */
export async function runStreams(count: number, job: Omit<StreamJob, "gate">): Promise<Streamed> {
  const gate = new SharedArrayBuffer(4);
  const streams = Array.from({ length: count }, () => startStream({ ...job, gate }));
  await Promise.all(streams.map((s) => s.ready));
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  Atomics.store(new Int32Array(gate), 0, 1);
  Atomics.notify(new Int32Array(gate), 0);
  const results = await Promise.all(streams.map((s) => s.result));
  const wall = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  const samples = results.flat().sort((a, b) => a - b);
  const mean = samples.reduce((sum, s) => sum + s, 0) / samples.length;
  const variance = samples.reduce((sum, s) => sum + (s - mean) ** 2, 0) / Math.max(1, samples.length - 1);
  return {
    samples,
    runsPerSample: 1,
    mean,
    margin: 1.96 * Math.sqrt(variance / samples.length),
    busy: (used.user + used.system) / 1e6 / wall,
    rate: samples.length / wall,
  };
}
