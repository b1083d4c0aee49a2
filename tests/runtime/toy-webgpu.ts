// The toy's program for devices, in WGSL by hand: three kernels, one of which asserts that the flag is not set.
//
// image: 0 values f32[5] | 256 byte offsets u32[5] | 512 row lengths u32[3] | 768 constant f32[2]
// arena: 0 x f32[4] | 256 flag bool | 512 extent of nz i64 | 768 y f32[3] | 1024 nz i64[2, <= 4]

import { type Artifact, createArtifact } from "../../compiler/artifact.ts";
import type { Bound, Schedule, VariantManifest } from "../../runtime/artifact.ts";
import { toyPorts, toyVariant, toyWeights } from "./toy.ts";

export const TOY_WGSL = `//// product
@group(0) @binding(0) var<storage, read> values : array<f32>;
@group(0) @binding(1) var<storage, read> places : array<u32>;
@group(0) @binding(2) var<storage, read> counts : array<u32>;
@group(0) @binding(3) var<storage, read> x : array<f32>;
@group(0) @binding(4) var<storage, read_write> y : array<f32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) id : vec3u) {
  var next = 0u;
  for (var row = 0u; row < id.x; row++) { next += counts[row]; }
  var sum = 0.0;
  for (var n = 0u; n < min(counts[id.x], 5u); n++) { sum += values[next + n] * x[places[next + n] / 4]; }
  y[id.x] = sum;
}
//// check
@group(0) @binding(0) var<storage, read> flag : array<u32>;
@group(0) @binding(1) var<storage, read_write> fault : atomic<u32>;
@compute @workgroup_size(1) fn main() {
  if ((flag[0] & 0xff) != 0) { atomicMin(&fault, 0); }
}
//// nonzero
@group(0) @binding(0) var<storage, read> x : array<f32>;
@group(0) @binding(1) var<storage, read_write> extent : array<u32>;
@group(0) @binding(2) var<storage, read_write> nz : array<u32>;
@compute @workgroup_size(1) fn main() {
  var found = 0u;
  for (var i = 0u; i < 4; i++) {
    if (x[i] == 0) { continue; }
    nz[2 * found] = i;
    nz[2 * found + 1] = 0;
    nz[2 * found + 8] = i * i;
    nz[2 * found + 9] = 0;
    found++;
  }
  extent[0] = found;
  extent[1] = 0;
}
`;

const arena = (offset: number, bytes: number): Bound => ({ region: "arena", offset, bytes });
const weights = (offset: number, bytes: number): Bound => ({ region: "weights", offset, bytes });
const FAULT: Bound = { region: "fault", offset: 0, bytes: 4 };

export const toySchedule: Schedule = {
  cuts: [0, 256, 512, 768, 1024],
  kernels: [
    { name: "product", access: ["read", "read", "read", "read", "readwrite"], workgroups: 3 },
    { name: "check", access: ["read", "readwrite"], workgroups: 1 },
    { name: "nonzero", access: ["read", "readwrite", "readwrite"], workgroups: 1 },
  ],
  commands: [
    { kind: "dispatch", kernel: 1, bind: [arena(256, 4), FAULT], step: 0, cost: 1 },
    {
      kind: "dispatch",
      kernel: 0,
      bind: [weights(0, 20), weights(256, 20), weights(512, 12), arena(0, 16), arena(768, 12)],
      step: 1,
      cost: 10,
    },
    { kind: "dispatch", kernel: 2, bind: [arena(0, 16), arena(512, 8), arena(1024, 64)], step: 2, cost: 8 },
  ],
};

export const toyWebGPUVariant: VariantManifest = {
  ...toyVariant,
  backend: "webgpu",
  needs: ["webgpu"],
  code: "model.wgsl",
  weights: 776,
  arena: 1088,
  sections: [
    { kind: "copy", at: 0, from: 0, bytes: 20 },
    { kind: "indices", at: 256, from: 32, count: 5, stored: "u16", expanded: "u32", bound: 4, radix: [[4, 4]] },
    { kind: "counts", at: 512, from: 48, count: 3, stored: "u16", expanded: "u32", total: 5 },
    { kind: "copy", at: 768, from: 64, bytes: 8 },
  ],
  inputs: [
    { region: "arena", offset: 0, extents: [4] },
    { region: "arena", offset: 256, extents: [] },
  ],
  outputs: [
    { region: "arena", offset: 768, extents: [3] },
    { region: "arena", offset: 1024, extents: [2, { max: 4, at: 512 }] },
    { region: "weights", offset: 768, extents: [2] },
  ],
  steps: [
    { kernel: "check", nodes: [] },
    { kernel: "product", nodes: ["node"] },
    { kernel: "nonzero", nodes: ["other"] },
  ],
  schedule: toySchedule,
};

/** The toy for devices: with variants besides, or a schedule, code or needs of the test's own. */
export const toyWebGPU = (
  change: Partial<VariantManifest> = {},
  wgsl = TOY_WGSL,
  others: readonly VariantManifest[] = [],
  files: ReadonlyMap<string, Uint8Array> = new Map(),
): Artifact =>
  createArtifact({
    name: "toy",
    ...toyPorts,
    variants: [{ ...toyWebGPUVariant, ...change }, ...others],
    files: new Map([["model.wgsl", new TextEncoder().encode(wgsl)], ["weights.bin", toyWeights()], ...files]),
  });
