// onnxruntime-web as an oracle: runs an ONNX model in Node, on one thread, with its optimisations off or on.

import type { InferenceSession } from "onnxruntime-web";
import type { DType, TypedArray } from "../../ir/dtype.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { TestTensor } from "./tensors.ts";

const TYPE_OF = {
  f32: "float32",
  f16: "float16",
  f64: "float64",
  i8: "int8",
  u8: "uint8",
  i16: "int16",
  u16: "uint16",
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  u64: "uint64",
  bool: "bool",
} as const;
type Known = keyof typeof TYPE_OF;

const dtypeOf = (type: string): DType => {
  const found = Object.entries(TYPE_OF).find(([, name]) => name === type);
  if (!found) throw new Error(`onnxruntime gives a ${type} tensor`);
  return found[0] as DType;
};

export interface Oracle {
  /** Outputs by name. */
  run(inputs: readonly TestTensor[]): Promise<ReadonlyMap<string, Tensor>>;
  release(): Promise<void>;
}

/** A session of the model; `optimize` turns all of onnxruntime's graph optimisations on. */
export async function openOracle(model: Uint8Array, optimize = false): Promise<Oracle> {
  const ort = await import("onnxruntime-web");
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1;
  const session: InferenceSession = await ort.InferenceSession.create(model, {
    graphOptimizationLevel: optimize ? "all" : "disabled",
    logSeverityLevel: 3,
  });
  return {
    run: async (inputs) => {
      const feeds = Object.fromEntries(
        inputs.map((t) => [t.name, new ort.Tensor(TYPE_OF[t.dtype as Known], t.data as Float32Array, t.shape)]),
      );
      const outputs = Object.entries(await session.run(feeds));
      return new Map(
        outputs.map(([name, t]) => [name, { dtype: dtypeOf(t.type), shape: t.dims, data: (t.data as TypedArray).slice() as TypedArray }]),
      );
    },
    release: () => session.release(),
  };
}
