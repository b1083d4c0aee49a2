// Values that are another value's elements in another order or shape: where strides can say so, they need no memory of their own.

import type { Node } from "../../ir/graph.ts";
import { isStatic } from "../../ir/types.ts";
import type { Storage } from "./storage.ts";

interface Run {
  readonly extent: number;
  readonly stride: number;
}

/** Axes longer than 1, outermost first, those that follow each other at one distance as one. */
function runsOf(s: Storage): Run[] {
  const runs: Run[] = [];
  s.shape.forEach((extent, axis) => {
    if (extent === 1) return;
    const stride = s.strides[axis]!;
    const before = runs.at(-1);
    if (before && before.stride === stride * extent) runs[runs.length - 1] = { extent: before.extent * extent, stride };
    else runs.push({ extent, stride });
  });
  return runs;
}

/** The elements of a storage in row-major order as `shape`, or undefined where they have no common distances. */
export function reshaped(s: Storage, shape: readonly number[]): Storage | undefined {
  if (shape.some((d) => d === 0)) return undefined;
  const runs = runsOf(s);
  const strides: number[] = [];
  let run = runs.pop();
  let [left, step] = run ? [run.extent, run.stride] : [1, s.strides.at(-1) ?? 0];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = shape[axis]!;
    if (left === 1 && n > 1) {
      run = runs.pop();
      if (!run) return undefined;
      [left, step] = [run.extent, run.stride];
    }
    if (left % n !== 0) return undefined;
    strides.unshift(step);
    left /= n;
    step *= n;
  }
  return { ...s, shape, strides, zeroed: false };
}

/** Axis k of the result is axis perm[k] of the storage. */
export const transposed = (s: Storage, perm: readonly number[]): Storage => ({
  ...s,
  shape: perm.map((p) => s.shape[p]!),
  strides: perm.map((p) => s.strides[p]!),
  zeroed: false,
});

function sliced(s: Storage, starts: readonly number[], steps: readonly number[], shape: readonly number[]): Storage | undefined {
  if (steps.some((step, axis) => step < 1 && shape[axis]! > 1) || shape.some((d) => d === 0)) return undefined;
  const offset = starts.reduce((sum, start, axis) => sum + start * s.strides[axis]!, s.offset);
  return { ...s, shape, strides: s.strides.map((stride, axis) => stride * Math.max(1, steps[axis]!)), offset, zeroed: false };
}

const ints = (n: Node, name: string): readonly number[] => n.attrs[name] as readonly number[];

/** Whether a node's result may be a view of its operand. */
export const isView = (n: Node): boolean =>
  (n.op === "reshape" || n.op === "transpose" || n.op === "slice") && isStatic(n.inputs[0]!.type) && isStatic(n.results[0]!.type);

/** The storage of a view's result in its operand's buffer, or undefined where it must be copied. */
export function viewOf(n: Node, operand: Storage): Storage | undefined {
  const shape = n.results[0]!.type.shape as readonly number[];
  if (n.op === "reshape") return reshaped(operand, shape);
  if (n.op === "transpose") return transposed(operand, ints(n, "perm"));
  return sliced(operand, ints(n, "starts"), ints(n, "steps"), shape);
}

/** The storage of a view's operand that makes its result lie in `result`, or undefined where there is none. */
export function operandOf(n: Node, result: Storage): Storage | undefined {
  const shape = n.inputs[0]!.type.shape as readonly number[];
  if (n.op === "reshape") return reshaped(result, shape);
  if (n.op !== "transpose") return undefined;
  const perm = ints(n, "perm");
  return transposed(
    result,
    perm.map((_, axis) => perm.indexOf(axis)),
  );
}
