// Measures the costs of one variant on this machine, through the compiler and the runtime that it is for.

import type { Graph } from "../../../ir/graph.ts";
import type { Executor, Inputs } from "../../../runtime/index.ts";
import type { Backend, Variant } from "../../backend.ts";
import type { Costs } from "../../cost/costs.ts";
import { compileGraph } from "../../index.ts";
import { openSteps } from "../explain/open-steps.ts";
import { DENSITY, depthwise, pointwise, type Sparse, unary, vector } from "./kernels.ts";

const LEAST_RUNS = 20;
/** Long enough for the engine to have optimised the kernel, and to see past others that use the machine. */
const MILLISECONDS = 200;

/** Channels whose weights lie within a second-level cache; and a matrix of weights that does not. */
const CHANNELS = 256;
const [NEAR_INPUTS, NEAR_OUTPUTS] = [512, 256] as const;
const FAR_SIZE = 1024;
const GRIDS = [
  [2, 2],
  [2, 4],
  [4, 4],
  [4, 8],
  [7, 7],
  [14, 14],
] as const;

const single: Sparse = { layout: "csr", block: [1, 1] };
const shared: Sparse = { layout: "bsr-4x1", block: [4, 1] };
const tall = (rows: number): Sparse => (rows === 1 ? { layout: "csc", block: [1, 1] } : { layout: `bsc-${rows}x1`, block: [rows, 1] });
const along: Sparse = { layout: "bsc-1x4", block: [1, 4] };

/** Microseconds of the kernel of a graph of one node: the fastest of many runs, as all else only adds to it. */
export type TimeKernel = (graph: Graph) => Promise<number>;

export const timeKernel =
  (backend: Backend, variant: Variant, executors: readonly Executor[]): TimeKernel =>
  async (graph) => {
    const { artifact, report } = await compileGraph(graph, ["y"], {
      backends: [{ ...backend, variants: [variant] }],
      pipeline: [],
      profile: true,
      report: false,
    });
    const { nodes } = report.variants[0]!;
    // Around it values may be brought from one layout to another.
    const { step } = nodes.reduce((a, b) => (b.flops > a.flops ? b : a));
    const steps = await openSteps(artifact, `${backend.name}:${variant.name}`, executors);
    try {
      const inputs = artifact.manifest.inputs.map((p) => [p.name, new Float32Array(p.shape.reduce((n, d) => n * d, 1)).fill(0.5)]);
      await steps.bind(Object.fromEntries(inputs) as Inputs);
      await steps.run(0, nodes.length + step + 1);
      const fastest = async (from: number, to: number): Promise<number> => {
        let best = Number.POSITIVE_INFINITY;
        const until = performance.now() + MILLISECONDS;
        for (let k = 0; k < LEAST_RUNS || performance.now() < until; k++) {
          const { start, end } = await steps.run(from, to);
          best = Math.min(best, end - start);
        }
        return 1000 * best;
      };
      const nothing = await fastest(0, 0);
      return Math.max(1e-3, (await fastest(step, step + 1)) - nothing);
    } finally {
      steps.dispose();
    }
  };

/** Costs are kept to four digits. */
const rounded = (x: number): number => Number(x.toPrecision(4));
const rate = (flops: number, micros: number): number => rounded(flops / micros / 1000);

/** Runs all measurements of a variant. `stage` is told what begins. */
export async function measureCosts(time: TimeKernel, stage: (what: string) => void): Promise<Costs> {
  stage("products of many columns");
  const columns: { readonly n: number; readonly dense: number; readonly single: number; readonly shared: number }[] = [];
  for (const [h, w] of GRIDS) {
    const dense = await time(pointwise(CHANNELS, h, w));
    const efficiency = async (s: Sparse): Promise<number> => rounded((DENSITY * dense) / (await time(pointwise(CHANNELS, h, w, s))));
    columns.push({ n: h * w, dense, single: await efficiency(single), shared: await efficiency(shared) });
  }
  stage("products of one column");
  const near = await time(vector(NEAR_INPUTS, NEAR_OUTPUTS));
  const far = await time(vector(FAR_SIZE, FAR_SIZE));
  const ratio = async (s: Sparse): Promise<{ readonly near: number; readonly far: number }> => ({
    near: rounded((DENSITY * near) / (await time(vector(NEAR_INPUTS, NEAR_OUTPUTS, s)))),
    far: rounded((DENSITY * far) / (await time(vector(FAR_SIZE, FAR_SIZE, s)))),
  });
  const few: (readonly [number, number, number])[] = [];
  for (const rows of [1, 2, 4, 8, 16]) {
    const r = await ratio(tall(rows));
    few.push([rows, r.near, r.far]);
  }
  stage("other kernels");
  const channels = 128;
  const size = 28;
  const length = 2 ** 16;
  const move = await time(unary("neg", 256, length / 256));
  const moveFar = await time(unary("neg", 2048, 2048));
  const calls = await time(unary("exp", 256, length / 256));
  const turn = await time(unary("transpose", 256, length / 256, { perm: [1, 0] }));
  return {
    dense: [[1, rate(2 * NEAR_INPUTS * NEAR_OUTPUTS, near)], ...columns.map((c) => [c.n, rate(2 * CHANNELS ** 2 * c.n, c.dense)] as const)],
    denseFar: rate(2 * FAR_SIZE ** 2, far),
    single: columns.map((c) => [c.n, c.single] as const),
    shared: columns.map((c) => [c.n, c.shared] as const),
    few,
    along: await ratio(along),
    grouped: rate(2 * 9 * channels * size ** 2, await time(depthwise(channels, size))),
    vectors: rounded((8 * length) / move / 1000),
    elements: rounded((8 * length) / turn / 1000),
    memory: rounded((8 * 2048 ** 2) / moveFar / 1000),
    functions: rounded(Math.max(0.01, (1000 * (calls - move)) / length)),
    start: rounded(await time(unary("neg", 1, 4))),
  };
}
