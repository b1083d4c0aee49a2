// Runs the variants of the webgpu backend: a schedule of compute shaders on a device of our own or of the caller's.

import { errors, SparsecError, said } from "../diagnostics.ts";
import type { Code, DeviceExecutor, DeviceInstance, DeviceJob, DeviceResult } from "../executor.ts";
import { doubt, type Opened, openDevice, unsupported } from "./webgpu/device.ts";
import { createPorts, createResources } from "./webgpu/resources.ts";
import { createRunner, type Runner, stagingOf } from "./webgpu/run.ts";

/** Milliseconds in which a device that was lost says so, after something failed on it. */
const TO_SAY_SO = 200;

/** The text of the shaders. */
const textOf = async ({ module, bytes, url }: Code): Promise<string> => {
  if (typeof module === "string") return module;
  if (module !== undefined) throw errors.badOption("the module of a webgpu variant is the text of its shaders");
  if (bytes) return new TextDecoder().decode(bytes);
  if (!url) throw errors.badOption("a webgpu variant needs its bytes, its URL or its text");
  const response = await fetch(url);
  if (!response.ok) throw errors.unreadable(url.href, `HTTP status ${response.status}`);
  return response.text();
};

/** A program on a device, until that is lost. */
interface Live extends Runner {
  readonly opened: Opened;
  /** Why the device was lost; undefined while it is not known to be. */
  lost: string | undefined;
  readonly whenLost: Promise<void>;
}

const open: DeviceExecutor["open"] = async (code, variant, setting) => {
  const { manifest } = setting;
  if (!variant.schedule) throw new Error("the variant has no schedule");
  const text = await textOf(code);
  const ports = createPorts(manifest);
  const extents = new Map<number, number>();

  const start = async (): Promise<Live> => {
    const opened = await openDevice(variant, setting, stagingOf(variant, ports).size);
    const { device } = opened;
    let live: Live | undefined;
    let lost: string | undefined;
    const whenLost = device.lost.then(({ message, reason }) => {
      lost = message || reason;
      if (live) live.lost = lost;
    });
    try {
      const weights = variant.sections.length ? setting.weights() : Promise.resolve(new Uint8Array());
      weights.catch(() => {});
      const resources = await createResources(device, manifest, variant, text, weights, ports);
      const runner = await createRunner(device, manifest, variant, resources, ports, extents, setting.profile ?? false);
      const destroy = (): void => {
        runner.destroy();
        resources.destroy();
        if (opened.owned) device.destroy();
      };
      // On a lost device everything seems to succeed.
      if (lost !== undefined) throw new Error(lost);
      live = { ...runner, opened, lost, whenLost, destroy };
      return live;
    } catch (thrown) {
      if (lost === undefined && !(thrown instanceof SparsecError)) await soon(whenLost);
      if (opened.owned) device.destroy();
      throw lost === undefined ? thrown : errors.deviceLost(manifest.name, lost);
    }
  };

  let live = await start();
  /** The same on a new device, where the old one is not the caller's. Throws `device-lost`. */
  const again = async (): Promise<Live> => {
    const why = live.lost!;
    if (!live.opened.owned) throw errors.deviceLost(manifest.name, why);
    live.destroy();
    try {
      return await start();
    } catch (thrown) {
      throw errors.deviceLost(manifest.name, `${why}; and no other is to be had: ${said(thrown)}`);
    }
  };
  const attempt = async (job: DeviceJob): Promise<DeviceResult | undefined> => {
    try {
      const result = await live.run(job);
      if (live.lost === undefined) return result;
    } catch (thrown) {
      // What fails on a lost device fails for that.
      if (live.lost === undefined) await soon(live.whenLost);
      if (live.lost === undefined) throw thrown;
    }
    return undefined;
  };
  const instance: DeviceInstance = {
    adapter: live.opened.adapter,
    ...ports,
    extent: (at) => extents.get(at) ?? -1,
    async run(job) {
      if (live.lost !== undefined) live = await again();
      const result = await attempt(job);
      if (result) return result;
      // Once more: the inputs are still there, but for those that were on the device.
      if (job.inputs.some((buffer) => buffer)) throw errors.deviceLost(manifest.name, `${live.lost}; inputs were on it`);
      live = await again();
      const second = await attempt(job);
      if (!second) throw errors.deviceLost(manifest.name, live.lost!);
      return second;
    },
    times: () => live.times(),
    dispose: () => live.destroy(),
  };
  return instance;
};

const soon = (event: Promise<void>): Promise<void> => Promise.race([event, new Promise<void>((resolve) => setTimeout(resolve, TO_SAY_SO))]);

export const webgpuExecutor: DeviceExecutor = { backend: "webgpu", unsupported, doubt, open };
