// One inference on a device: brings the inputs, issues the schedule's commands, and brings the outputs and the fault word back at once.

import type { Command, Extent, Manifest, VariantManifest } from "../../artifact.ts";
import type { DeviceJob, DeviceResult } from "../../executor.ts";
import { createConditions } from "./conditions.ts";
import type { Ports, Resources } from "./resources.ts";
import { READ, scoped, USAGE } from "./scopes.ts";
import { createStopwatch } from "./stopwatch.ts";
import { createSubmitter } from "./submit.ts";

/** The fault word before a run: no assert has failed. */
const NO_FAULT = Uint32Array.of(0xffffffff);

export interface Runner {
  run(job: DeviceJob): Promise<DeviceResult>;
  times(): readonly number[] | undefined;
  destroy(): void;
}

/** The buffer by which results come to the host: the fault word, the extents at `places`, the outputs from `starts` on. */
export const stagingOf = ({ outputs }: VariantManifest, ports: Ports) => {
  const places = [...new Set(outputs.flatMap(({ extents }) => extents.filter(isDynamic).map(({ at }) => at)))];
  const starts: number[] = [];
  let size = 8 + 8 * places.length;
  for (const { byteLength } of ports.outputs) {
    starts.push(size);
    size += Math.ceil(byteLength / 8) * 8;
  }
  return { places, starts, size };
};

/** `extents` holds, after a run, the extents of outputs that only it knew, by their places in the arena. */
export const createRunner = async (
  device: GPUDevice,
  manifest: Manifest,
  variant: VariantManifest,
  resources: Resources,
  ports: Ports,
  extents: Map<number, number>,
  profile: boolean,
): Promise<Runner> => {
  const { name } = manifest;
  const { kernels, commands } = variant.schedule!;
  const { find, pieces, fault } = resources;
  const { places, starts, size } = stagingOf(variant, ports);
  const faulty = variant.faults.length > 0;
  const { stopwatch, submitter, conditions, staging } = await scoped(device, name, () => {
    const stopwatch = profile && device.features.has("timestamp-query") ? createStopwatch(device, variant.steps.length) : undefined;
    const submitter = createSubmitter(device, name, kernels, resources, stopwatch);
    const conditions = createConditions(device, commands, find, submitter);
    return { stopwatch, submitter, conditions, staging: device.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyDst }) };
  });

  const issue = async (list: readonly Command[]): Promise<void> => {
    for (const command of list) {
      if (command.kind === "dispatch") {
        const room = submitter.dispatch(command);
        if (room) await room;
      } else if (command.kind === "if") await issue((await conditions.decide(command.cond)) ? command.then : command.else);
      else while (await conditions.decide(command.cond)) await issue(command.body);
    }
  };
  const bring = (inputs: DeviceJob["inputs"]): void => {
    if (faulty) device.queue.writeBuffer(fault, 0, NO_FAULT);
    for (const [i, slot] of variant.inputs.entries()) {
      const [given, memory] = [inputs[i], ports.inputs[i]!];
      for (const { buffer, offset, from, bytes } of pieces(slot, memory.byteLength))
        if (given) submitter.encoder().copyBufferToBuffer(given, from, buffer, offset, bytes);
        else device.queue.writeBuffer(buffer, offset, memory, from, bytes);
    }
  };
  const isConstant = (i: number): boolean => variant.outputs[i]!.region === "weights";
  /** Encodes copies of outputs into buffers of their own. */
  const keepOnDevice = (outputs: readonly number[]): Promise<readonly GPUBuffer[]> => {
    const usage = USAGE.storage | USAGE.copySrc | USAGE.copyDst;
    return scoped(device, name, () =>
      outputs.map((i) => device.createBuffer({ label: manifest.outputs[i]!.name, size: Math.max(4, ports.outputs[i]!.byteLength), usage })),
    );
  };
  const copyOut = (i: number, to: GPUBuffer, at: number): void => {
    for (const { buffer, offset, from, bytes } of pieces(variant.outputs[i]!, ports.outputs[i]!.byteLength))
      submitter.encoder().copyBufferToBuffer(buffer, offset, to, at + from, bytes);
  };

  const readBack = async (outputs: readonly number[]): Promise<number> => {
    const encoder = submitter.encoder();
    if (faulty) encoder.copyBufferToBuffer(fault, 0, staging, 0, 4);
    for (const [k, at] of places.entries()) {
      const { buffer, offset } = find({ region: "arena", offset: at });
      encoder.copyBufferToBuffer(buffer, offset, staging, 8 + 8 * k, 8);
    }
    for (const i of outputs) copyOut(i, staging, starts[i]!);
    await submitter.submit(() => staging.mapAsync(READ));
    const range = staging.getMappedRange();
    const words = new Int32Array(range, 0, 2 + 2 * places.length);
    for (const [k, at] of places.entries()) extents.set(at, words[3 + 2 * k] === 0 ? words[2 + 2 * k]! : -1);
    for (const i of outputs) {
      const memory = new Uint8Array(ports.outputs[i]!);
      memory.set(new Uint8Array(range, starts[i], memory.length));
    }
    const failed = faulty ? words[0]! : -1;
    staging.unmap();
    await submitter.settle();
    return failed;
  };

  return {
    async run({ inputs, outputs, keep }) {
      stopwatch?.reset();
      const buffers = keep ? await keepOnDevice(outputs) : [];
      bring(inputs);
      await issue(commands);
      for (const [k, buffer] of buffers.entries()) copyOut(outputs[k]!, buffer, 0);
      // With nothing to bring back there is nothing to wait for.
      if (keep && !faulty) {
        await submitter.submit();
        await submitter.settle();
        return { fault: -1, buffers };
      }
      const failed = await readBack(keep ? [] : outputs.filter((i) => !isConstant(i)));
      if (failed === -1) return { fault: failed, buffers };
      for (const buffer of buffers) buffer.destroy();
      return { fault: failed, buffers: [] };
    },
    times: () => stopwatch && [...stopwatch.times],
    destroy() {
      stopwatch?.destroy();
      conditions.destroy();
      staging.destroy();
    },
  };
};

const isDynamic = (extent: Extent): extent is Exclude<Extent, number> => typeof extent !== "number";
