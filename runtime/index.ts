// The package entry `sparsec/runtime`: loads and runs artifacts, in Node, browsers and edge workers.

export type {
  ArtifactFiles,
  Bound,
  Command,
  Condition,
  DeviceKernel,
  Extent,
  Manifest,
  Part,
  Port,
  PortDType,
  Schedule,
  Section,
  Slot,
  StepInfo,
  VariantManifest,
} from "./artifact.ts";
export type { Preference } from "./choose.ts";
export { defaultExecutors } from "./default-executors.ts";
export { SparsecError } from "./diagnostics.ts";
export type { ArrayOf, TypedArray } from "./dtype.ts";
export type {
  Code,
  DeviceExecutor,
  DeviceInstance,
  DeviceJob,
  DeviceResult,
  Executor,
  HostExecutor,
  Instance,
  Requirements,
  Setting,
  Wants,
} from "./executor.ts";
export { aligned, RESERVED } from "./executor.ts";
export type { GPUInput, Input, Inputs } from "./inputs.ts";
export { type LoadOptions, load } from "./load.ts";
export type { Model, ModelInfo, OnDevice, RunOptions, StepTime } from "./model.ts";
export type { GPUTensor, Outputs, Tensor } from "./outputs.ts";
export type { ArtifactBytes, ArtifactSource, ArtifactUrls } from "./source.ts";
