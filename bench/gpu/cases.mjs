// What bench/gpu runs: single kernels with the arithmetic and the bytes that they take, layers pruned in many ways, whole networks.

import { bertBase, bertFeeds } from "../networks/bert.mjs";
import { createGraph } from "../networks/graph.mjs";
import { mobileNetV2, resNet50 } from "../networks/vision.mjs";

const finished = (g, x, y) => ({ bytes: g.finish({ y }), shapes: { x: x.shape } });

function matmul(t, k, m, how = {}) {
  const g = createGraph(how);
  const x = g.input("x", [t, k]);
  return { ...finished(g, x, g.linear(x, m, { biased: false })), flops: 2 * t * k * m, bytes_moved: 4 * (t * k + k * m + t * m) };
}
function conv(c, m, size, kernel, how = {}) {
  const g = createGraph(how);
  const x = g.input("x", [1, c, size, size]);
  const y = g.conv(x, m, { kernel, biased: false });
  const pixels = size * size;
  return {
    ...finished(g, x, y),
    flops: 2 * pixels * c * m * kernel * kernel,
    bytes_moved: 4 * (pixels * (c + m) + c * m * kernel * kernel),
  };
}
function depthwise(c, size) {
  const g = createGraph();
  const x = g.input("x", [1, c, size, size]);
  const y = g.conv(x, c, { kernel: 3, groups: c, biased: false });
  return { ...finished(g, x, y), flops: 18 * c * size * size, bytes_moved: 8 * c * size * size };
}
function rows(op, t, d, attributes) {
  const g = createGraph();
  const x = g.input("x", [t, d]);
  return { ...finished(g, x, g.node(op, [x], x.shape, attributes)), flops: 5 * t * d, bytes_moved: 8 * t * d };
}
function elementwise(n) {
  const g = createGraph();
  const x = g.input("x", [n]);
  return { ...finished(g, x, g.node("Relu", [x], x.shape)), flops: n, bytes_moved: 8 * n };
}

/** Each { name, bytes, shapes, flops, bytes_moved } of one node. */
export function kernels(small) {
  const [t, size] = small ? [128, 28] : [2048, 56];
  return [
    ...[...new Set([256, small ? 256 : 1024, small ? 256 : 4096])].map((d) => ({ name: `matmul ${t}x${d}x${d}`, ...matmul(t, d, d) })),
    { name: "matvec 1x2048x2048", ...matmul(1, 2048, 2048) },
    { name: `conv 1x1 128->256 at ${size}`, ...conv(128, 256, size, 1) },
    { name: `conv 3x3 64->64 at ${size}`, ...conv(64, 64, size, 3) },
    { name: `depthwise 3x3 of 256 at ${size}`, ...depthwise(256, size) },
    { name: `softmax ${t}x1024`, ...rows("Softmax", t, 1024, { axis: { int: -1 } }) },
    { name: `relu of ${small ? 2 ** 20 : 2 ** 25}`, ...elementwise(small ? 2 ** 20 : 2 ** 25) },
  ];
}

/** Each { name, dense, pruned: [{ zeros, block, problem }] }. */
export function sparse(small) {
  const layers = small
    ? [
        ["linear 256->256, 64 tokens", (how) => matmul(64, 256, 256, how)],
        ["conv 1x1 128->128 at 14", (how) => conv(128, 128, 14, 1, how)],
      ]
    : [
        ["linear 1024->1024, 512 tokens", (how) => matmul(512, 1024, 1024, how)],
        ["linear 4096->1024, 1 token", (how) => matmul(1, 4096, 1024, how)],
        ["conv 1x1 256->256 at 28", (how) => conv(256, 256, 28, 1, how)],
        ["conv 3x3 128->128 at 28", (how) => conv(128, 128, 28, 3, how)],
      ];
  const blocks = [
    [1, 1],
    [1, 4],
    [4, 4],
    [8, 8],
    [16, 16],
  ];
  const shares = small ? [0.9] : [0.5, 0.7, 0.8, 0.9, 0.95, 0.98];
  return layers.map(([name, layer]) => ({
    name,
    dense: layer({}),
    pruned: blocks.flatMap((block) => shares.map((zeros) => ({ zeros, block, problem: layer({ zeros, block }) }))),
  }));
}

/** Each { name, bytes, shapes or feeds }. */
export function networks(small) {
  const image = { x: [1, 3, 224, 224] };
  const both = (name, make, inputs) =>
    [0, 0.9].map((zeros) => ({ name: `${name}, ${100 * zeros} % zeros`, bytes: make({ zeros }), ...inputs }));
  const mobile = both("mobilenet-v2", mobileNetV2, { shapes: image });
  if (small) return mobile;
  return [
    ...mobile,
    ...both("resnet-50", resNet50, { shapes: image }),
    ...both("bert-base, 128 tokens", bertBase, { feeds: bertFeeds({ batch: 1, tokens: 128 })[0] }),
  ];
}
