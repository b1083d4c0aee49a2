// Times the steps of a program one by one, in order, as they stand in a run.

import type { Executor, Inputs } from "../../../runtime/index.ts";
import type { Artifact } from "../../artifact.ts";
import { percentile } from "../bench/sampling.ts";
import { openSteps, type Span } from "./open-steps.ts";

/** One run, taken apart. */
export interface Inference extends Span {
  readonly steps: readonly Span[];
}

/** Milliseconds. */
export interface Profile {
  /** Median time of each step. */
  readonly steps: readonly number[];
  /** Median time of runs that were not taken apart. */
  readonly whole: number;
  readonly rounds: number;
  /** The first of the runs that were taken apart. */
  readonly timeline: readonly Inference[];
}

const TIMELINE = 3;
const LEAST_ROUNDS = 5;
const WARM_UP = 300;

const median = (times: readonly number[]): number =>
  percentile(
    [...times].sort((a, b) => a - b),
    0.5,
  );

export interface ProfileJob {
  /** Compiled with `profile`. */
  readonly artifact: Artifact;
  readonly device: string;
  readonly executors: readonly Executor[];
  readonly inputs: Inputs;
  readonly steps: number;
  readonly seconds: number;
}

/** Errors: those of loading and running. */
export async function profile({ artifact, device, executors, inputs, steps, seconds }: ProfileJob): Promise<Profile> {
  const opened = await openSteps(artifact, device, executors);
  const bind = () => opened.bind(inputs);
  const { run } = opened;
  try {
    const warm = performance.now() + Math.min(WARM_UP, 1000 * seconds);
    do {
      await bind();
      await run(0, steps);
    } while (performance.now() < warm);
    const nothing: number[] = [];
    for (let i = 0; i < 200; i++) {
      const { start, end } = await run(0, 0);
      nothing.push(end - start);
    }
    const overhead = median(nothing);

    const times: number[][] = Array.from({ length: steps }, () => []);
    const wholes: number[] = [];
    const timeline: Inference[] = [];
    const until = performance.now() + 1000 * seconds;
    while (wholes.length < LEAST_ROUNDS || performance.now() < until) {
      await bind();
      const parts: Span[] = [];
      for (let k = 0; k < steps; k++) {
        const part = await run(k, k + 1);
        parts.push(part);
        times[k]!.push(Math.max(0, part.end - part.start - overhead));
      }
      if (timeline.length < TIMELINE) timeline.push({ start: parts[0]?.start ?? 0, end: parts.at(-1)?.end ?? 0, steps: parts });
      await bind();
      const { start, end } = await run(0, steps);
      wholes.push(Math.max(0, end - start - overhead));
    }
    return { steps: times.map(median), whole: median(wholes), rounds: wholes.length, timeline };
  } finally {
    opened.dispose();
  }
}
