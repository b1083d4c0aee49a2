// Chooses how constant small integers are multiplied by bytes: dense, by words of four neighbouring channels, or one by one.

import type { Tensor } from "../../ir/tensor.ts";
import { type ByteWeights, byteGains } from "../cost/bytes.ts";
import { LEAST_GAIN } from "../cost/gain.ts";
import { LANES } from "../lower/templates/bytes-tiling.ts";
import type { Candidate, Choice } from "./choose.ts";

/** [M, C, ..] of a convolution, or [K, M] of a product of matrices, as outputs, channels and taps. */
function weightsOf(t: Tensor, { by, taps }: Candidate): ByteWeights {
  const [outputs, channels] = (by === "first" ? [t.shape[0], t.shape[1]] : [t.shape[1], t.shape[0]]) as [number, number];
  const across = Math.ceil(channels / 4);
  const seen = new Uint8Array(outputs * taps * across);
  let [nonzeros, words] = [0, 0];
  for (let i = 0; i < t.data.length; i++) {
    if (t.data[i] === 0) continue;
    nonzeros++;
    const [m, c, tap] =
      by === "first"
        ? [Math.floor(i / (channels * taps)), Math.floor(i / taps) % channels, i % taps]
        : [i % outputs, Math.floor(i / outputs), 0];
    const word = (m * taps + tap) * across + Math.floor(c / 4);
    if (seen[word] === 0) words += seen[word] = 1;
  }
  return { outputs, channels, taps, nonzeros, words };
}

export function chooseForBytes(t: Tensor, c: Candidate): Choice {
  const w = weightsOf(t, c);
  const facts = `${(100 * (1 - w.nonzeros / t.data.length)).toFixed(1)} % zeros`;
  const dense = (why: string): Choice => ({ format: "dense", why: `${facts}: ${why}`, predictedGain: 1 });
  if (c.product.columns < LANES) return dense(`${c.product.columns} pixels are too few for sparse products of bytes`);
  const { words, singles } = byteGains(w);
  const gain = Math.max(words, singles);
  if (gain < LEAST_GAIN) return dense(`the dense kernel is predicted to be as fast (gain ${gain.toFixed(2)}, needs ${LEAST_GAIN})`);
  const [blocks, single] = c.by === "first" ? ["bsr-1x4", "csr"] : ["bsc-1x4", "csc"];
  return { format: words >= singles ? blocks! : single!, why: `${facts}, ${c.product.columns} columns at once`, predictedGain: gain };
}
