// A program as a model sees it: its ports as views of the host's memory, wherever it runs.

import type { Command, Part, Port, StepInfo, VariantManifest } from "./artifact.ts";
import { type TypedArray, viewOf } from "./dtype.ts";
import type { DeviceInstance, Instance } from "./executor.ts";
import { elementCount, type InputPlace } from "./inputs.ts";
import type { OutputPlace } from "./outputs.ts";

/** All that holds a model's memory. */
export interface Program {
  readonly inputs: ReadonlyMap<string, InputPlace>;
  readonly outputs: ReadonlyMap<string, OutputPlace>;
  /** What each number of a fault means. */
  readonly faults: readonly string[];
  readonly steps: readonly StepInfo[];
  /** Whether a run may last for ever on the wrong inputs. */
  readonly endless: boolean;
  /** Whether it never runs synchronously, as it is on a device. */
  readonly asynchronous: boolean;
  /** Whether outputs can stay on a device. */
  readonly keeps: boolean;
  /** The extent `at` bytes into the arena after a run; -1 where it is none. */
  extent(at: number): number;
  /** One inference: the fault's number, or -1. A device leaves the outputs wanted in the views, or in `buffer` of their places. */
  run(wanted: readonly OutputPlace[], keep: boolean): number | Promise<number>;
  times(): readonly number[] | undefined;
  dispose(): void;
}

export const createProgram = (part: Part, variant: VariantManifest, instance: Instance | DeviceInstance): Program => {
  const device = !("buffer" in instance);
  const view = (side: "inputs" | "outputs", i: number, { dtype, shape }: Port): TypedArray => {
    const slot = variant[side][i]!;
    return "buffer" in instance
      ? viewOf(dtype, instance.buffer, instance[slot.region] + slot.offset, elementCount(shape))
      : viewOf(dtype, instance[side][i]!, 0, elementCount(shape));
  };
  const inputs = part.inputs.map((port, i): InputPlace => {
    return { port, view: view("inputs", i, port), held: false, onDevice: device, buffer: undefined };
  });
  const outputs = part.outputs.map((port, i): OutputPlace => {
    const { extents, region } = variant.outputs[i]!;
    return { port, number: i, view: view("outputs", i, port), extents, region, buffer: undefined };
  });
  return {
    inputs: new Map(inputs.map((place) => [place.port.name, place])),
    outputs: new Map(outputs.map((place) => [place.port.name, place])),
    faults: variant.faults,
    steps: variant.steps,
    endless: loops(variant),
    asynchronous: device,
    keeps: device,
    ...("buffer" in instance ? inHost(variant, instance) : onDevice(inputs, instance)),
    dispose: () => instance.dispose(),
  };
};

const loops = ({ steps, schedule }: VariantManifest): boolean => {
  const within = (commands: readonly Command[]): boolean =>
    commands.some((c) => c.kind === "while" || (c.kind === "if" && (within(c.then) || within(c.else))));
  return steps.some(({ kernel }) => kernel === "loop") || within(schedule?.commands ?? []);
};

type Running = Pick<Program, "extent" | "run" | "times">;

const inHost = (variant: VariantManifest, instance: Instance): Running => {
  const words = new Int32Array(instance.buffer, instance.arena, variant.arena >> 2);
  return {
    extent: (at) => (words[at / 4 + 1] === 0 ? words[at / 4]! : -1),
    run: () => instance.run(),
    times: () => undefined,
  };
};

const onDevice = (inputs: readonly InputPlace[], instance: DeviceInstance): Running => ({
  extent: (at) => instance.extent(at),
  async run(wanted, keep) {
    const job = { inputs: inputs.map(({ buffer }) => buffer), outputs: wanted.map(({ number }) => number), keep };
    // The caller's buffers are for this run alone.
    for (const place of inputs) place.buffer = undefined;
    const { fault, buffers } = await instance.run(job);
    for (const [i, place] of wanted.entries()) place.buffer = buffers[i];
    return fault;
  },
  times: () => instance.times(),
});
