// A loaded model: runs one inference at a time in its own memory, in the order of the calls.

import type { Port, StepInfo } from "./artifact.ts";
import { errors, SparsecError, said, show } from "./diagnostics.ts";
import type { TypedArray } from "./dtype.ts";
import { bindInputs, type GPUInput, type Inputs, inputNamed } from "./inputs.ts";
import { chooseOutputs, collectBuffers, collectOutputs, type GPUTensor, type OutputPlace, type Outputs, outputNamed } from "./outputs.ts";
import type { Program } from "./program.ts";
import type { Turbo } from "./turbo.ts";

export interface RunOptions {
  /** Names of the outputs to copy out; all, when left out. */
  readonly outputs?: readonly string[];
  /** "gpu" leaves outputs on the device, each in a buffer of its own, for a model that runs on one; "host" when left out. */
  readonly output?: "host" | "gpu";
}

/** What one step took in the last run. */
export interface StepTime extends StepInfo {
  readonly ms: number;
}

/** Inputs of which some may be on the model's device. */
export type OnDevice<I> = { readonly [K in keyof I]: I[K] | GPUInput };

export interface ModelInfo {
  /** The model's name. */
  readonly name: string;
  readonly backend: string;
  readonly variant: string;
  /** The device's name, for variants of devices. */
  readonly adapter?: string;
  /** Why this variant was taken, in a sentence. */
  readonly why: string;
  /** Threads that share a run, and why so many. */
  readonly threads: number;
  readonly whyThreads: string;
  readonly turbo: Turbo;
  /** Bytes. */
  readonly memory: { readonly weights: number; readonly arena: number };
  /** Variants that were preferred but do not run here, each with the reason. */
  readonly skipped: readonly { readonly variant: string; readonly reason: string }[];
  /** What each part runs on, where the model runs in parts. */
  readonly parts?: readonly ModelInfo[];
}

