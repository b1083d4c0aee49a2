// Spares clearing what kernels clear by themselves: zeros behind the rows of a padded buffer all of whose writers store them with the row.

import type { Buffer, Step } from "./step.ts";

function inner(s: Step): readonly Step[] {
  switch (s.kind) {
    case "tiles":
    case "loop":
      return s.body;
    case "if":
      return [...s.then, ...s.else];
    default:
      return [];
  }
}

/** Buffers that some step writes without the zeros behind their rows; copies of whole rows bring theirs along. */
function unpadded(steps: readonly Step[], found: Set<Buffer> = new Set()): ReadonlySet<Buffer> {
  for (const s of steps) {
    if (s.kind === "kernel" && !s.lowered.zeroes) for (const p of s.results) found.add(p.buffer);
    unpadded(inner(s), found);
  }
  return found;
}

/** The same steps, whose margins leave alone what the writers of their buffers clear. */
export function spareMargins(steps: readonly Step[], plain = unpadded(steps)): Step[] {
  return steps.map((s): Step => {
    switch (s.kind) {
      case "margins":
        return plain.has(s.place.buffer) ? s : { ...s, around: true };
      case "tiles":
      case "loop":
        return { ...s, body: spareMargins(s.body, plain) };
      case "if":
        return { ...s, then: spareMargins(s.then, plain), else: spareMargins(s.else, plain) };
      default:
        return s;
    }
  });
}
