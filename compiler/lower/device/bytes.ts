// Products of bytes by constant small integers on a device: tiled, and for one row, by workgroups that share out the depth. Sums are exact.

import type { Capabilities } from "../../backend.ts";
import { type GenericContext, kernelName } from "../generic/kernel.ts";
import type { Lowered } from "../template.ts";
import type { Unit } from "../unit.ts";
import { wordArithmetic } from "./arithmetic.ts";
import { fits } from "./buffers.ts";
import { bytesDepthwise } from "./bytes-depthwise.ts";
import { type BytesSpec, bytesSpecOf, tapsOf, WORD, wordsOf } from "./bytes-spec.ts";
import { partsOf, placeWords, weightWords } from "./bytes-words.ts";
import { reachOf, vectorProduct, vectorTilingFor, whyVector } from "./matvec.ts";
import { tiledProduct } from "./product.ts";
import { putOf } from "./put.ts";
import { tilingFor, whyTiled } from "./tiling.ts";

/** Whether each group's channels are whole words of their own. */
const hasWords = ({ groups, inputs, outputs }: BytesSpec): boolean => groups === 1 || (inputs % WORD === 0 && outputs % WORD === 0);

/** Products of bytes in words. `plan` is for tests. */
export function deviceBytes(u: Unit, c: GenericContext, can: Capabilities, plan = tilingFor): Lowered | undefined {
  const spec = bytesSpecOf(u, c);
  if (!spec) return undefined;
  const name = kernelName(u);
  const put = putOf(`${name}_put`, spec.target, spec.epilogue, "i32x4");
  const depthwise = bytesDepthwise(spec, name, put);
  const lowered = depthwise ?? (hasWords(spec) ? dense(spec, name, put, can, plan) : undefined);
  return lowered && fits(lowered.bindings, u, c, can) ? lowered : undefined;
}

function dense(spec: BytesSpec, name: string, put: ReturnType<typeof putOf>, can: Capabilities, plan: typeof tilingFor): Lowered {
  const { groups, outputs, places } = spec;
  const parts = partsOf(spec);
  const depth = parts * tapsOf(spec) * wordsOf(spec);
  const rows = places.reduce((a, b) => a * b, 1);
  const arithmetic = wordArithmetic(`${name}_dots`);
  const kind = spec.node.op;
  const bits = parts === 1 ? "" : `, weights in ${parts} parts`;
  const doc = `bytes: ${rows} places of ${WORD * depth} by ${outputs}${groups === 1 ? "" : `, ${groups} times`}`;
  const common = { name, doc, batches: groups, depth, put, arithmetic };
  if (rows === 1) {
    const tiling = vectorTilingFor(outputs, depth, false);
    const reach = reachOf(tiling);
    const matrix = weightWords(spec, parts, reach, arithmetic);
    const vector = placeWords(spec, parts, { ...reach, lines: 1 });
    const functions = vectorProduct({
      ...common,
      results: outputs,
      matrix,
      vector,
      tiling,
      swaps: can.device?.swaps ?? false,
      start: matrix.start,
    });
    const bindings = [...matrix.bindings, ...vector.bindings, ...put.bindings];
    return { kernel: `${kind}_u8_vector`, functions, entry: name, bindings, faults: [], why: `${whyVector(tiling)}${bits}` };
  }
  const tiling = plan(groups, rows, outputs, depth);
  const left = placeWords(spec, parts, { lines: tiling.rows, depth: tiling.depth });
  const right = weightWords(spec, parts, { lines: tiling.columns, depth: tiling.depth }, arithmetic);
  const functions = tiledProduct({ ...common, rows, columns: outputs, left, right, tiling, start: right.start, startOf: "columns" });
  const bindings = [...left.bindings, ...right.bindings, ...put.bindings];
  return { kernel: `${kind}_u8_tiled`, functions, entry: name, bindings, faults: [], why: `${whyTiled(tiling)}${bits}` };
}
