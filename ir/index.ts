// The public face of the IR: what passes, operators and backends are written with.

export * from "./diagnostics.ts";
export * from "./dtype.ts";
export * from "./graph.ts";
export { interpret } from "./interpret.ts";
export * as kernel from "./kernel/build.ts";
export type * from "./kernel/types.ts";
export { LANE_TYPE, LANES, LOADED, MEMORY_BYTES } from "./kernel/types.ts";
export * as layouts from "./layouts/index.ts";
export * from "./op.ts";
export { coreOps, inlineGraph } from "./ops/core.ts";
export { standardOps } from "./ops/index.ts";
export { parse } from "./parse.ts";
export { type PrintOptions, print } from "./print.ts";
export type { Pattern, Rule } from "./rewrite.ts";
export * as rewrite from "./rewrite.ts";
export * as scalar from "./scalar/build.ts";
export type { ReduceAxis, ReduceOp, Scalar } from "./scalar/scalar.ts";
export type * from "./scalar/types.ts";
export * from "./tensor.ts";
export * from "./types.ts";
export { type WeightStore, weightStore } from "./weights.ts";
