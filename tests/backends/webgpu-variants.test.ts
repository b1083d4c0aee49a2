// Variants of the WebGPU backend: what a device has besides the least is used where a program can, and needed by no other program.

import { describe, expect, it } from "vitest";
import { webgpu } from "../../backends/index.ts";
import * as k from "../../ir/kernel/build.ts";
import type { Expr } from "../../ir/kernel/types.ts";
import type { ArtifactFiles } from "../../runtime/artifact.ts";
import { nagaProblems, nagaSkipped } from "../support/naga.ts";
import { type GridKernel, gridArtifact, meantBy, runGrid } from "../support/run-grid.ts";
import { nullDevice, webgpuSkipped, wgslProblem } from "../support/webgpu.ts";

const skipped = webgpuSkipped() !== undefined;
const element = (name: string, index: Expr, bytes = 4): Expr => k.advance(k.variable(name, "ptr"), k.mul(index, k.i32(bytes)));

/** The modules of a variant. */
const textOf = ({ manifest, files }: ArtifactFiles, variant: string): string =>
  new TextDecoder().decode(files.get(manifest.variants.find(({ name }) => name === variant)!.code));

const needsOf = ({ manifest }: ArtifactFiles): Readonly<Record<string, readonly string[]>> =>
  Object.fromEntries(manifest.variants.map(({ name, needs }) => [name, needs]));

const random = (bytes: number): Uint8Array => {
  let state = 1;
  return Uint8Array.from({ length: bytes }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
};

/** Both variants on the device, against the interpreter; and their text, to two front ends. */
async function check(kernel: GridKernel, x: Uint8Array, naga: boolean): Promise<void> {
  const artifact = await gridArtifact(kernel);
  for (const { name } of webgpu.variants) {
    const { variant, y } = await runGrid(artifact, x, { device: `webgpu:${name}` });
    expect(variant).toBe(name);
    expect(y).toEqual(meantBy(kernel, x));
  }
  const device = await nullDevice();
  const texts = webgpu.variants.map(({ name }) => textOf(artifact, name));
  for (const text of texts) expect(await wgslProblem(device, text)).toBeUndefined();
  device.destroy();
  if (nagaSkipped() === undefined) expect((await nagaProblems(texts)).map((problem) => problem === null)).toEqual([naga, true]);
}

describe("products of packed bytes", () => {
  const threads = 64;
  const words = 16 * threads;
  const bytes = [4 * words, 4 * words] as const;
  const at = k.variable("at");
  const kernel: GridKernel = {
    bytes,
    func: {
      name: "dots",
      params: [k.pointer("x", "read", bytes[0]), k.pointer("y", "write", bytes[1])],
      grid: { workgroups: words / threads, size: threads, shared: [] },
      body: [
        k.let_("at", k.add(k.mul(k.team("group"), k.i32(threads)), k.team("rank"))),
        k.let_("other", k.sub(k.i32(words - 1), at)),
        k.store("i32", element("y", at), k.dot4(k.load("i32", element("x", at)), k.load("i32", element("x", k.variable("other"))))),
      ],
    },
  };

  it("are one instruction of WGSL where the language has it", async () => {
    const artifact = await gridArtifact(kernel);
    expect(needsOf(artifact)).toEqual({ full: ["webgpu", "packed_4x8_integer_dot_product"], base: ["webgpu"] });
    expect(textOf(artifact, "full")).toMatch(/requires packed_4x8_integer_dot_product;\n(.|\n)*dot4I8Packed\(/);
    expect(textOf(artifact, "base")).not.toMatch(/requires|dot4I8Packed/);
  });

  it.skipIf(skipped)("are the same on a device, in each variant", async () => {
    const x = random(4 * words);
    new Int32Array(x.buffer).set([0x80808080 | 0, 0x7f7f7f7f, 0x807f807f | 0, -1]);
    new Int32Array(x.buffer).set([0x80808080 | 0, 0x80808080 | 0, 0x7f80ff01, 0x01020304], words - 4);
    await check(kernel, x, true);
  });
});
