// Limits of a device that a program needs raised, beyond those that every device has.

import type { Command, Placement, Schedule } from "../../compiler/backend.ts";

/** Defaults of WebGPU's limits, bytes. */
const BINDING = 128 * 2 ** 20;
const BUFFER = 256 * 2 ** 20;

const bindings = (commands: readonly Command[]): readonly number[] =>
  commands.flatMap((c) => {
    if (c.kind === "dispatch") return c.bind.map((b) => b.bytes);
    return c.kind === "if" ? [...bindings(c.then), ...bindings(c.else)] : bindings(c.body);
  });

/** Needs such as `limit:maxBufferSize=300000000`. */
export function limitsOf({ commands, cuts }: Schedule, { weights, arena }: Placement): string[] {
  const binding = bindings(commands).reduce((a, b) => Math.max(a, b), 0);
  const buffer = cuts.reduce((most, cut, i) => Math.max(most, (cuts[i + 1] ?? arena) - cut), weights);
  return [
    ...(binding > BINDING ? [`limit:maxStorageBufferBindingSize=${binding}`] : []),
    ...(buffer > BUFFER ? [`limit:maxBufferSize=${buffer}`] : []),
  ];
}
