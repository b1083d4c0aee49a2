// The team of threads of one model: starts its workers, and finds out whether they pay. Loaded only where threads are asked for.

import type { Start } from "./worker.ts";

/** Exports of a module for teams; backends/wasm/team.ts says what they mean. */
export interface TeamExports {
  readonly size: WebAssembly.Global;
  readonly patience: WebAssembly.Global;
  run(weights: number, arena: number): number;
  ping(rounds: number): void;
  settle(): void;
}

/** A program in its memory, as every thread sees it, and the first thread's exports. */
export interface TeamProgram {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly exports: TeamExports;
  readonly weights: number;
  readonly arena: number;
}

/** How many threads run, why so many, and the end of them. */
export interface Team {
  readonly threads: number;
  readonly why: string;
  dispose(): void;
}

/** Some hundred microseconds: longer than the steps of one thread alone. To be woken takes 40. */
const PATIENCE = 100_000;
/** Milliseconds that threads get to find a core each. */
const SETTLING = 60;
/** Milliseconds that measuring runs may take, beyond one of each kind: engines compile a module twice, the second time while it runs. */
const MEASURING = 400;
/** Runs of a kind in a row, for which a thread that sleeps is woken once. */
const IN_A_ROW = 3;
/** What is left of a time that has become shorter, at most. */
const SHORTER = 0.97;
/** A fork and join of threads on cores of their own takes less: microseconds. */
const SLOW_JOIN = 10;
/** Of one thread's time, what the team's may be at most. */
const WORTH = 0.87;

type Node = { "node:worker_threads": typeof import("node:worker_threads"); "node:os": typeof import("node:os") };
const node = <K extends keyof Node>(name: K): Node[K] | undefined => globalThis.process?.getBuiltinModule?.(name) as Node[K] | undefined;

/** Threads that can run at once here, as far as is known. */
const availableThreads = (): number => node("node:os")?.availableParallelism() ?? globalThis.navigator?.hardwareConcurrency ?? 1;

/** Whether this thread may sleep: the main thread of a page may not. */
const maySleep = (): boolean => {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
};

/** Starts a thread; resolves once it works, rejects where it cannot start. */
const startWorker = async (start: Start): Promise<() => void> => {
  const threads = node("node:worker_threads");
  if (threads) {
    const worker = new threads.Worker(new URL("./worker.js", import.meta.url), { workerData: start });
    await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject).once("exit", reject));
    worker.removeAllListeners();
    // A process may end without its models being disposed of.
    worker.unref();
    return () => void worker.terminate();
  }
  // In this form, bundlers find the file.
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  await new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => reject(new Error(event.message || "the worker's file cannot be loaded"));
    worker.postMessage(start);
  });
  return () => worker.terminate();
};

/**
 * Makes a team of at most `most` threads, or of one with the reason why. Unless `calibrate` is false, the team must fork and join quickly, and
 * pay in `trial`, one run, where that is known to end. Never throws.
 */
export async function startTeam(program: TeamProgram, most: number, calibrate: boolean, trial: (() => void) | undefined): Promise<Team> {
  const { exports, ...shared } = program;
  const enders: (() => void)[] = [];
  const dispose = (): void => {
    exports.size.value = 1;
    for (const end of enders.splice(0)) end();
  };
  const alone = (why: string): Team => {
    dispose();
    return { threads: 1, why, dispose };
  };
  const cores = availableThreads();
  if (calibrate && cores < 2) return alone("one core is available");
  const threads = calibrate ? Math.min(most, cores) : most;

  const start = (rank: number): Start => ({ ...shared, rank, size: threads, patience: PATIENCE });
  const started = await Promise.allSettled(Array.from({ length: threads - 1 }, (_, i) => startWorker(start(i + 1))));
  for (const s of started) if (s.status === "fulfilled") enders.push(s.value);
  const failed = started.find((s) => s.status === "rejected");
  if (failed) return alone(`a worker did not start: ${failed.reason instanceof Error ? failed.reason.message : failed.reason}`);
  exports.patience.value = maySleep() ? PATIENCE : 0;
  exports.size.value = threads;
  if (!calibrate) return { threads, why: "as many as were asked for, not measured", dispose };

  const join = settleDown(exports);
  if (join > SLOW_JOIN) return alone(`${threads} take ${join.toFixed(0)} us to fork and join: cores are busy, or threads share one`);
  const times = trial && measure(exports, threads, trial);
  const joined = `${threads} fork and join in ${join.toFixed(1)} us`;
  if (!times) return { threads, why: joined, dispose };
  const [one, all] = times;
  const compared = `a run takes one thread ${one.toFixed(2)} ms, ${threads} of them ${all.toFixed(2)} ms`;
  return all > WORTH * one ? alone(compared) : { threads, why: `${compared}; ${joined}`, dispose };
}

/** Microseconds of a fork and join, once it is short or time is up. */
function settleDown(exports: TeamExports): number {
  const rounds = 50;
  const until = performance.now() + SETTLING;
  for (;;) {
    const before = performance.now();
    exports.ping(rounds);
    const now = performance.now();
    const each = ((now - before) * 1000) / rounds;
    if (each < SLOW_JOIN || now > until) return each;
  }
}

/**
 * Shortest times in milliseconds of a run by one thread and by all, taken in turn until neither becomes shorter; undefined where runs fail
 * without inputs.
 */
function measure(exports: TeamExports, threads: number, trial: () => void): readonly [one: number, all: number] | undefined {
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as [number, number];
  const sizes = [1, threads] as const;
  const until = performance.now() + MEASURING;
  const turn = (k: 0 | 1): boolean => {
    exports.size.value = sizes[k];
    const last = best[k];
    for (let i = 0; i < IN_A_ROW && (i === 0 || performance.now() < until); i++) {
      const before = performance.now();
      trial();
      best[k] = Math.min(best[k], performance.now() - before);
    }
    return best[k] < SHORTER * last;
  };
  try {
    for (let same = 0; same < 2 && performance.now() < until; same++) {
      const shorter = [turn(0), turn(1)];
      if (shorter.includes(true)) same = -1;
    }
    return best;
  } catch {
    return undefined;
  } finally {
    exports.size.value = threads;
  }
}
