// Measures dispatches by timestamps that the device writes, each around a pass of its own.

import { READ, USAGE } from "./scopes.ts";

/** Dispatches in a portion: two queries each, of which a set holds 4096. */
const MOST = 2048;

export interface Stopwatch {
  /** Where the pass of the next dispatch, one of `step`, writes its times. */
  next(step: number): GPUComputePassTimestampWrites;
  full(): boolean;
  /** Encodes that the times written come to the host. */
  resolve(encoder: GPUCommandEncoder): void;
  /** Adds up the times, once the device has written them. */
  read(): Promise<void>;
  reset(): void;
  /** Milliseconds of each step since `reset`. */
  readonly times: Float64Array;
  destroy(): void;
}

export const createStopwatch = (device: GPUDevice, steps: number): Stopwatch => {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 * MOST });
  const bytes = 16 * MOST;
  const resolved = device.createBuffer({ size: bytes, usage: USAGE.queryResolve | USAGE.copySrc });
  const staging = device.createBuffer({ size: bytes, usage: USAGE.mapRead | USAGE.copyDst });
  const times = new Float64Array(steps);
  let written: number[] = [];
  return {
    next(step) {
      const at = 2 * written.length;
      written.push(step);
      return { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
    },
    full: () => written.length >= MOST,
    resolve(encoder) {
      if (!written.length) return;
      encoder.resolveQuerySet(querySet, 0, 2 * written.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16 * written.length);
    },
    async read() {
      if (!written.length) return;
      await staging.mapAsync(READ, 0, 16 * written.length);
      const stamps = new BigInt64Array(staging.getMappedRange(0, 16 * written.length));
      for (const [i, step] of written.entries()) times[step]! += Math.max(0, Number(stamps[2 * i + 1]! - stamps[2 * i]!)) / 1e6;
      staging.unmap();
      written = [];
    },
    reset() {
      times.fill(0);
      written = [];
    },
    times,
    destroy() {
      querySet.destroy();
      resolved.destroy();
      staging.destroy();
    },
  };
};
