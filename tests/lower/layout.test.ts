// Small convolutional networks through layout, templates and the memory plan, against the reference.

import { expect, test } from "vitest";
import { passContext } from "../../compiler/pass.ts";
import { fuse } from "../../compiler/passes/fuse.ts";
import { GraphBuilder, type Value } from "../../ir/graph.ts";
import { interpret } from "../../ir/interpret.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { weightStore } from "../../ir/weights.ts";
import { noise } from "../support/noise.ts";
import { runLowered, SCALAR_TARGET, VECTOR_TARGET } from "../support/run-lowered.ts";

interface Net {
  readonly b: GraphBuilder;
  conv(x: Value, m: number, k: number, options?: { stride?: number; pad?: number; group?: number; zeros?: number; bias?: boolean }): Value;
}

function network(): Net {
  const b = new GraphBuilder(standardOps, weightStore());
  let seed = 1;
  return {
    b,
    conv(x, m, k, { stride = 1, pad = 0, group = 1, zeros = 0.7, bias = true } = {}) {
      const c = x.type.shape[1] as number;
      const w = b.constant(noise([m, c / group, k, k], seed++, zeros));
      const inputs = bias ? [x, w, b.constant(noise([m], seed++))] : [x, w];
      return b.value("conv", inputs, { strides: [stride, stride], pads: [pad, pad, pad, pad], dilations: [1, 1], group });
    },
  };
}

function check(net: Net, input: Value, outputs: Value[]): void {
  const graph = { ops: net.b.ops, name: "net", params: [input], outputs, weights: net.b.weights };
  const x = noise(input.type.shape as number[], 99);
  const want = interpret(graph, [x]);
  const fused = fuse.run(graph, passContext());
  for (const g of [graph, fused]) {
    for (const can of [VECTOR_TARGET, SCALAR_TARGET]) {
      runLowered(g, [x], can).forEach((t, k) => {
        const [a, e] = [t.data as Float32Array, want[k]!.data as Float32Array];
        const worst = a.reduce((m, v, i) => Math.max(m, Math.abs(v - e[i]!)), 0);
        expect(worst, `output ${k}`).toBeLessThan(1e-4);
      });
    }
  }
}

test("residual blocks with padding and stride", () => {
  const net = network();
  const { b } = net;
  const x = b.param("x", "f32", [1, 3, 9, 10]);
  const stem = b.value("relu", [net.conv(x, 8, 3, { pad: 1 })]);
  const inner = net.conv(b.value("relu", [net.conv(stem, 8, 3, { pad: 1 })]), 8, 3, { pad: 1, bias: false });
  const joined = b.value("relu", [b.value("add", [inner, stem])]);
  const down = net.conv(joined, 12, 3, { pad: 1, stride: 2 });
  check(net, x, [down, joined]);
});

test("fire modules: concatenation in place of two convolutions, pooled", () => {
  const net = network();
  const { b } = net;
  const x = b.param("x", "f32", [2, 4, 11, 11]);
  const squeeze = b.value("relu", [net.conv(x, 3, 1)]);
  const left = b.value("relu", [net.conv(squeeze, 5, 1)]);
  const right = b.value("relu", [net.conv(squeeze, 6, 3, { pad: 1 })]);
  const fire = b.value("concat", [left, right], { axis: 1 });
  const pooled = b.value("pool", [fire], {
    op: "max",
    kernel: [3, 3],
    strides: [2, 2],
    pads: [0, 0, 0, 0],
    dilations: [1, 1],
    shape: [5, 5],
    count_include_pad: false,
    p: 2,
  });
  check(net, x, [net.conv(pooled, 4, 3, { pad: 1 }), net.conv(fire, 2, 5, { pad: 2 })]);
});

test("depthwise and grouped convolutions, gates by channel", () => {
  const net = network();
  const { b } = net;
  const x = b.param("x", "f32", [1, 6, 7, 13]);
  const wide = net.conv(x, 12, 1, { zeros: 0 });
  const depth = b.value("sigmoid", [net.conv(wide, 12, 3, { pad: 1, group: 12, zeros: 0 })]);
  const mean = b.value("reduce", [depth], { op: "sum", axes: [2, 3], keepdims: true });
  const gated = b.value("mul", [depth, mean]);
  check(net, x, [net.conv(gated, 6, 3, { pad: 1, group: 2, stride: 2 })]);
});

test("residuals that lie flat: an input, a constant of the result's shape", () => {
  const net = network();
  const { b } = net;
  const x = b.param("x", "f32", [1, 4, 5, 6]);
  const joined = b.value("add", [net.conv(x, 4, 3, { pad: 1 }), x]);
  const table = b.constant(noise([4, 5, 6], 77));
  const shifted = b.value("mul", [net.conv(joined, 4, 3, { pad: 1 }), table]);
  check(net, x, [net.conv(shifted, 3, 1)]);
});
