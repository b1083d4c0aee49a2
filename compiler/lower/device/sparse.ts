// Sparse products and convolutions on devices: which weights stay sparse there, in blocks of which shape, and the kernel that takes them.

import type { Capabilities } from "../../backend.ts";
import { BLOCK_RATES, type BlockShape, bestBlocks, FEW, isLarge } from "../../cost/device.ts";
import { bound } from "../anchor.ts";
import type { GenericContext } from "../generic/kernel.ts";
import { NotVectorizable } from "../generic/lanes.ts";
import { matchConv } from "../match-conv.ts";
import { matchMatmul } from "../match-matmul.ts";
import { type Storage, sameStorage } from "../storage.ts";
import type { Lowered } from "../template.ts";
import { type ConvSpec, convShape } from "../templates/conv-spec.ts";
import { asConvolution } from "../templates/matmul-features.ts";
import type { ConstantMatmulSpec } from "../templates/matmul-spec.ts";
import type { Unit } from "../unit.ts";
import { hasVectors } from "./pixel-places.ts";
import { type Blocks, blocksIn, fits, type Nonzeros, nonzerosOf, packBlocks } from "./sparse-blocks.ts";
import { sparseFeatures, TALLEST } from "./sparse-features.ts";
import { planPixels, sparsePixels } from "./sparse-pixels.ts";

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

/** Whether four neighbours along the result's last axis are 16 aligned bytes of the operand, or one element; and no row's end is amid them. */
function inVectors(v: Storage, out: Storage): boolean {
  if (sameStorage(v, out)) return true;
  const rank = v.strides.length;
  const strides = v.strides.filter((_, axis) => v.shape[axis] !== 1);
  const [h, w] = [v.shape[rank - 2] ?? 1, v.shape[rank - 1] ?? 1];
  const rows = (out.shape.at(-1)! % 4 === 0 && (w === 1 || v.strides[rank - 1] === 4)) || (h === 1 && w === 1);
  return rows && v.offset % 16 === 0 && strides.every((s) => s === 4 || s % 16 === 0);
}

/** Four pixels at a time where the operands allow it and what follows can be done so; undefined where one at a time cannot, either. */
function pixelKernel(spec: ConvSpec, blocks: Blocks, epilogue: readonly Storage[]): Lowered | undefined {
  const s = convShape(spec)!;
  const wide = hasVectors(spec, s) && epilogue.every((v) => inVectors(v, spec.output));
  for (const lanes of wide ? ([4, 1] as const) : ([1] as const)) {
    try {
      return sparsePixels(spec, blocks, planPixels(s, blocks, lanes));
    } catch (e) {
      if (!(e instanceof NotVectorizable)) throw e;
    }
  }
  return undefined;
}

/** For row-major tokens; four features at a time where blocks and operands allow it. */
function featureKernel(
  spec: ConstantMatmulSpec,
  n: Nonzeros,
  [height, width]: BlockShape,
  epilogue: readonly Storage[],
): Lowered | undefined {
  const { output } = spec;
  const blocks = packBlocks(n, [Math.min(height, TALLEST), width]);
  const strides = output.strides.filter((_, axis) => output.shape[axis] !== 1);
  const aligned = output.offset % 16 === 0 && strides.every((s) => s === 4 || s % 16 === 0);
  const plain = output.strides.at(-1) === 4 && output.shape.at(-1)! % 4 === 0;
  const wide = height >= TALLEST && aligned && plain && epilogue.every((v) => inVectors(v, output));
  for (const vectors of wide ? [true, false] : [false]) {
    try {
      return sparseFeatures(spec, blocks, { vectors });
    } catch (e) {
      if (!(e instanceof NotVectorizable)) throw e;
    }
  }
  return undefined;
}

/** A sparse kernel, or a sentence: why weights whose zeros are known are multiplied all the same. Undefined where there are no such weights. */
export function lowerSparse(u: Unit, c: GenericContext, can: Capabilities): Lowered | string | undefined {
  const product = matchMatmul(u, c, can);
  const conv = product ? undefined : matchConv(u, c, can);
  const layout = product?.layout ?? conv?.layout;
  if (!layout) return undefined;
  const spec = product ? asConvolution(product.spec) : conv!.spec;
  const shape = spec && convShape(spec);
  if (!shape) return "there is no sparse kernel for this arrangement of the operands";
  const nonzeros = nonzerosOf(spec);
  const { elements } = nonzeros;
  const rates = can.device?.sparseRates ?? BLOCK_RATES;
  const source = rates === BLOCK_RATES ? "by rates not measured" : "by measured rates";
  const zeros = percent(1 - nonzeros.values.length / elements);
  const columns = shape.n * shape.ho * shape.wo;
  const stored = new Map<string, number>();
  const { block, gain } = bestBlocks(
    elements,
    columns,
    (b) => {
      if (!fits(nonzeros, b)) return undefined;
      const kept = blocksIn(nonzeros, b) * b[0] * b[1];
      stored.set(b.join("x"), kept);
      return kept;
    },
    rates,
  );
  const kept = stored.get(block.join("x"))!;
  const large = isLarge(elements, kept);
  const facts = `${zeros} zeros, ${percent(kept / elements)} of the weights in blocks of ${block.join("x")}, ${columns} columns at once`;
  if (gain <= 1 && !large) return `${facts}: dense weights are taken to be faster on the device (gain ${gain.toFixed(2)}, ${source})`;
  const epilogue = spec.epilogue.bindings.flatMap((b) => (b.kind === "operand" ? [c.storageOf(u.operands[b.operand]!)] : []));
  const lowered =
    (product && columns > FEW ? featureKernel(product.spec, nonzeros, block, epilogue) : undefined) ??
    pixelKernel(spec, packBlocks(nonzeros, block), epilogue);
  if (!lowered) return `${facts}: there is no sparse kernel for such taps, or with what follows`;
  const by = product?.spec.side === "right" ? "c" : "r";
  return bound(
    u,
    {
      ...lowered,
      kernel: product ? "matmul_f32_sparse" : lowered.kernel,
      format: block[0] * block[1] === 1 ? `cs${by}` : `bs${by}-${block.join("x")}`,
      why: `${facts}${gain <= 1 ? ", and too large to be dense" : ` (gain ${gain.toFixed(1)}, ${source})`}: ${lowered.why}`,
    },
    [product ? product.activation : conv!.input],
    spec.epilogue,
  )!;
}
