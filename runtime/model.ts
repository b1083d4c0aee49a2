// A loaded model: runs one inference at a time in its own memory, in the order of the calls.

import type { Manifest, Port, Slot, VariantManifest } from "./artifact.ts";
import { errors, SparsecError, said } from "./diagnostics.ts";
import { type TypedArray, viewOf } from "./dtype.ts";
import type { Instance } from "./executor.ts";
import { bindInputs, elementCount, type InputPlace, type Inputs, inputNamed } from "./inputs.ts";
import { chooseOutputs, collectOutputs, type OutputPlace, type Outputs, outputNamed } from "./outputs.ts";
import type { Turbo } from "./turbo.ts";

export interface RunOptions {
  /** Names of the outputs to copy out; all, when left out. */
  readonly outputs?: readonly string[];
}

export interface ModelInfo {
  /** The model's name. */
  readonly name: string;
  readonly backend: string;
  readonly variant: string;
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
}

/** `I` and `O` are the shapes of inputs and outputs by name; an artifact's model.d.ts gives them. */
export interface Model<I = Inputs, O = Outputs> {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * One inference. Outputs are fresh copies. Calls that overlap run one after the other, in order; the inputs of a call that
   * waits are read when its turn comes. An input may be left out once its view was taken, and only then: the run takes what
   * lies there. Rejects with `bad-input`, `bad-option`, `fault`, `trap` or `disposed`.
   */
  run(inputs?: I, options?: RunOptions): Promise<O>;
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
  info(): ModelInfo;
  /** Frees the memory, after the run that is under way if there is one; runs that wait reject with `disposed`. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** All that holds a model's memory. */
interface Program {
  readonly instance: Instance;
  readonly inputs: ReadonlyMap<string, InputPlace>;
  readonly outputs: ReadonlyMap<string, OutputPlace>;
  /** The arena as words. */
  readonly arena: Int32Array;
}

const createProgram = (manifest: Manifest, variant: VariantManifest, instance: Instance): Program => {
  const view = (slot: Slot, port: Port): TypedArray =>
    viewOf(port.dtype, instance.buffer, instance[slot.region] + slot.offset, elementCount(port.shape));
  const output = (slot: Slot, port: Port): OutputPlace => ({ port, view: view(slot, port), extents: slot.extents, region: slot.region });
  return {
    instance,
    inputs: new Map(manifest.inputs.map((port, i) => [port.name, { port, view: view(variant.inputs[i]!, port), held: false }])),
    outputs: new Map(manifest.outputs.map((port, i) => [port.name, output(variant.outputs[i]!, port)])),
    arena: new Int32Array(instance.buffer, instance.arena, Math.floor(variant.arena / 4)),
  };
};

export const createModel = (manifest: Manifest, variant: VariantManifest, instance: Instance, info: ModelInfo): Model => {
  const { name } = manifest;
  let program: Program | undefined = createProgram(manifest, variant, instance);
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
    program?.instance.dispose();
    program = undefined;
  };
  const check = (fault: number): void => {
    if (fault !== -1) throw errors.fault(name, variant.faults[fault] ?? `the program reports fault ${fault}`);
  };
  /** What an engine throws (a trap, exhausted stack or memory) becomes an error of ours. */
  const coded = (thrown: unknown): SparsecError => (thrown instanceof SparsecError ? thrown : errors.trap(name, said(thrown)));

  const attempt = async (given: Inputs | undefined, options: RunOptions | undefined): Promise<Outputs> => {
    const current = enter();
    try {
      const chosen = chooseOutputs(current.outputs, options?.outputs);
      bindInputs(name, current.inputs, given);
      const fault = current.instance.run();
      check(typeof fault === "number" ? fault : await fault);
      return collectOutputs(name, chosen, current.arena);
    } catch (thrown) {
      throw coded(thrown);
    } finally {
      leave();
    }
  };

  const run = (given?: Inputs, options?: RunOptions): Promise<Outputs> => {
    if (!running && !waiting) return track(attempt(given, options));
    waiting++;
    return track(
      last.then(() => {
        waiting--;
        return attempt(given, options);
      }),
    );
  };
  const track = <T>(job: Promise<T>): Promise<T> => {
    const settled = (): void => {};
    last = job.then(settled, settled);
    return job;
  };

  /** Runs at once; copies are made of the outputs chosen, if any. */
  const runNow = (given: Inputs | undefined, chosen: Iterable<OutputPlace> | undefined): Outputs | undefined => {
    if (running || waiting) throw errors.notSynchronous(name, "another run is under way");
    const current = enter();
    let underWay = false;
    try {
      bindInputs(name, current.inputs, given);
      const fault = current.instance.run();
      if (typeof fault !== "number") {
        underWay = true;
        track(fault).then(leave, leave);
        throw errors.notSynchronous(name, `the ${info.backend} executor is asynchronous`);
      }
      check(fault);
      return chosen && collectOutputs(name, chosen, current.arena);
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
  const ports = { inputs: manifest.inputs, outputs: manifest.outputs };
  const model = { ...ports, run, runSync, invoke, input, output, info: () => info, dispose, [Symbol.dispose]: dispose };
  // The names are checked at every call; only an artifact's model.d.ts knows the array of each.
  return model as unknown as Model;
};
