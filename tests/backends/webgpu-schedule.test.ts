// What a host dispatches: kernels that a device would not tell apart are one, with one pipeline.

import { expect, it } from "vitest";
import { webgpu } from "../../backends/index.ts";
import { add, advance, callStmt, f32, i32, load, mul, pointer, store, team, variable } from "../../ir/kernel/build.ts";
import type { Func } from "../../ir/kernel/types.ts";

const [x, y] = [variable("x", "ptr"), variable("y", "ptr")];

/** `y[rank] = x[rank] + by` by a function besides the kernel, for so many bytes. */
function adding(name: string, { bytes = 256, workgroups = 1, by = 1 } = {}): readonly Func[] {
  const here = mul(team("rank"), i32(4));
  const put: Func = {
    name: name.replace("add", "put"),
    params: [{ name: "value", type: "f32" }, pointer("y", "write", bytes)],
    body: [store("f32", advance(y, here), variable("value", "f32"))],
  };
  return [
    put,
    {
      name,
      params: [pointer("x", "read", bytes), pointer("y", "write", bytes)],
      body: [callStmt(put.name, [add(load("f32", advance(x, here)), f32(by)), y])],
      grid: { workgroups, size: 64, shared: [] },
    },
  ];
}

async function scheduled(...kernels: readonly (readonly Func[])[]) {
  const arena = variable("arena", "ptr");
  const run: Func = {
    name: "run",
    params: [pointer("weights", "read", 0), pointer("arena", "readwrite", 2048)],
    body: kernels.map((k) => callStmt(k.at(-1)!.name, [advance(arena, i32(0)), advance(arena, i32(1024))])),
  };
  const program = { name: "several", entry: "run", functions: [...kernels.flat(), run], faults: [] };
  const placement = { weights: 0, arena: 2048, cuts: [0, 1024], weightCuts: [0], steps: kernels.map(() => 0) };
  const { schedule, files } = await webgpu.emit(program, webgpu.variants[0]!, placement);
  return { schedule: schedule!, text: String(files["model.wgsl"]) };
}

it("what differs in names and sizes that no device is told of is one kernel", async () => {
  const { schedule, text } = await scheduled(adding("add"), adding("add_2", { bytes: 512 }), adding("add_3", { bytes: 1024 }));
  expect(schedule.kernels.map((k) => k.name)).toEqual(["add"]);
  expect(text.match(/^\/\/\/\//gm)).toHaveLength(1);
  expect(schedule.commands).toMatchObject([
    { kernel: 0, bind: [{ bytes: 256 }, { bytes: 256 }] },
    { kernel: 0, bind: [{ bytes: 512 }, { bytes: 512 }] },
    { kernel: 0, bind: [{ bytes: 1024 }, { bytes: 1024 }] },
  ]);
});

it("what differs in its text or in its grid is not", async () => {
  const { schedule } = await scheduled(adding("add"), adding("add_2", { by: 2 }), adding("add_3", { workgroups: 2 }));
  expect(schedule.commands.map((c) => c.kind === "dispatch" && c.kernel)).toEqual([0, 1, 2]);
});
