// The inner loops of the hot kernels keep their vectors in registers: V8 spills none of them, on this Node and on Node 24.

import { beforeAll, describe, expect, test } from "vitest";
import { assemble } from "../../backends/wasm/assemble.ts";
import { wasm } from "../../backends/wasm/index.ts";
import type { Capabilities } from "../../compiler/backend.ts";
import { flat } from "../../compiler/lower/storage.ts";
import { type Lowered, noEpilogue } from "../../compiler/lower/template.ts";
import { convDense } from "../../compiler/lower/templates/conv-dense.ts";
import { convDepthwise } from "../../compiler/lower/templates/conv-depthwise.ts";
import { convPixel } from "../../compiler/lower/templates/conv-pixel.ts";
import { convSparse } from "../../compiler/lower/templates/conv-sparse.ts";
import type { ConvSpec } from "../../compiler/lower/templates/conv-spec.ts";
import { convWinograd } from "../../compiler/lower/templates/conv-winograd.ts";
import { matmulDense } from "../../compiler/lower/templates/matmul-dense.ts";
import { type Grouping, pairs, single, together, zipped } from "../../compiler/lower/templates/tap-lists.ts";
import { balanced } from "../../compiler/lower/templates/tiles.ts";
import { blank, type ConvCase, convProblem } from "../lower/conv-cases.ts";
import { margin, one, same, three } from "../lower/conv-shapes.ts";
import { buffers, wasmText } from "../lower/run-lowered.ts";
import { engines } from "../support/engines.ts";
import { disassemble, innermostLoops, isRelaxed, type Loop, multiplies, spills } from "./disassembly.ts";

type Template = (spec: ConvSpec) => Lowered | undefined;
const rows = { input: margin, output: margin };
const at1x1: ConvCase = { c: 64, h: 4, w: 196, m: 24, kernel: one, ...rows };
const at3x3: ConvCase = { c: 24, h: 28, w: 28, m: 24, kernel: three, pads: same, ...rows };
const pixel: ConvCase = { c: 64, h: 1, w: 1, m: 64, kernel: one, density: 0.2 };
const depthwise: ConvCase = { c: 8, h: 28, w: 28, m: 8, groups: 8, kernel: three, pads: same, ...rows };
const grouped =
  (grouping: Grouping): Template =>
  (spec) =>
    convSparse({ ...spec, grouping });

/** Loops that multiply by a splat weight: of Winograd convolutions, the products, not the transforms, which pass over the data once. */
const isProduct = (loop: Loop): boolean => loop.instructions.some((i) => i.startsWith("vbroadcastss"));

const KERNELS: readonly (readonly [string, Template, ConvCase, ((loop: Loop) => boolean)?])[] = [
  ["dense 1x1", convDense, at1x1],
  ["dense 3x3", convDense, at3x3],
  ["dense 3x3 by Winograd, 2x2", (spec) => convWinograd(spec, 2), at3x3, isProduct],
  ["dense 3x3 by Winograd, 4x4", (spec) => convWinograd(spec, 4), at3x3, isProduct],
  ["depthwise", convDepthwise, depthwise],
  ["depthwise, stride 2", convDepthwise, { ...depthwise, strides: [2, 2] }],
  ["sparse 1x1", grouped(single), { ...at1x1, density: 0.1 }],
  ["sparse 3x3", grouped(single), { ...at3x3, density: 0.1 }],
  ["pairs", grouped(pairs), { ...at1x1, density: 0.8 }],
  ["pairs, 3x3", grouped(pairs), { ...at3x3, density: 0.8 }],
  ["2x1 blocks", grouped(together(2)), { ...at1x1, density: 0.3 }],
  ["4x1 blocks", grouped(together(4)), { ...at3x3, density: 0.3 }],
  ["two in turn", grouped(zipped(2)), { ...at1x1, h: 1, w: 24, density: 0.3 }],
  ["four in turn", grouped(zipped(4)), { ...at1x1, h: 1, w: 12, density: 0.3 }],
  ["one column", convPixel, pixel],
  ["one column, 16x1 blocks", convPixel, { ...pixel, block: [16, 1] }],
  ["one column, 4x1 blocks", convPixel, { ...pixel, block: [4, 1] }],
  ["one column, 1x4 blocks", convPixel, { ...pixel, block: [1, 4] }],
];

/** The loops of a kernel that multiply, as an engine compiles it for its variant. */
async function loops(node: string, can: Capabilities, lowered: Lowered, operands: readonly Uint8Array[], result: Uint8Array) {
  const { text } = wasmText(lowered, can, buffers(lowered, operands, [result]));
  const found = innermostLoops(disassemble(node, await assemble(text, can.fma))).filter(multiplies);
  expect(found.length).toBeGreaterThan(0);
  return found;
}

async function convLoops(node: string, can: Capabilities, template: Template, k: ConvCase) {
  const { spec, operand } = convProblem({ ...k, target: can });
  return loops(node, can, template(spec)!, [operand], blank(spec.output));
}

describe.skipIf(process.arch !== "x64")("on x64", () => {
  for (const { name, path } of engines().filter((e) => !e.name.includes("bun")))
    describe.skipIf(path === undefined)(name, () => {
      let can: Capabilities;
      beforeAll(() => {
        const relaxed = isRelaxed(path!);
        can = wasm.variants.find((v) => v.needs.includes("relaxed-simd") === relaxed)!.can;
      });
      for (const [kernel, template, k, hot = multiplies] of KERNELS)
        test(kernel, async () => {
          const found = (await convLoops(path!, can, template, k)).filter(hot);
          expect(found.length).toBeGreaterThan(0);
          for (const loop of found) expect(spills(loop)).toEqual([]);
        });
      test("dense product", async () => {
        const [input, output] = [flat({ dtype: "f32", shape: [40, 48] }), flat({ dtype: "f32", shape: [40, 128] })];
        const weights = new Float32Array(48 * 128).fill(1);
        const lowered = matmulDense({ name: "product", side: "right", input, output, weights, epilogue: noEpilogue, target: can })!;
        for (const loop of await loops(path!, can, lowered, [blank(input)], blank(output))) expect(spills(loop)).toEqual([]);
      });
      test("is seen where a tile has more sums than there are registers", async () => {
        const plan = { rows: balanced(4, 2), vectors: balanced(49, 10), channels: balanced(24, 1), block: 64 };
        const found = await convLoops(path!, can, (spec) => convSparse({ ...spec, plan, grouping: single }), { ...at1x1, density: 0.1 });
        expect(found.flatMap(spills).length).toBeGreaterThan(0);
      });
    });
});
