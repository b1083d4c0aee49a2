// What a program has on a device: buffers for its weights and each piece of its arena, pipelines, and a bind group for each dispatch.

import type { Bound, Command, Manifest, Schedule, Slot, VariantManifest } from "../../artifact.ts";
import { ARRAYS } from "../../dtype.ts";
import { cutsOf, pieceOf } from "../../schedule.ts";
import { fillImage } from "../../sections.ts";
import { compile, createLayouts } from "./pipelines.ts";
import { scoped, USAGE, words } from "./scopes.ts";

export type Dispatch = Command & { readonly kind: "dispatch" };

/** Bytes of a buffer. */
export interface Range {
  readonly buffer: GPUBuffer;
  readonly offset: number;
}

/** A piece of a tensor that lies in one buffer: `bytes` of it, after `from` others. */
export interface Piece extends Range {
  readonly from: number;
  readonly bytes: number;
}

export interface Resources {
  readonly pipelines: readonly GPUComputePipeline[];
  readonly groups: ReadonlyMap<Dispatch, GPUBindGroup>;
  readonly fault: GPUBuffer;
  /** Where a byte of a region lies. */
  find(place: Pick<Bound, "region" | "offset">): Range;
  /** Where many bytes lie, one after the other. */
  pieces(place: Pick<Slot, "region" | "offset">, bytes: number): readonly Piece[];
  destroy(): void;
}

/** The host's memory for each port. */
export interface Ports {
  readonly inputs: readonly ArrayBuffer[];
  readonly outputs: readonly ArrayBuffer[];
}

export const createPorts = ({ inputs, outputs }: Manifest): Ports => {
  const memory = ({ dtype, shape }: Manifest["inputs"][number]): ArrayBuffer =>
    new ArrayBuffer(words(shape.reduce((product, n) => product * n, ARRAYS[dtype].BYTES_PER_ELEMENT)));
  return { inputs: inputs.map(memory), outputs: outputs.map(memory) };
};

const dispatches = (commands: readonly Command[]): readonly Dispatch[] =>
  commands.flatMap((c) => {
    if (c.kind === "dispatch") return [c];
    return c.kind === "if" ? [...dispatches(c.then), ...dispatches(c.else)] : dispatches(c.body);
  });

/** Constants among the outputs go to the host's memory. Throws `out-of-memory`, `internal` or `corrupt`. */
export const createResources = async (
  device: GPUDevice,
  manifest: Manifest,
  variant: VariantManifest,
  text: string,
  file: Promise<Uint8Array>,
  ports: Ports,
): Promise<Resources> => {
  const { name } = manifest;
  const schedule = variant.schedule!;
  const buffers: GPUBuffer[] = [];
  const destroy = (): void => {
    for (const buffer of buffers) buffer.destroy();
  };
  const layouts = createLayouts(device);
  // The device compiles while the weights are on their way.
  const compiling = compile(device, name, variant.code, text, schedule.kernels, layouts);
  compiling.catch(() => {});
  try {
    const { weights, mapped, image, arena, fault } = await scoped(device, name, () => createBuffers(device, variant, schedule, buffers));
    if (variant.sections.length) fillImage(image, await file, variant.sections);
    keepConstants(image, variant.outputs, ports);
    const weightCuts = cutsOf(schedule, "weights");
    if (mapped.length > 1) mapped.forEach((memory, i) => memory.set(image.subarray(weightCuts[i], weightCuts[i + 1])));
    for (const buffer of weights) buffer.unmap();
    const find: Resources["find"] = ({ region, offset }) => {
      if (region === "fault") return { buffer: fault, offset };
      const cuts = cutsOf(schedule, region);
      const piece = pieceOf(cuts, offset);
      return { buffer: (region === "weights" ? weights : arena)[piece]!, offset: offset - cuts[piece]! };
    };
    const pieces: Resources["pieces"] = ({ region, offset }, bytes) => {
      const inner = cutsOf(schedule, region).filter((cut) => cut > offset && cut < offset + bytes);
      const bounds = [offset, ...inner, offset + bytes];
      return bounds
        .slice(1)
        .map((to, i) => ({ ...find({ region, offset: bounds[i]! }), from: bounds[i]! - offset, bytes: to - bounds[i]! }));
    };
    const groupOf = ({ kernel, bind }: Dispatch): GPUBindGroup => {
      const entries = bind.map((bound, binding) => ({ binding, resource: { ...find(bound), size: bound.bytes } }));
      return device.createBindGroup({ layout: layouts(schedule.kernels[kernel]!), entries });
    };
    const pipelines = await compiling;
    const groups = await scoped(device, name, () => new Map(dispatches(schedule.commands).map((c) => [c, groupOf(c)])));
    return { pipelines, groups, fault, find, pieces, destroy };
  } catch (thrown) {
    destroy();
    throw thrown;
  }
};

const createBuffers = (device: GPUDevice, variant: VariantManifest, schedule: Schedule, all: GPUBuffer[]) => {
  const create = (label: string, bytes: number, mappedAtCreation = false): GPUBuffer => {
    // Whole i64s, which conditions are read as, and never none.
    const size = Math.ceil(Math.max(bytes, 1) / 16) * 16;
    const buffer = device.createBuffer({ label, size, usage: USAGE.storage | USAGE.copySrc | USAGE.copyDst, mappedAtCreation });
    all.push(buffer);
    return buffer;
  };
  const region = (name: "weights" | "arena"): readonly GPUBuffer[] =>
    cutsOf(schedule, name).map((cut, i, cuts) => create(`${name} from ${cut}`, (cuts[i + 1] ?? variant[name]) - cut, name === "weights"));
  const weights = region("weights");
  const mapped = weights.map((buffer) => new Uint8Array(buffer.getMappedRange()));
  // What is filled goes over the edges of buffers.
  const image = mapped.length === 1 ? mapped[0]!.subarray(0, variant.weights) : new Uint8Array(variant.weights);
  return { weights, mapped, image, arena: region("arena"), fault: create("fault", 4) };
};

const keepConstants = (image: Uint8Array, outputs: readonly Slot[], ports: Ports): void => {
  for (const [i, { region, offset }] of outputs.entries()) {
    const memory = new Uint8Array(ports.outputs[i]!);
    if (region === "weights") memory.set(image.subarray(offset, offset + memory.length));
  }
};
