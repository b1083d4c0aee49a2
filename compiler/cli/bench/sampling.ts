// Times of runs, taken by the `benchmark` package: contestants take turns in slices, so that drift of the machine meets all of them.

import Benchmark from "benchmark";

export interface Contestant {
  readonly name: string;
  /** One run; asynchronous where the contestant is. */
  run(): unknown;
}

/** Times in seconds for each run. */
export interface Times {
  /** Ascending; each the mean of `runsPerSample` runs that follow one another. */
  readonly samples: readonly number[];
  readonly runsPerSample: number;
  readonly mean: number;
  /** Half of the mean's 95 % confidence interval. */
  readonly margin: number;
  /** Processor time over wall time while it ran: how many threads were busy. */
  readonly busy: number;
}

/** A sample is at least so long: what measuring costs is far below it. */
const LEAST_SAMPLE = 0.001;
const SLICE = 0.1;
const LEAST_SAMPLES = 5;

/** Pauses between samples would cool caches: none are made. */
const Steady = Benchmark.runInContext({ setTimeout: (f: () => void) => setImmediate(f) }) as typeof Benchmark;

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** Runs for a while and tells how many seconds a run takes by then. */
async function warmUp(run: Contestant["run"], seconds: number): Promise<number> {
  const start = performance.now();
  let [half, runs, now] = [start, 0, start];
  do {
    const last = now;
    await run();
    now = performance.now();
    // The second half alone counts: engines optimise during the first.
    if (last < start + 500 * seconds) [half, runs] = [now, 0];
    else runs++;
  } while (now < start + 1000 * seconds);
  return runs > 0 ? (now - half) / runs / 1000 : (now - start) / 1000;
}

interface Sampler {
  /** Samples for a slice of time. */
  slice(): Promise<void>;
  count(): number;
  times(): Times;
}

async function sampler({ name, run }: Contestant, warm: number): Promise<Sampler> {
  const runsPerSample = Math.max(1, Math.ceil(LEAST_SAMPLE / (await warmUp(run, warm))));
  let [cpu, wall] = [0, 0];
  let ended: { resolve(): void; reject(e: unknown): void } | undefined;
  const sample = async (deferred: Benchmark.Deferred): Promise<void> => {
    try {
      const [cpuBefore, before] = [cpuSeconds(), performance.now()];
      for (let i = 0; i < runsPerSample; i++) {
        const result = run();
        if (result instanceof Promise) await result;
      }
      wall += (performance.now() - before) / 1000;
      cpu += cpuSeconds() - cpuBefore;
      deferred.resolve();
    } catch (e) {
      ended!.reject(e);
    }
  };
  const benchmark = new Steady(name, {
    defer: true,
    fn: sample,
    // One call of `sample` is one sample; a run of the benchmark adds to the samples of those before it.
    minTime: 1e-9,
    minSamples: 1,
    maxTime: SLICE,
    onReset: () => false,
    onComplete: () => ended!.resolve(),
  });
  return {
    slice: () =>
      new Promise<void>((resolve, reject) => {
        ended = { resolve, reject };
        benchmark.run({ async: true });
      }),
    count: () => benchmark.stats.sample.length,
    times() {
      const { sample, mean, moe } = benchmark.stats;
      const samples = (sample as number[]).map((s) => s / runsPerSample).sort((a, b) => a - b);
      return { samples, runsPerSample, mean: mean / runsPerSample, margin: moe / runsPerSample, busy: cpu / wall };
    },
  };
}

/** Runs every contestant for about `seconds`, in turns, after warming each up. */
export async function interleave(contestants: readonly Contestant[], seconds: number, warm = 0.5): Promise<readonly Times[]> {
  const samplers: Sampler[] = [];
  for (const c of contestants) samplers.push(await sampler(c, Math.min(warm, seconds)));
  const spent = samplers.map(() => 0);
  while (spent.some((s) => s < seconds) || samplers.some((s) => s.count() < LEAST_SAMPLES)) {
    for (const [k, s] of samplers.entries()) {
      const start = performance.now();
      await s.slice();
      spent[k]! += (performance.now() - start) / 1000;
    }
  }
  return samplers.map((s) => s.times());
}

/** The sample below which a share `p` of all lies (nearest rank). */
export const percentile = (ascending: readonly number[], p: number): number =>
  ascending[Math.min(ascending.length - 1, Math.max(0, Math.ceil(p * ascending.length) - 1))]!;
