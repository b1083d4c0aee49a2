// A small artifact made by hand, with its executor: a sparse matrix times x, the places of x's non-zeros, and a constant.
//
// weights.bin: 0 values f32[5] | 32 columns u16[5] | 48 row lengths u16[3] | 64 constant f32[2]
// image:       0 values f32[5] | 32 byte offsets u32[5] | 64 row lengths u16[3] | 80 constant f32[2]
// arena:       0 x f32[4] | 16 flag bool | 24 extent of nz i64 | 32 y f32[3] | 48 nz i64[2, <= 4] | 112 end

import { createHash } from "node:crypto";
import { type Artifact, createArtifact } from "../../compiler/artifact.ts";
import type { Manifest, VariantManifest } from "../../runtime/artifact.ts";
import { aligned, type HostExecutor, RESERVED } from "../../runtime/executor.ts";

export const VALUES = [1, 2, -3, 0.5, 4];
export const COLUMNS = [0, 3, 1, 2, 3];
export const COUNTS = [2, 0, 3];

export const toyWeights = (): Uint8Array => {
  const bytes = new Uint8Array(72);
  bytes.set(new Uint8Array(Float32Array.from(VALUES).buffer), 0);
  bytes.set(new Uint8Array(Uint16Array.from(COLUMNS).buffer), 32);
  bytes.set(new Uint8Array(Uint16Array.from(COUNTS).buffer), 48);
  bytes.set(new Uint8Array(Float32Array.from([7, -8]).buffer), 64);
  return bytes;
};

export const toyVariant: VariantManifest = {
  backend: "toy",
  name: "plain",
  needs: [],
  code: "toy.txt",
  weights: 88,
  arena: 112,
  sections: [
    { kind: "copy", at: 0, from: 0, bytes: 20 },
    {
      kind: "indices",
      at: 32,
      from: 32,
      count: 5,
      stored: "u16",
      expanded: "u32",
      bound: 4,
      radix: [
        [2, 8],
        [2, 4],
      ],
    },
    { kind: "counts", at: 64, from: 48, count: 3, stored: "u16", expanded: "u16", total: 5 },
    { kind: "copy", at: 80, from: 64, bytes: 8 },
  ],
  inputs: [
    { region: "arena", offset: 0, extents: [4] },
    { region: "arena", offset: 16, extents: [] },
  ],
  outputs: [
    { region: "arena", offset: 32, extents: [3] },
    { region: "arena", offset: 48, extents: [2, { max: 4, at: 24 }] },
    { region: "weights", offset: 80, extents: [2] },
  ],
  faults: ["the flag was set"],
  steps: [{ kernel: "toy", nodes: ["node"] }],
};

export const toyPorts = {
  inputs: [
    { name: "x", dtype: "f32", shape: [4] },
    { name: "flag", dtype: "bool", shape: [] },
  ],
  outputs: [
    { name: "y", dtype: "f32", shape: [3] },
    { name: "nz", dtype: "i64", shape: [2, 4] },
    { name: "__proto__", dtype: "f32", shape: [2] },
  ],
} as const satisfies Pick<Manifest, "inputs" | "outputs">;

export const toyArtifact = (
  variants: readonly VariantManifest[] = [toyVariant],
  files: ReadonlyMap<string, Uint8Array> = new Map(),
): Artifact =>
  createArtifact({
    name: "toy",
    ...toyPorts,
    variants,
    files: new Map([["toy.txt", new TextEncoder().encode("toy")], ["weights.bin", toyWeights()], ...files]),
  });

/** An artifact with another manifest or other files, its hashes as they should be. */
export const forged = (
  manifest: unknown,
  files: ReadonlyMap<string, Uint8Array>,
): { manifest: unknown; files: ReadonlyMap<string, Uint8Array> } => {
  const listed = (manifest as { files?: unknown } | null)?.files;
  if (typeof listed === "object" && listed !== null)
    for (const [name, entry] of Object.entries(listed)) {
      const bytes = files.get(name);
      if (bytes && typeof entry === "object" && entry !== null) {
        entry.sha256 = createHash("sha256").update(bytes).digest("hex");
        entry.bytes = bytes.length;
      }
    }
  return { manifest, files };
};

/** Runs the toy's program, in a way of the test's choosing. Every access is checked against the memory by DataView. */
export const toyExecutor = (
  answer: (compute: () => number) => number | Promise<number> = (compute) => compute(),
): HostExecutor & { readonly alive: () => number } => {
  let alive = 0;
  return {
    backend: "toy",
    alive: () => alive,
    unsupported: (variant) => (variant.needs.length ? `it needs ${variant.needs.join(", ")}` : undefined),
    instantiate: async (code, variant) => {
      if (new TextDecoder().decode(code.bytes) !== "toy") throw new Error("this is no toy");
      const weights = RESERVED;
      const arena = weights + aligned(variant.weights);
      const buffer = new ArrayBuffer(arena + aligned(variant.arena));
      const memory = new DataView(buffer);
      const work = (): number => compute(memory, weights, arena);
      alive++;
      return { buffer, weights, arena, run: () => answer(work), dispose: () => void alive-- };
    },
  };
};

const compute = (memory: DataView, weights: number, arena: number): number => {
  if (memory.getUint8(arena + 16)) return 0;
  let next = 0;
  for (let row = 0; row < 3; row++) {
    let sum = 0;
    for (let n = memory.getUint16(weights + 64 + row * 2, true); n > 0; n--, next++)
      sum += memory.getFloat32(weights + next * 4, true) * memory.getFloat32(arena + memory.getUint32(weights + 32 + next * 4, true), true);
    memory.setFloat32(arena + 32 + row * 4, sum, true);
  }
  let found = 0n;
  for (let i = 0; i < 4; i++) {
    if (!memory.getFloat32(arena + i * 4, true)) continue;
    memory.setBigInt64(arena + 48 + Number(found) * 8, BigInt(i), true);
    memory.setBigInt64(arena + 80 + Number(found) * 8, BigInt(i * i), true);
    found++;
  }
  memory.setBigInt64(arena + 24, found, true);
  return -1;
};
