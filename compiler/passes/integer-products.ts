// Takes products of quantized values as products of their integers, and leaves integers wherever elements only move.

import { definePass, settle } from "../pass.ts";
import { blockProductRules } from "../rules/block-products.ts";
import { dequantizedConstants, integerProductRules } from "../rules/integer-products.ts";
import { listedProductRules } from "../rules/listed-products.ts";
import { quantizedMoves } from "../rules/quantized-moves.ts";
import { quantizedSums } from "../rules/quantized-sums.ts";

export const integerProducts = definePass({
  name: "integer-products",
  doc: "Takes convolutions and matrix products of dequantized values by dequantized constants as products of the 8-bit integers, with one scale for each output, and sums likewise.",
  exactness: "bounded",
  invariant: "no convolution or matrix product has an operand of dequantized 8-bit integers of one scale and dequantized constant weights",
  run(g, ctx) {
    // Devices have kernels for sparse floats, and none for lists of words.
    const lists = ctx.targets.devices.length > 0 ? [] : listedProductRules;
    const rules = [...blockProductRules, ...lists, ...quantizedMoves, ...quantizedSums, ...integerProductRules];
    const integers = settle("integer-products", g, rules, ctx.trace);
    return settle("integer-products", integers, dequantizedConstants, ctx.trace);
  },
});
