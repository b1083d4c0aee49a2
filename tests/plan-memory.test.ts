// The memory plan: what is needed at the same time never shares bytes, what is not does, and loops keep what they share with the outside.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { Buffer, LoweredGraph, Place, Step } from "../compiler/lower/step.ts";
import { flat } from "../compiler/lower/storage.ts";
import { planMemory } from "../compiler/plan-memory.ts";
import type { Node, Value } from "../ir/graph.ts";

const node = { op: "relu", inputs: [], attrs: {}, results: [], locs: [] } satisfies Node;
const type = { dtype: "f32", shape: [4] } as const;
const value = { node, index: 0, type } satisfies Value;
const buffer = (bytes: number, extra: Partial<Buffer> = {}): Buffer => ({ bytes, hint: "test", ...extra });
const place = (b: Buffer): Place => ({ buffer: b, storage: { ...flat(type), bytes: b.bytes } });

/** A kernel that reads some buffers and writes one. */
const kernel = (reads: readonly Buffer[], writes: Buffer, overwrites: readonly number[] = [], scratch = 0): Step => ({
  kind: "kernel",
  node,
  lowered: {
    kernel: "k",
    functions: [],
    entry: "k",
    bindings: [
      ...reads.map((_, operand) => ({ kind: "operand", operand }) as const),
      { kind: "result", result: 0 },
      ...(scratch > 0 ? [{ kind: "scratch", bytes: scratch } as const] : []),
    ],
    faults: [],
    why: "",
    overwrites,
  },
  operands: reads.map(place),
  results: [place(writes)],
});

const graphOf = (steps: readonly Step[], inputs: readonly Buffer[], outputs: readonly Buffer[]): LoweredGraph => ({
  steps,
  inputs: inputs.map((b) => ({ value, place: place(b) })),
  outputs: outputs.map((b) => ({ value, place: place(b) })),
  counts: new Map(),
});

const apart = (plan: ReturnType<typeof planMemory>, a: Buffer, b: Buffer): boolean => {
  const [x, y] = [plan.offsets.get(a)!, plan.offsets.get(b)!];
  return x + a.bytes <= y || y + b.bytes <= x;
};

test("a chain reuses two buffers; its input keeps its values for the next run", () => {
  const chain = Array.from({ length: 6 }, () => buffer(1024));
  const steps = chain.slice(1).map((b, i) => kernel([chain[i]!], b));
  const plan = planMemory(graphOf(steps, [chain[0]!], [chain[5]!]));
  expect(plan.bytes).toBe(3072);
  for (const b of chain.slice(1)) expect(apart(plan, chain[0]!, b)).toBe(true);
});

test("an operand that dies gives its bytes to the result, unless a host reads it", () => {
  const [x, a, b] = [buffer(1024, { pinned: true }), buffer(1024), buffer(1024)];
  const plan = planMemory(graphOf([kernel([x], a, [0]), kernel([a], b, [0])], [x], [b]));
  expect(plan.offsets.get(b)).toBe(plan.offsets.get(a));
  expect(apart(plan, x, a)).toBe(true);
});

test("an operand that is read again keeps its bytes", () => {
  const [x, a, b, c] = [buffer(64), buffer(64), buffer(64), buffer(64)];
  const plan = planMemory(graphOf([kernel([x], a), kernel([a], b, [0]), kernel([a, b], c)], [x], [c]));
  expect(apart(plan, a, b)).toBe(true);
});

test("what enters a loop lives until its end; what stays inside may share", () => {
  const [x, trips, cond, count, s, t, u, out] = Array.from({ length: 8 }, () => buffer(64)) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  const body = [kernel([x], s), kernel([s], t), kernel([t], u)];
  const loop: Step = { kind: "loop", node, trips: place(trips), cond: place(cond), count: place(count), body };
  const plan = planMemory(graphOf([loop, kernel([count], out)], [x, trips, cond], [out]));
  // x is read by the first step of the body only, but in every round.
  for (const b of [s, t, u]) expect(apart(plan, x, b)).toBe(true);
  for (const b of [trips, cond, count]) expect(apart(plan, b, t)).toBe(true);
  expect(plan.offsets.get(u)).toBe(plan.offsets.get(s));
});

test("scratch belongs to its step", () => {
  const [x, y, z] = [buffer(64), buffer(64), buffer(64)];
  const steps = [kernel([x], y, [], 4096), kernel([y], z, [], 4096)];
  const plan = planMemory(graphOf(steps, [x], [z]));
  const scratch = steps.map((s) => plan.scratch.get(s)!.get(2)!.buffer);
  expect(plan.offsets.get(scratch[0]!)).toBe(plan.offsets.get(scratch[1]!));
  for (const b of [x, y]) expect(apart(plan, b, scratch[0]!)).toBe(true);
  expect(plan.bytes).toBeLessThan(4096 + 4 * 64 + 64);
});

test("random programs: buffers that live at once are apart, aligned and inside", () => {
  const program = fc.array(
    fc.record({ bytes: fc.integer({ min: 1, max: 5000 }), reads: fc.array(fc.nat(30), { minLength: 1, maxLength: 3 }) }),
    { minLength: 1, maxLength: 25 },
  );
  fc.assert(
    fc.property(program, (kernels) => {
      const buffers = [buffer(100, { pinned: true })];
      const steps = kernels.map(({ bytes, reads }) => {
        const from = [...new Set(reads.map((r) => buffers[r % buffers.length]!))];
        buffers.push(buffer(bytes));
        return kernel(from, buffers.at(-1)!);
      });
      const plan = planMemory(graphOf(steps, [buffers[0]!], [buffers.at(-1)!]));
      const born = (b: Buffer): number => buffers.indexOf(b) - 1;
      const dies = (b: Buffer): number =>
        b === buffers.at(-1)
          ? steps.length
          : Math.max(born(b), ...steps.map((s, i) => (s.kind === "kernel" && s.operands.some((p) => p.buffer === b) ? i : -1)));
      for (const a of buffers) {
        const at = plan.offsets.get(a)!;
        expect(at % 64).toBe(0);
        expect(at + a.bytes).toBeLessThanOrEqual(plan.bytes);
        for (const b of buffers) if (a !== b && born(a) <= dies(b) && born(b) <= dies(a)) expect(apart(plan, a, b)).toBe(true);
      }
    }),
    { numRuns: 200, seed: 1 },
  );
});
