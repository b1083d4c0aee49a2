// The package entry `sparsec/runtime`: loads and runs artifacts, in Node, browsers and edge workers.

export type { ArtifactFiles, Extent, Manifest, Port, PortDType, Section, Slot, StepInfo, VariantManifest } from "./artifact.ts";
export { defaultExecutors } from "./default-executors.ts";
export { SparsecError } from "./diagnostics.ts";
export type { ArrayOf, TypedArray } from "./dtype.ts";
export type { Code, Executor, Instance } from "./executor.ts";
export { aligned, RESERVED } from "./executor.ts";
export type { Input, Inputs } from "./inputs.ts";
export { type LoadOptions, load } from "./load.ts";
export type { Model, ModelInfo, RunOptions } from "./model.ts";
export type { Outputs, Tensor } from "./outputs.ts";
export type { ArtifactBytes, ArtifactSource, ArtifactUrls } from "./source.ts";
