// onnxruntime, for the web or native, as a peer: one thread, all of its optimisations.

import { SparsecError } from "../../../ir/diagnostics.ts";
import type { DType, TypedArray } from "../../../ir/dtype.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import type { Peer, PeerModel } from "./peers.ts";

/** The part of the API that both packages have. */
interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: TypedArray;
}
interface OrtSession {
  readonly inputNames: readonly string[];
  run(feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>>;
  release(): Promise<void>;
}
interface Ort {
  readonly env: { readonly wasm: { numThreads?: number }; logLevel?: string };
  readonly InferenceSession: { create(path: string, options: object): Promise<OrtSession> };
  readonly Tensor: new (type: string, data: TypedArray, dims: readonly number[]) => OrtTensor;
}

const TYPES: Readonly<Partial<Record<DType, string>>> = {
  f32: "float32",
  f64: "float64",
  f16: "float16",
  i8: "int8",
  u8: "uint8",
  i16: "int16",
  u16: "uint16",
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  u64: "uint64",
  bool: "bool",
};
const DTYPES = new Map(Object.entries(TYPES).map(([dtype, type]) => [type, dtype as DType]));

function toOrt({ Tensor }: Ort, name: string, t: Tensor): OrtTensor {
  const type = TYPES[t.dtype];
  if (!type) throw new SparsecError("unsupported-dtype", `onnxruntime's tensors cannot be ${t.dtype}`, { file: "", name });
  return new Tensor(type, t.data, t.shape);
}

/** Opens models with an execution provider, "wasm" or "cpu". */
export const onnxRuntime =
  (provider: string): Peer["open"] =>
  async ([imported], { model, inputs }): Promise<PeerModel> => {
    const ort = imported as Ort;
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [provider],
      graphOptimizationLevel: "all",
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    const feeds = inputs.map((map) =>
      Object.fromEntries([...map].filter(([name]) => session.inputNames.includes(name)).map(([name, t]) => [name, toOrt(ort, name, t)])),
    );
    return {
      run: (k) => session.run(feeds[k]!),
      async outputs(k) {
        const found = await session.run(feeds[k]!);
        return new Map(
          Object.entries(found).map(([name, { type, dims, data }]) => [name, { dtype: DTYPES.get(type)!, shape: dims, data }] as const),
        );
      },
      dispose: () => session.release(),
    };
  };
