// A profile in Chrome's trace event format, which Perfetto opens.

import type { VariantReport } from "../../report.ts";
import type { Profile } from "./profile.ts";

/** A slice on a track: `ts` and `dur` in microseconds. */
interface Complete {
  readonly ph: "X";
  readonly name: string;
  readonly cat: string;
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
  readonly args: Readonly<Record<string, unknown>>;
}
interface Metadata {
  readonly ph: "M";
  readonly name: "process_name" | "thread_name";
  readonly pid: number;
  readonly tid: number;
  readonly args: { readonly name: string };
}

export interface Trace {
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, unknown>>;
  readonly traceEvents: readonly (Complete | Metadata)[];
}

const [PID, TID] = [1, 1];

/** The runs of the profile's timeline, each a slice that holds one for each step. */
export function traceOf(model: string, variant: VariantReport, { timeline, steps, whole }: Profile): Trace {
  const origin = timeline[0]?.start ?? 0;
  // To the nanosecond: what is inside a slice must not stick out of it by rounding.
  const micros = (ms: number): number => Math.round(1e6 * (ms - origin)) / 1000;
  const slice = (name: string, cat: string, at: { readonly start: number; readonly end: number }, args: Complete["args"]): Complete => {
    const ts = micros(at.start);
    return { ph: "X", name, cat, ts, dur: Math.round(1000 * (micros(at.end) - ts)) / 1000, pid: PID, tid: TID, args };
  };
  const kernels = (k: number) => variant.nodes.filter((n) => n.step === k);
  const named = (name: Metadata["name"], tid: number, text: string): Metadata => ({ ph: "M", name, pid: PID, tid, args: { name: text } });
  return {
    displayTimeUnit: "ms",
    otherData: { model, variant: `${variant.backend}:${variant.variant}`, medianMs: whole },
    traceEvents: [
      named("process_name", TID, `sparsec ${model}`),
      named("thread_name", TID, `${variant.backend}:${variant.variant}`),
      ...timeline.flatMap((run, i) => [
        slice(`inference ${i + 1}`, "inference", run, {}),
        ...run.steps.map((part, k) => {
          const [first, ...others] = kernels(k);
          if (!first) return slice("data movement", "step", part, { step: k, medianMs: steps[k] });
          const { name, ops, shape, kernel, format, zeros, elements, flops, nonzeroFlops, why } = first;
          const loop = others.length > 0 ? { kernels: [first, ...others].map((n) => n.kernel) } : {};
          const about = {
            step: k,
            ops: ops.join("+"),
            shape,
            kernel,
            format,
            zeros,
            elements,
            flops,
            nonzeroFlops,
            why,
            medianMs: steps[k],
          };
          return slice(name || kernel, "kernel", part, { ...about, ...loop });
        }),
      ]),
    ],
  };
}
