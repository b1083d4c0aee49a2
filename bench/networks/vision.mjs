// AlexNet, ResNet-50 and the MobileNets, as torchvision has them (MobileNetV1 as published), for images of 224 x 224.

import { createGraph } from "./graph.mjs";

const image = (g, batch) => g.input("x", [batch, 3, 224, 224]);

export function alexNet({ batch = 1, ...pruning }) {
  const g = createGraph(pruning);
  const relu = { activation: "relu" };
  let x = g.maxPool(g.conv(image(g, batch), 64, { kernel: 11, stride: 4, pad: 2, dense: true, ...relu }), 3, 2);
  x = g.maxPool(g.conv(x, 192, { kernel: 5, ...relu }), 3, 2);
  for (const m of [384, 256, 256]) x = g.conv(x, m, { kernel: 3, ...relu });
  x = g.flatten(g.maxPool(x, 3, 2));
  return g.finish({ logits: g.gemm(g.gemm(g.gemm(x, 4096, relu), 4096, relu), 1000) });
}

export function resNet50({ batch = 1, ...pruning }) {
  const g = createGraph(pruning);
  const relu = { activation: "relu" };
  let x = g.maxPool(g.conv(image(g, batch), 64, { kernel: 7, stride: 2, dense: true, ...relu }), 3, 2, 1);
  for (const [width, blocks, first] of [
    [64, 3, 1],
    [128, 4, 2],
    [256, 6, 2],
    [512, 3, 2],
  ])
    for (let b = 0; b < blocks; b++) {
      const stride = b === 0 ? first : 1;
      const narrow = g.conv(g.conv(x, width, relu), width, { kernel: 3, stride, ...relu });
      const wide = g.conv(narrow, 4 * width, { gain: 0.2 });
      x = g.activate(g.add(wide, b === 0 ? g.conv(x, 4 * width, { stride }) : x), "relu");
    }
  return g.finish({ logits: g.gemm(g.flatten(g.averagePool(x)), 1000) });
}

export function mobileNetV1({ batch = 1, ...pruning }) {
  const g = createGraph(pruning);
  const relu = { activation: "relu" };
  let x = g.conv(image(g, batch), 32, { kernel: 3, stride: 2, dense: true, ...relu });
  for (const [m, stride] of [
    [64, 1],
    [128, 2],
    [128, 1],
    [256, 2],
    [256, 1],
    [512, 2],
    ...Array.from({ length: 5 }, () => [512, 1]),
    [1024, 2],
    [1024, 1],
  ])
    x = g.conv(g.conv(x, x.shape[1], { kernel: 3, stride, groups: x.shape[1], ...relu }), m, relu);
  return g.finish({ logits: g.gemm(g.flatten(g.averagePool(x)), 1000) });
}

export function mobileNetV2({ batch = 1, ...pruning }) {
  const g = createGraph(pruning);
  const relu6 = { activation: "relu6" };
  let x = g.conv(image(g, batch), 32, { kernel: 3, stride: 2, dense: true, ...relu6 });
  for (const [expand, m, blocks, first] of [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
  ])
    for (let b = 0; b < blocks; b++) {
      const stride = b === 0 ? first : 1;
      const wide = expand === 1 ? x : g.conv(x, expand * x.shape[1], relu6);
      const y = g.conv(g.conv(wide, wide.shape[1], { kernel: 3, stride, groups: wide.shape[1], ...relu6 }), m);
      x = b > 0 ? g.add(y, x) : y;
    }
  return g.finish({ logits: g.gemm(g.flatten(g.averagePool(g.conv(x, 1280, relu6))), 1000) });
}
