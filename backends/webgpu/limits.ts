// Limits of a device that a program needs raised, beyond those that every device has.

import type { Command, Device, Placement, Schedule } from "../../compiler/backend.ts";

/** Default of WebGPU's limit of a buffer, bytes. */
const BUFFER = 256 * 2 ** 20;

const bindings = (commands: readonly Command[]): readonly number[] =>
  commands.flatMap((c) => {
    if (c.kind === "dispatch") return c.bind.map((b) => b.bytes);
    return c.kind === "if" ? [...bindings(c.then), ...bindings(c.else)] : bindings(c.body);
  });

const most = (all: readonly number[]): number => all.reduce((a, b) => Math.max(a, b), 0);
/** Bytes of the largest of the buffers that a region is cut into. */
const largest = (cuts: readonly number[], end: number): number => most(cuts.map((cut, i) => (cuts[i + 1] ?? end) - cut));

/** Needs such as `limit:maxBufferSize=300000000`. */
export function limitsOf({ commands, cuts, weightCuts = [0] }: Schedule, { weights, arena }: Placement, device: Device): string[] {
  const binding = most(bindings(commands));
  const buffer = Math.max(largest(cuts, arena), largest(weightCuts, weights));
  return [
    ...(binding > device.binding ? [`limit:maxStorageBufferBindingSize=${binding}`] : []),
    ...(buffer > BUFFER ? [`limit:maxBufferSize=${buffer}`] : []),
  ];
}
