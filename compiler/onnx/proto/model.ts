// What decoding an ONNX model yields: plain readonly structures, every name a value in a Map or an array, never an object's key.

import type { DType } from "../../../ir/dtype.ts";

export interface OnnxModel {
  /** The path or label that errors show. */
  readonly file: string;
  readonly irVersion: number;
  readonly producer: string;
  /** Domain to version; the default domain is "" ("ai.onnx" is read as ""). */
  readonly opsets: ReadonlyMap<string, number>;
  /** Local functions by `functionKey`. */
  readonly functions: ReadonlyMap<string, OnnxFunction>;
  readonly graph: OnnxGraph;
  readonly metadata: ReadonlyMap<string, string>;
}

export interface OnnxGraph {
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly sparseInitializers: ReadonlyMap<string, OnnxSparseTensor>;
  readonly inputs: readonly OnnxValueInfo[];
  readonly outputs: readonly OnnxValueInfo[];
  readonly valueInfo: ReadonlyMap<string, OnnxValueInfo>;
}

export interface OnnxNode {
  /** As the model gives it; may be empty. */
  readonly name: string;
  readonly opType: string;
  /** "" for the default domain. */
  readonly domain: string;
  readonly overload: string;
  /** Value names; "" stands for an omitted optional one. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
}

export interface OnnxFunction {
  readonly domain: string;
  readonly name: string;
  readonly overload: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Names of the attributes a call may give and that have no default. */
  readonly attributes: readonly string[];
  readonly defaults: ReadonlyMap<string, OnnxAttribute>;
  readonly nodes: readonly OnnxNode[];
  readonly opsets: ReadonlyMap<string, number>;
  readonly valueInfo: ReadonlyMap<string, OnnxValueInfo>;
}

/** The key of a local function in `OnnxModel.functions`. */
export const functionKey = (domain: string, name: string, overload = ""): string => JSON.stringify([domain, name, overload]);

export type OnnxAttribute =
  | { readonly kind: "float"; readonly name: string; readonly value: number }
  /** A number where it is a safe integer, else a bigint. */
  | { readonly kind: "int"; readonly name: string; readonly value: number | bigint }
  /** `value` is `bytes` read as UTF-8, with U+FFFD where they are none. */
  | { readonly kind: "string"; readonly name: string; readonly value: string; readonly bytes: Uint8Array }
  | { readonly kind: "tensor"; readonly name: string; readonly value: OnnxTensor }
  | { readonly kind: "graph"; readonly name: string; readonly value: OnnxGraph }
  | { readonly kind: "sparseTensor"; readonly name: string; readonly value: OnnxSparseTensor }
  | { readonly kind: "type"; readonly name: string; readonly value: OnnxType }
  | { readonly kind: "floats"; readonly name: string; readonly value: readonly number[] }
  | { readonly kind: "ints"; readonly name: string; readonly value: readonly (number | bigint)[] }
  | { readonly kind: "strings"; readonly name: string; readonly value: readonly string[]; readonly bytes: readonly Uint8Array[] }
  | { readonly kind: "tensors"; readonly name: string; readonly value: readonly OnnxTensor[] }
  | { readonly kind: "graphs"; readonly name: string; readonly value: readonly OnnxGraph[] }
  | { readonly kind: "sparseTensors"; readonly name: string; readonly value: readonly OnnxSparseTensor[] }
  | { readonly kind: "types"; readonly name: string; readonly value: readonly OnnxType[] }
  /** Inside a function's body: the value of the caller's attribute `value`. */
  | { readonly kind: "ref"; readonly name: string; readonly value: string };

export interface OnnxTensor {
  readonly name: string;
  /** ONNX's number of the element type (see elem-types.ts). */
  readonly elemType: number;
  readonly dims: readonly number[];
  /** Undefined where sparsec has no such element type: the importer refuses it, naming the node. */
  readonly dtype: DType | undefined;
  /** Product of dims, at most 2^31. */
  readonly elements: number;
  /**
   * The elements, contiguous, row-major, little-endian; elements narrower than a byte unpacked to one each (signed ones extended),
   * bools as 0 or 1. A view of the model's bytes where it can be, so the address may be misaligned: see `viewAs` in ir/dtype.ts.
   * Throws `unsupported-dtype` for strings; external data may throw what external.ts says.
   */
  bytes(): Uint8Array;
  /** The elements of a string tensor, undecoded; empty for any other. */
  readonly strings: readonly Uint8Array[];
}

/** A tensor in coordinate form: `values[i]` stands at row-major position `positions[i]` of a tensor of zeros of shape `dims`. */
export interface OnnxSparseTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dtype: DType | undefined;
  readonly elemType: number;
  /** Product of dims, at most 2^31. */
  readonly elements: number;
  readonly values: OnnxTensor;
  /** Strictly ascending, below `elements`, one per value: checked. */
  positions(): Int32Array;
  /** The dense tensor's bytes, as `OnnxTensor.bytes`. */
  bytes(): Uint8Array;
}

export type OnnxDim = number | string | undefined;

export type OnnxType =
  /** `dims` is absent where the rank is unknown; a dimension is a number, a symbol's name, or undefined. */
  | { readonly kind: "tensor" | "sparse-tensor"; readonly elemType: number; readonly dims?: readonly OnnxDim[] }
  | { readonly kind: "sequence" | "optional"; readonly element: OnnxType }
  | { readonly kind: "map"; readonly keyType: number; readonly element: OnnxType }
  | { readonly kind: "opaque" }
  | { readonly kind: "unknown" };

export interface OnnxValueInfo {
  readonly name: string;
  readonly type: OnnxType;
  readonly kind: OnnxType["kind"];
  /** Of a tensor; 0 for anything else. */
  readonly elemType: number;
  readonly dims?: readonly OnnxDim[];
}
