// The layers that are measured one by one: shapes of MobileNetV1, transformers and ResNets, and those of the pattern collection.

import { dlmcLayers } from "./dlmc.mjs";

const layer = (group, kind, k, m, size) => {
  const at = kind === "linear" ? `${size} tokens` : `${size}x${size}`;
  return { group, name: `${group} ${k}->${m} @ ${at}`, kind, k, m, size };
};

/** `kind`: pointwise or conv3x3 on images of side `size`, or linear on `size` tokens. MobileNetV1 has the 512->512 layer five times. */
export const LAYERS = [
  ...[
    [32, 64, 112],
    [64, 128, 56],
    [128, 128, 56],
    [128, 256, 28],
    [256, 256, 28],
    [256, 512, 14],
    [512, 512, 14],
    [512, 1024, 7],
    [1024, 1024, 7],
  ].map(([k, m, size]) => layer("mobilenet 1x1", "pointwise", k, m, size)),
  ...[
    [768, 768],
    [768, 3072],
    [3072, 768],
    [1024, 1024],
  ].map(([k, m]) => layer("transformer", "linear", k, m, 128)),
  ...[
    [64, 56],
    [128, 28],
    [256, 14],
    [512, 7],
    [16, 32],
    [32, 16],
    [64, 8],
  ].map(([c, size]) => layer("resnet 3x3", "conv3x3", c, c, size)),
  ...[
    [1024, 1024],
    [3072, 768],
  ].map(([k, m]) => layer("vector", "linear", k, m, 1)),
  ...dlmcLayers(),
];