/** `I` and `O` are the shapes of inputs and outputs by name; an artifact's model.d.ts gives them. */
export interface Model<I = Inputs, O = Outputs> {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * One inference. Outputs are fresh copies. Calls that overlap run one after the other, in order; the inputs of a call that
   * waits are read when its turn comes. An input may be left out once its view was taken, and only then: the run takes what
   * lies there. Rejects with `bad-input`, `bad-option`, `fault`, `trap` or `disposed`, on a device also with `device-lost`,
   * `out-of-memory` or `internal`.
   */
  run(inputs: OnDevice<I> | undefined, options: RunOptions & { readonly output: "gpu" }): Promise<{ readonly [K in keyof O]: GPUTensor }>;
  run(inputs?: OnDevice<I>, options?: RunOptions): Promise<O>;
  /** The same without a promise, where the executor is synchronous and no run is under way; throws `not-synchronous` elsewhere. */
  runSync(inputs?: I, options?: RunOptions): O;
  /** `runSync` on views alone: what all inputs hold becomes what the outputs hold. Nothing is copied or allocated. */
  invoke(): void;
  /**
   * The input's own memory, row-major and zero at first, to fill in place. It keeps its values from run to run until they are
   * set again, here or by a run that names the input; filled while a run is under way, the run may see both old and new.
   * Valid until `dispose`. Throws `bad-option` or `disposed`.
   */
  input<K extends keyof I & string>(name: K): Extract<I[K], TypedArray>;
  /**
   * The output's own memory, row-major: what the last run left there, and the next one overwrites. Valid until `dispose`. An
   * output that is a constant is a copy. Throws `bad-option`, `disposed`, or `dynamic-shape` where only a run knows the extents.
   */
  output<K extends keyof O & string>(name: K): O[K] extends { readonly data: infer T } ? T : never;
  /**
   * Runs once, on whatever the inputs hold, so that the first run is as fast as later ones: drivers and engines finish compiling when code
   * runs. A model with loops, which might not end, stays cold.
   */
  warmup(): Promise<void>;
  info(): ModelInfo;
  /** What each step took in the last run, on a device that measures it and loaded with `profile`; undefined elsewhere. */
  profile(): readonly StepTime[] | undefined;
  /** Frees the memory, after the run that is under way if there is one; runs that wait reject with `disposed`. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Runs no one wants anything of but that they have been. */
const NOTHING: readonly OutputPlace[] = [];

export const createModel = (ports: Pick<Model, "inputs" | "outputs">, created: Program, info: ModelInfo): Model => {
  const { name } = info;
  const { steps } = created;
  let program: Program | undefined = created;
  let disposed = false;
  let running = false;
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();

  const alive = (): Program => {
    if (!program || disposed) throw errors.disposed(name);
    return program;
  };
  const enter = (): Program => {
    const current = alive();
    running = true;
    return current;
  };
  const leave = (): void => {
    running = false;
    if (disposed) free();
  };
  /** Lets go of every view, so that the memory is free even where the model is still held. */
  const free = (): void => {
    program?.dispose();
    program = undefined;
  };
  const check = ({ faults }: Program, fault: number): void => {
    if (fault !== -1) throw errors.fault(name, faults[fault] ?? `the program reports fault ${fault}`);
  };
  /** What an engine throws (a trap, exhausted stack or memory) becomes an error of ours. */
  const coded = (thrown: unknown): SparsecError => (thrown instanceof SparsecError ? thrown : errors.trap(name, said(thrown)));

  /** Calls `work` with the program, and lets go of it after. */
  const attempt = async <T>(work: (current: Program) => Promise<T>): Promise<T> => {
    const current = enter();
    try {
      return await work(current);
    } catch (thrown) {
      throw coded(thrown);
    } finally {
      leave();
    }
  };

  /** At once where nothing runs or waits, so that a synchronous program has run when this returns; else in turn. */
  const inTurn = <T>(work: (current: Program) => Promise<T>): Promise<T> => {
    if (!running && !waiting) return track(attempt(work));
    waiting++;
    return track(
      last.then(() => {
        waiting--;
        return attempt(work);
      }),
    );
  };
  const run = (given?: Inputs, options?: RunOptions) =>
    inTurn(async (current) => {
      const chosen = chooseOutputs(current.outputs, options?.outputs);
      const keep = options?.output === "gpu";
      if (keep) mayStay(current, chosen);
      else if (options?.output !== undefined && options.output !== "host")
        throw errors.badOption(`output is "host" or "gpu", not ${show(options.output)}`);
      bindInputs(name, current.inputs, given);
      const fault = current.run(chosen, keep);
      check(current, typeof fault === "number" ? fault : await fault);
      return keep ? collectBuffers(chosen) : collectOutputs(name, chosen, current.extent);
    });
  /** Throws where outputs cannot stay on a device. */
  const mayStay = (current: Program, chosen: readonly OutputPlace[]): void => {
    if (!current.keeps) throw errors.badOption(`output: "gpu" needs a model that runs on a GPU; this one runs on ${info.backend}`);
    const dynamic = chosen.find(({ extents }) => extents.some((extent) => typeof extent !== "number"));
    if (dynamic) throw errors.dynamicView(name, dynamic.port.name);
  };
  const warmup = (): Promise<void> =>
    inTurn(async (current) => {
      // Inputs of zeros may be at fault; that says nothing of later ones.
      if (!current.endless) await current.run(NOTHING, false);
    });
  const track = <T>(job: Promise<T>): Promise<T> => {
    const settled = (): void => {};
    last = job.then(settled, settled);
    return job;
  };

  /** Runs at once; copies are made of the outputs chosen, if any. */
  const runNow = (given: Inputs | undefined, chosen: readonly OutputPlace[] | undefined): Outputs | undefined => {
    if (alive().asynchronous) throw errors.notSynchronous(name, `the ${info.backend} executor is asynchronous`);
    if (running || waiting) throw errors.notSynchronous(name, "another run is under way");
    const current = enter();
    let underWay = false;
    try {
      bindInputs(name, current.inputs, given);
      const fault = current.run(NOTHING, false);
      if (typeof fault !== "number") {
        underWay = true;
        track(fault).then(leave, leave);
        throw errors.notSynchronous(name, `the ${info.backend} executor is asynchronous`);
      }
      check(current, fault);
      return chosen && collectOutputs(name, chosen, current.extent);
    } catch (thrown) {
      throw coded(thrown);
    } finally {
      if (!underWay) leave();
    }
  };
  const runSync = (given?: Inputs, options?: RunOptions): Outputs => runNow(given, chooseOutputs(alive().outputs, options?.outputs))!;
  const invoke = (): void => void runNow(undefined, undefined);

  const input = (wanted: string): TypedArray => {
    const place = inputNamed(alive().inputs, wanted);
    place.held = true;
    return place.view;
  };
  const output = (wanted: string): TypedArray => {
    const { view, extents, region } = outputNamed(alive().outputs, wanted);
    if (extents.some((extent) => typeof extent !== "number")) throw errors.dynamicView(name, wanted);
    // A constant lies among the weights, which no one may write.
    return region === "weights" ? view.slice() : view;
  };

  const dispose = (): void => {
    disposed = true;
    if (!running) free();
  };
  const profile = () =>
    alive()
      .times()
      ?.map((ms, step) => ({ ...steps[step]!, ms }));
  const runs = { run, runSync, invoke, warmup };
  const model = {
    inputs: ports.inputs,
    outputs: ports.outputs,
    ...runs,
    input,
    output,
    info: () => info,
    profile,
    dispose,
    [Symbol.dispose]: dispose,
  };
  // The names are checked at every call; only an artifact's model.d.ts knows the array of each.
  return model as unknown as Model;
};
