// Submits work in portions that a device is busy with for some milliseconds each, by a rate that it learns.

import { errors } from "../../diagnostics.ts";
import { GROUPS_LIMIT } from "../../schedule.ts";
import type { Dispatch, Resources } from "./resources.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** Milliseconds that a portion should take. Two are under way at most, so that others who need the device, or its CPU, wait no longer. */
const PORTION = 20;
/** Units of cost in a millisecond, until something was measured: what software drivers do. */
const FIRST_RATE = 1e6;
/** By how much one measurement may change the rate: drivers finish compiling in a kernel's first run. */
const CHANGE = 4;
/** Milliseconds; what is shorter is the time of messages, not of work. */
const NOTICEABLE = 1;
export interface Submitter {
  /** The encoder of what comes next, between passes. */
  encoder(): GPUCommandEncoder;
  /** Encodes a dispatch; where it begins a new portion, resolves once there is room for it. */
  dispatch(dispatch: Dispatch): Promise<void> | undefined;
  /**
   * Submits what was encoded, and resolves when there is room for more; with `finished`, which resolves when the work is done, then. Rejects
   * where that does.
   */
  submit(finished?: () => Promise<unknown>): Promise<void>;
  /** Resolves once everything submitted was found valid. Throws `internal`. */
  settle(): Promise<void>;
}

export const createSubmitter = (
  device: GPUDevice,
  model: string,
  kernels: readonly { readonly workgroups: number }[],
  { pipelines, groups }: Pick<Resources, "pipelines" | "groups">,
  stopwatch: Stopwatch | undefined,
): Submitter => {
  let rate = FIRST_RATE;
  let open: GPUCommandEncoder | undefined;
  let pass: GPUComputePassEncoder | undefined;
  let cost = 0;
  /** The portion under way, and since when the device is free but for it. */
  let last: Promise<void> = Promise.resolve();
  let free = 0;
  let checks: Promise<GPUError | null>[] = [];

  const opened = (): GPUCommandEncoder => {
    if (open) return open;
    device.pushErrorScope("validation");
    open = device.createCommandEncoder();
    return open;
  };
  const endPass = (): void => {
    pass?.end();
    pass = undefined;
  };
  /** Resolves when a portion is done, and the rate is learnt from it. */
  const watch = async (spent: number, finished: () => Promise<unknown>): Promise<void> => {
    const from = performance.now();
    await finished();
    const now = performance.now();
    const took = now - Math.max(from, free);
    free = now;
    if (took >= NOTICEABLE && spent) rate = Math.min(rate * CHANGE, Math.max(rate / CHANGE, spent / took));
    else if (spent > (rate * PORTION) / CHANGE) rate *= CHANGE;
  };

  const submit: Submitter["submit"] = async (finished) => {
    if (!open) return;
    endPass();
    stopwatch?.resolve(open);
    device.queue.submit([open.finish()]);
    checks.push(device.popErrorScope());
    open = undefined;
    const [done, earlier] = [watch(cost, finished ?? (() => device.queue.onSubmittedWorkDone())), last];
    cost = 0;
    last = done.catch(() => {});
    if (stopwatch) {
      await done;
      await stopwatch.read();
    }
    await (finished ? done : earlier);
  };
  const encode = ({ kernel, step, cost: own }: Dispatch, group: GPUBindGroup): void => {
    const timed = stopwatch?.next(step);
    // Times are those of passes.
    if (timed) endPass();
    pass ??= opened().beginComputePass(timed ? { timestampWrites: timed } : undefined);
    pass.setPipeline(pipelines[kernel]!);
    pass.setBindGroup(0, group);
    const { workgroups } = kernels[kernel]!;
    pass.dispatchWorkgroups(Math.min(workgroups, GROUPS_LIMIT), Math.ceil(workgroups / GROUPS_LIMIT));
    cost += own;
  };
  return {
    encoder() {
      const encoder = opened();
      endPass();
      return encoder;
    },
    dispatch(dispatch) {
      const group = groups.get(dispatch)!;
      if ((cost === 0 || cost + dispatch.cost <= rate * PORTION) && !stopwatch?.full()) {
        encode(dispatch, group);
        return undefined;
      }
      return submit().then(() => encode(dispatch, group));
    },
    submit,
    async settle() {
      const all = checks;
      checks = [];
      const wrong = (await Promise.all(all)).find((error) => error !== null);
      if (wrong) throw errors.internal(model, wrong.message);
    },
  };
};
