// Runs a kernel with a grid through the WebGPU backend and its executor, variant by variant.

import { webgpu } from "../../backends/index.ts";
import { createArtifact } from "../../compiler/artifact.ts";
import type { Variant } from "../../compiler/backend.ts";
import { legalize } from "../../compiler/kernel/legalize.ts";
import { advance, callStmt, i32, pointer, variable } from "../../ir/kernel/build.ts";
import { interpret } from "../../ir/kernel/interpret.ts";
import type { Func, Program } from "../../ir/kernel/types.ts";
import type { ArtifactFiles, VariantManifest } from "../../runtime/artifact.ts";
import { type LoadOptions, load } from "../../runtime/index.ts";

/** A program that calls a kernel of two pointers, `x` to read and `y` to write, of so many bytes. */
export interface GridKernel {
  readonly func: Func;
  readonly bytes: readonly [x: number, y: number];
}

const startOf = ({ bytes: [x] }: GridKernel): number => Math.ceil(x / 256) * 256;

export function gridProgram(kernel: GridKernel): Program {
  const arena = variable("arena", "ptr");
  const start = startOf(kernel);
  const params = [pointer("weights", "read", 0), pointer("arena", "readwrite", start + kernel.bytes[1])];
  const body = [callStmt(kernel.func.name, [arena, advance(arena, i32(start))])];
  return { functions: [kernel.func, { name: "main", params, body }], entry: "main", faults: [] };
}

/** An artifact of the kernel in some variants of the backend. */
export async function gridArtifact(kernel: GridKernel, variants: readonly Variant[] = webgpu.variants): Promise<ArtifactFiles> {
  const [x, y] = kernel.bytes;
  const start = startOf(kernel);
  const files = new Map<string, Uint8Array>([["weights.bin", new Uint8Array(0)]]);
  const emitted: VariantManifest[] = [];
  for (const variant of variants) {
    const placement = { weights: 16, arena: start + y, cuts: [0, start], weightCuts: [0], steps: [0] };
    const { code, files: own, schedule, uses = [] } = await webgpu.emit(legalize(gridProgram(kernel), variant.can), variant, placement);
    for (const [name, text] of Object.entries(own)) files.set(name, new TextEncoder().encode(String(text)));
    emitted.push({
      backend: "webgpu",
      name: variant.name,
      needs: [...variant.needs, ...uses],
      code,
      weights: 16,
      arena: start + y,
      sections: [],
      inputs: [{ region: "arena", offset: 0, extents: [x] }],
      outputs: [{ region: "arena", offset: start, extents: [y] }],
      faults: [],
      steps: [{ kernel: kernel.func.name, nodes: [] }],
      schedule: schedule!,
    });
  }
  const ports = { inputs: [{ name: "x", dtype: "u8", shape: [x] }], outputs: [{ name: "y", dtype: "u8", shape: [y] }] } as const;
  return createArtifact({ name: "grid", ...ports, variants: emitted, files });
}

/** The bytes that the kernel writes on a device, and the variant that wrote them. */
export async function runGrid(artifact: ArtifactFiles, x: Uint8Array, options: LoadOptions = { device: "webgpu" }) {
  const model = await load(artifact, options);
  try {
    return { variant: model.info().variant, y: (await model.run({ x }))["y"]!.data as Uint8Array };
  } finally {
    model.dispose();
  }
}

/** The bytes that the kernel means. */
export function meantBy(kernel: GridKernel, x: Uint8Array, lanes = 1): Uint8Array {
  const y = new Uint8Array(kernel.bytes[1]);
  interpret({ functions: [kernel.func], entry: kernel.func.name, faults: [] }, kernel.func.name, [{ bytes: x }, { bytes: y }], { lanes });
  return y;
}
