// Errors of a device, which come late and elsewhere, as errors of ours; and the numbers of its flags, which Node has no names for.

import { errors, SparsecError, said } from "../../diagnostics.ts";

export const USAGE = { mapRead: 1, copySrc: 4, copyDst: 8, storage: 128, queryResolve: 512 } as const;
export const READ = 1;
export const COMPUTE = 4;

/** Bytes that a device can copy: whole words. */
export const words = (bytes: number): number => Math.ceil(bytes / 4) * 4;

/**
 * What `make` makes on a device, which it must do without waiting. Throws `out-of-memory` or `internal` for what the device has against it.
 */
export const scoped = async <T>(device: GPUDevice, model: string, make: () => T): Promise<T> => {
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let made: T | undefined;
  let thrown: unknown;
  try {
    made = make();
  } catch (error) {
    thrown = error;
  }
  const [invalid, memory] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  // A buffer that is made mapped throws a RangeError where there is no memory to map.
  if (memory || thrown instanceof RangeError) throw errors.outOfMemory(model, memory?.message ?? said(thrown));
  if (invalid) throw errors.internal(model, invalid.message);
  if (thrown !== undefined) throw thrown instanceof SparsecError ? thrown : errors.internal(model, said(thrown));
  return made as T;
};
