// An artifact that was compiled with `profile`, loaded so that its steps can be run one by one.

import { defaultExecutors } from "../../../runtime/default-executors.ts";
import { type Executor, type Inputs, type Instance, load, SparsecError } from "../../../runtime/index.ts";
import type { Artifact } from "../../artifact.ts";
import { STEP_RANGE } from "../../compile.ts";

/** Moments of `performance.now()`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Steps {
  /** Puts the inputs in their places, and runs nothing: a run may use those places again. */
  bind(inputs: Inputs): Promise<void>;
  /** Runs from step `from` to before step `to`. Errors: `fault`, and what an engine throws. */
  run(from: number, to: number): Promise<Span>;
  dispose(): void;
}

/** Errors: those of loading. */
export async function openSteps(artifact: Artifact, device: string, executors: readonly Executor[]): Promise<Steps> {
  let instance: Instance | undefined;
  const observed = [...executors, ...defaultExecutors].map(
    (e): Executor =>
      "open" in e
        ? e
        : {
            ...e,
            async instantiate(code, variant) {
              instance = await e.instantiate(code, variant);
              return instance;
            },
          },
  );
  const model = await load(artifact, { device, executors: observed });
  const { backend, variant: name } = model.info();
  const variant = artifact.manifest.variants.find((v) => v.backend === backend && v.name === name)!;
  const range = new Int32Array(instance!.buffer, instance!.arena + variant.arena - STEP_RANGE, 2);
  return {
    async bind(inputs) {
      range.set([0, 0]);
      await model.run(inputs, { outputs: [] });
    },
    async run(from, to) {
      range.set([from, to]);
      const start = performance.now();
      const result = instance!.run();
      const fault = typeof result === "number" ? result : await result;
      const end = performance.now();
      if (fault !== -1) throw new SparsecError("fault", variant.faults[fault] ?? `the program reports fault ${fault}`);
      return { start, end };
    },
    dispose: () => model.dispose(),
  };
}
