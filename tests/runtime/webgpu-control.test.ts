// Conditions and loops of schedules on Dawn: what they hang on is read back before each decision.

import { describe, expect, test } from "vitest";
import type { Bound, Command, Condition } from "../../runtime/artifact.ts";
import { load } from "../../runtime/index.ts";
import { webgpuSkipped } from "../support/webgpu.ts";
import { toySchedule, toyWebGPU } from "./toy-webgpu.ts";

// Doubles y, counts in the extent, and sets the byte behind the flag once it has counted to 5.
const WGSL = `//// begin
@group(0) @binding(0) var<storage, read> x : array<f32>;
@group(0) @binding(1) var<storage, read_write> y : array<f32>;
@group(0) @binding(2) var<storage, read_write> count : array<u32>;
@compute @workgroup_size(1) fn main() { for (var i = 0; i < 3; i++) { y[i] = x[i]; } count[0] = 0; count[1] = 0; }
//// double
@group(0) @binding(0) var<storage, read_write> y : array<f32>;
@group(0) @binding(1) var<storage, read_write> count : array<u32>;
@group(0) @binding(2) var<storage, read_write> more : array<u32>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0; i < 3; i++) { y[i] *= 2; }
  count[0]++;
  more[0] = select(0u, 0x100u, count[0] < 5);
}
//// negate
@group(0) @binding(0) var<storage, read_write> y : array<f32>;
@compute @workgroup_size(1) fn main() { for (var i = 0; i < 3; i++) { y[i] = -y[i]; } }
`;
const arena = (offset: number, bytes: number): Bound => ({ region: "arena", offset, bytes });
const dispatch = (kernel: number, ...bind: readonly Bound[]): Command => ({ kind: "dispatch", kernel, bind, step: 0, cost: 1 });
const [Y, COUNT, FLAGS] = [arena(768, 12), arena(512, 8), arena(256, 4)];
const begin = dispatch(0, arena(0, 16), Y, COUNT);
const double = dispatch(1, Y, COUNT, FLAGS);
const negate = dispatch(2, Y);

const run = async (...commands: readonly Command[]) => {
  const schedule = {
    ...toySchedule,
    kernels: [
      { name: "begin", access: ["read", "readwrite", "readwrite"], workgroups: 1 },
      { name: "double", access: ["readwrite", "readwrite", "readwrite"], workgroups: 1 },
      { name: "negate", access: ["readwrite"], workgroups: 1 },
    ],
    commands,
  } as const;
  using model = await load(toyWebGPU({ schedule }, WGSL));
  const { y } = await model.run({ x: Float32Array.of(1, 2, 3, 4), flag: Uint8Array.of(1) }, { outputs: ["y"] });
  return [...(y!.data as Float32Array)];
};
const less = (a: Bound | number, b: Bound | number): Condition => ({ kind: "less", a, b });
const flag = (flag: Bound | number): Condition => ({ kind: "flag", flag });
const both = (a: Condition, b: Condition): Condition => ({ kind: "both", a, b });
const times = (n: number): readonly number[] => [n, 2 * n, 3 * n];

describe.skipIf(webgpuSkipped() !== undefined)("schedules", () => {
  test("while: as long as a count is less", async () => {
    expect(await run(begin, { kind: "while", cond: less(COUNT, 3), body: [double] })).toEqual(times(8));
    expect(await run(begin, { kind: "while", cond: less(COUNT, -1), body: [double] })).toEqual(times(1));
    expect(await run(begin, { kind: "while", cond: less(3, COUNT), body: [double] })).toEqual(times(1));
  });

  test("while: as long as a flag among others is set", async () => {
    expect(await run(begin, double, { kind: "while", cond: flag(arena(257, 1)), body: [double] })).toEqual(times(32));
    expect(await run(begin, { kind: "while", cond: both(flag(1), less(COUNT, 2)), body: [double] })).toEqual(times(4));
    expect(await run(begin, double, { kind: "while", cond: both(less(COUNT, 9), flag(arena(257, 1))), body: [double] })).toEqual(times(32));
  });

  test("if: one branch or the other, nested", async () => {
    const inner: Command = { kind: "if", cond: less(COUNT, 2), then: [negate], else: [double] };
    expect(await run(begin, { kind: "if", cond: flag(arena(256, 1)), then: [double, inner], else: [negate] })).toEqual(times(-2));
    expect(await run(begin, { kind: "if", cond: flag(0), then: [double], else: [double, double, inner] })).toEqual(times(8));
    expect(await run(begin, { kind: "while", cond: less(COUNT, 3), body: [double, inner] })).toEqual(times(-8));
  });

  test("a schedule of nothing runs", async () => {
    expect(await run()).toEqual([0, 0, 0]);
  });
});
