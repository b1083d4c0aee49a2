// A loaded model: runs one inference at a time in its own memory, in the order of the calls.

import type { Manifest, Port, Slot, VariantManifest } from "./artifact.ts";
import { errors, SparsecError, said } from "./diagnostics.ts";
import { type TypedArray, viewOf } from "./dtype.ts";
import type { Instance } from "./executor.ts";
import { bindInputs, elementCount, type InputPlace, type Inputs } from "./inputs.ts";
import { chooseOutputs, collectOutputs, type OutputPlace, type Outputs } from "./outputs.ts";

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
  readonly threads: number;
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
   * waits are read when its turn comes. Rejects with `bad-input`, `bad-option`, `fault`, `trap` or `disposed`.
   */
  run(inputs: I, options?: RunOptions): Promise<O>;
  /** The same without a promise, where the executor is synchronous and no run is under way; throws `not-synchronous` elsewhere. */
  runSync(inputs: I, options?: RunOptions): O;
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
  const output = (slot: Slot, port: Port): OutputPlace => ({ port, view: view(slot, port), extents: slot.extents });
  return {
    instance,
    inputs: new Map(manifest.inputs.map((port, i) => [port.name, { port, view: view(variant.inputs[i]!, port) }])),
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

  const enter = (): Program => {
    if (!program || disposed) throw errors.disposed(name);
    running = true;
    return program;
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
  /** Copies the inputs in and starts the program; what is returned, or awaited of it, goes to `end`. */
  const begin = ({ instance, inputs, outputs }: Program, given: Inputs, options: RunOptions | undefined) => {
    const chosen = chooseOutputs(outputs, options?.outputs);
    bindInputs(name, inputs, given);
    return { fault: instance.run(), chosen };
  };
  const end = ({ arena }: Program, fault: number, chosen: Iterable<OutputPlace>): Outputs => {
    if (fault !== -1) throw errors.fault(name, variant.faults[fault] ?? `the program reports fault ${fault}`);
    return collectOutputs(name, chosen, arena);
  };
  /** What an engine throws (a trap, exhausted stack or memory) becomes an error of ours. */
  const coded = (thrown: unknown): SparsecError => (thrown instanceof SparsecError ? thrown : errors.trap(name, said(thrown)));

  const attempt = async (given: Inputs, options: RunOptions | undefined): Promise<Outputs> => {
    const current = enter();
    try {
      const { fault, chosen } = begin(current, given, options);
      return end(current, typeof fault === "number" ? fault : await fault, chosen);
    } catch (thrown) {
      throw coded(thrown);
    } finally {
      leave();
    }
  };

  const run = (given: Inputs, options?: RunOptions): Promise<Outputs> => {
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

  const runSync = (given: Inputs, options?: RunOptions): Outputs => {
    if (running || waiting) throw errors.notSynchronous(name, "another run is under way");
    const current = enter();
    let underWay = false;
    try {
      const { fault, chosen } = begin(current, given, options);
      if (typeof fault === "number") return end(current, fault, chosen);
      underWay = true;
      track(fault).then(leave, leave);
      throw errors.notSynchronous(name, `the ${info.backend} executor is asynchronous`);
    } catch (thrown) {
      throw coded(thrown);
    } finally {
      if (!underWay) leave();
    }
  };

  const dispose = (): void => {
    disposed = true;
    if (!running) free();
  };
  return { inputs: manifest.inputs, outputs: manifest.outputs, run, runSync, info: () => info, dispose, [Symbol.dispose]: dispose };
};
