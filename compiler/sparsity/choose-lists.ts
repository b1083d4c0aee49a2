// Chooses how few rows are multiplied by constant small integers: by all of them, or by lists of words for every four or eight features.

import { firstAxisRows } from "../../ir/layouts/index.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { type FewRowsWeights, fewRowsTimes } from "../cost/few-rows.ts";
import { LEAST_GAIN } from "../cost/gain.ts";
import { transposed } from "../lower/match-bytes.ts";
import { WORD } from "../lower/templates/word-lists.ts";
import { fitsLists } from "../rules/listed-products.ts";
import { type Analysis, analyze } from "./analyze.ts";
import type { Candidate, Choice } from "./choose.ts";

/** Features of the larger groups. */
const EIGHT = 8;

/** Of weights i8 [features, depth], both multiples of four, that meet so many rows. */
export function fewRowsWeights(t: Tensor, rows: number, { pattern, nonzeros }: Analysis): FewRowsWeights {
  const [features, depth] = t.shape as [number, number];
  const across = depth / WORD;
  let [four, eight] = [0, 0];
  for (let first = 0; first < features; first += EIGHT) {
    const halves = Math.min(EIGHT, features - first) / WORD;
    for (let word = 0; word < across; word++) {
      const some = [0, 0];
      for (let m = first; m < first + WORD * halves; m++)
        for (let k = WORD * word; k < WORD * (word + 1); k++) some[m < first + WORD ? 0 : 1]! |= Number(t.data[m * depth + k]!);
      const kept = some.filter((bits) => bits !== 0).length;
      four += kept * WORD * WORD;
      if (kept > 0) eight += halves * WORD * WORD;
    }
  }
  return { rows, elements: t.data.length, nonzeros, four, eight, fill: pattern.kind === "block" ? pattern.fill : undefined };
}

/** How few rows had better meet weights i8 [features, depth], were they rounded for it; by lists where they `may`. */
export function bestForRows(t: Tensor, rows: number, may: boolean): "blocks" | "lists" | "floats" {
  const { blocks, eight, four, floats } = fewRowsTimes(fewRowsWeights(t, rows, analyze(t, firstAxisRows(t.shape))));
  const lists = may ? Math.min(eight, four) : Number.POSITIVE_INFINITY;
  if (lists <= floats && lists * LEAST_GAIN <= blocks) return "lists";
  return floats < blocks ? "floats" : "blocks";
}

/** For rows that lists of words are there for, of weights i8. */
export function chooseForLists(given: Tensor, a: Analysis, { product, by }: Candidate): Choice {
  const t: Tensor = by === "first" ? given : { dtype: "i8", shape: given.shape.toReversed(), data: Int8Array.from(transposed(given)) };
  const [features, depth] = t.shape as [number, number];
  const facts = `${(100 * a.zeros).toFixed(1)} % zeros`;
  if (!fitsLists(product.columns, depth, features))
    return { format: "dense", why: `${facts}: ${features} features by ${depth} inputs are no fours by eights`, predictedGain: 1 };
  const w = fewRowsWeights(t, product.columns, a);
  const { eight, four } = fewRowsTimes(w);
  const all = fewRowsTimes({ ...w, eight: w.elements }).eight;
  const gain = all / Math.max(1, Math.min(eight, four));
  if (gain < LEAST_GAIN)
    return { format: "dense", why: `${facts}: few words of four inputs are zeros for four features`, predictedGain: 1 };
  const shared = eight <= four ? EIGHT : WORD;
  return {
    format: `${by === "first" ? "bsr" : "bsc"}-${shared}x${WORD}`,
    why: `${facts}, words of four inputs shared by ${shared} features`,
    predictedGain: gain,
  };
}
