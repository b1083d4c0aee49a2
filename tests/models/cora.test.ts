// Cora's graph networks on the real graph: the adjacency matrix as a sparse initializer, and as lists of edges.

import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { type Artifact, compile } from "../../compiler/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { type Inputs, load } from "../../runtime/index.ts";
import { compareModel } from "../support/compare.ts";
import { sharedPath } from "../support/shared.ts";
import { testTensor } from "../support/tensors.ts";
import { webgpuSkipped } from "../support/webgpu.ts";

const data = sharedPath("data", "cora");
const NODES = 2708;
const FEATURES = 1433;
const CLASSES = 7;

const read = (file: string): Uint8Array => new Uint8Array(readFileSync(`${data}/${file}`));
const f32 = (file: string): Float32Array<ArrayBuffer> => new Float32Array(read(file).buffer as ArrayBuffer);
const i32 = (file: string): Int32Array => new Int32Array(read(file).buffer);

/** The bags of words, dense, each divided by its sum as the models were trained: f32 [2708, 1433]. */
function features(): Float32Array<ArrayBuffer> {
  const [pointers, columns, values] = [i32("x_indptr.i32"), i32("x_indices.i32"), f32("x_values.f32")];
  const x = new Float32Array(NODES * FEATURES);
  for (let node = 0; node < NODES; node++) {
    const [begin, end] = [pointers[node]!, pointers[node + 1]!];
    const sum = values.subarray(begin, end).reduce((a, v) => a + v, 0);
    for (let at = begin; at < end; at++) x[node * FEATURES + columns[at]!] = values[at]! / sum;
  }
  return x;
}

/** The share of the test nodes whose class the logits (f32 [2708, 7]) give. */
function accuracy({ data: logits }: Tensor): number {
  const { test } = JSON.parse(readFileSync(`${data}/meta.json`, "utf8")) as { readonly test: readonly number[] };
  const labels = read("labels.u8");
  const right = test.filter((node) => {
    const row = Array.from(logits.slice(node * CLASSES, (node + 1) * CLASSES) as Float32Array);
    return row.indexOf(Math.max(...row)) === labels[node];
  });
  return right.length / test.length;
}

describe.skipIf(data === undefined).each(["gcn-cora-sparseadj", "gcn-cora-edgelist"])("%s", (name) => {
  let artifact: Artifact;
  let inputs: Inputs;
  let expected: Tensor;
  beforeAll(async () => {
    const big = (file: string): BigInt64Array<ArrayBuffer> => BigInt64Array.from(i32(file), BigInt);
    const edges = { src: big("adj_col.i32"), dst: big("adj_row.i32"), edge_weight: f32("adj_norm.f32") };
    const lists = name === "gcn-cora-edgelist";
    inputs = { x: features(), ...(lists ? edges : {}) };
    expected = testTensor("logits", "f32", [NODES, CLASSES], read("gcn_logits_reference.f32"));
    const dims = lists ? { dims: { N: NODES, E: edges.src.length } } : {};
    artifact = await compile(sharedPath("models", `${name}.onnx`)!, { backends: ["wasm", "js", "webgpu"], ...dims });
  }, 60_000);

  it.for(["wasm", "js", "webgpu"])("on %s, with 816 test nodes in 1,000 right", { timeout: 60_000 }, async (device, { skip }) => {
    const why = device === "webgpu" ? webgpuSkipped() : undefined;
    if (why) skip(why);
    using model = await load(artifact, { device });
    const { logits } = await model.run(inputs);
    expect(compareModel(logits!, expected)).toBeUndefined();
    expect(accuracy(logits!)).toBeCloseTo(0.816, 6);
  });

  it("keeps the adjacency's zeros out of the artifact", () => {
    const dense = 4 * NODES * NODES;
    expect(artifact.size).toBeLessThan(dense / 10);
  });

  it("has nothing of N x N on a device", () => {
    const dense = 4 * NODES * NODES;
    const { weights, schedule } = artifact.manifest.variants.find((v) => v.backend === "webgpu")!;
    expect(weights).toBeLessThan(dense / 10);
    // The largest that any kernel sees are the features.
    const bound = schedule!.commands.flatMap((c) => (c.kind === "dispatch" ? c.bind.map((b) => b.bytes) : []));
    expect(Math.max(...bound)).toBeLessThan(4 * NODES * FEATURES + 256);
    const threads = schedule!.kernels.map((k) => 256 * k.workgroups);
    expect(Math.max(...threads)).toBeLessThan(NODES * NODES);
  });
});
