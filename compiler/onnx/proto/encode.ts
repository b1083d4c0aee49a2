// A small friendly description of a model to the bytes of an ONNX file, for examples, tests and benchmarks.

import { create, toBinary } from "@bufbuild/protobuf";
import { bytesOf, DTYPES, type DType, type TypedArray } from "../../../ir/dtype.ts";
import { onnxErrors } from "./diagnostics.ts";
import { elemTypeOf } from "./elem-types.ts";
import { descriptor, type MessageName, type WireInit } from "./schema.ts";

export interface TensorInit {
  readonly dtype: DType;
  /** Row-major; [] is a scalar. */
  readonly shape: readonly number[];
  /**
   * One element each, as a typed array of the dtype's own kind (f16: bits in a Uint16Array; bool, u4: Uint8Array; i4: Int8Array)
   * or as numbers (bigints for i64 and u64). Plain numbers cannot give f16.
   */
  readonly data: TypedArray | readonly number[] | readonly bigint[];
}

export interface NamedTensorInit extends TensorInit {
  readonly name: string;
}

/** A non-zero at row-major position `positions[i]` is `values[i]`; positions ascend. */
export interface SparseTensorInit {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: TensorInit["data"];
  readonly positions: readonly number[];
}

export interface ValueInit {
  readonly name: string;
  readonly dtype: DType;
  /** A string is a symbolic extent; no shape at all means an unknown rank. */
  readonly shape?: readonly (number | string)[];
}

/** A string or strings stand for themselves; whether a number is an int or a float must be said. */
export type AttributeInit =
  | string
  | readonly string[]
  | { readonly int: number | bigint }
  | { readonly float: number }
  | { readonly ints: readonly (number | bigint)[] }
  | { readonly floats: readonly number[] }
  | { readonly tensor: TensorInit }
  | { readonly graph: GraphInit }
  /** Inside a function: the caller's attribute of that name, which has the kind given. */
  | { readonly ref: string; readonly kind: "float" | "int" | "string" | "tensor" | "floats" | "ints" | "strings" };

export interface NodeInit {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly name?: string;
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, AttributeInit>>;
}

export interface GraphInit {
  readonly name?: string;
  readonly nodes: readonly NodeInit[];
  readonly inputs?: readonly ValueInit[];
  readonly outputs: readonly ValueInit[];
  readonly initializers?: readonly NamedTensorInit[];
  readonly sparseInitializers?: readonly SparseTensorInit[];
}

export interface FunctionInit {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: readonly string[];
  readonly nodes: readonly NodeInit[];
  readonly opsets?: Readonly<Record<string, number>>;
}

export interface ModelInit extends GraphInit {
  /** Versions by domain, "" being the default one; a number stands for that. */
  readonly opset: number | Readonly<Record<string, number>>;
  readonly irVersion?: number;
  readonly producer?: string;
  readonly functions?: readonly FunctionInit[];
  readonly metadata?: Readonly<Record<string, string>>;
}

const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;

const utf8 = new TextEncoder();

/** Elements as raw little-endian bytes, 4-bit ones packed two to a byte, low half first. */
function rawData({ dtype, shape, data }: TensorInit, name: string): Uint8Array {
  const elements = shape.reduce((product, d) => product * d, 1);
  if (data.length !== elements) throw onnxErrors.encode(`${data.length} elements for shape [${shape}]`, name);
  const { bytes: width, bits, kind, min, max } = DTYPES[dtype];
  const check = (value: number | bigint): bigint => {
    if (kind !== "bool" && typeof value === "number" && !Number.isInteger(value))
      throw onnxErrors.encode(`${value} is no integer, for ${dtype}`, name);
    const integer = kind === "bool" ? BigInt(Number(value) !== 0) : BigInt(value);
    if ((min !== undefined && integer < min) || (max !== undefined && integer > max))
      throw onnxErrors.encode(`${value} does not fit ${dtype}`, name);
    return integer;
  };
  if (ArrayBuffer.isView(data) && data.BYTES_PER_ELEMENT !== width)
    throw onnxErrors.encode(`${data.constructor.name} for elements of ${dtype}`, name);
  if (bits === 4) {
    const packed = new Uint8Array(Math.ceil(elements / 2));
    data.forEach((value: number | bigint, i: number) => {
      packed[i >> 1]! |= (Number(check(value)) & 15) << (4 * (i & 1));
    });
    return packed;
  }
  if (ArrayBuffer.isView(data)) return bytesOf(data);
  if (dtype === "f16") throw onnxErrors.encode("f16 elements are given as bits in a Uint16Array", name);
  const view = new DataView(new ArrayBuffer(elements * width));
  data.forEach((value: number | bigint, i: number) => {
    if (dtype === "f32") view.setFloat32(4 * i, Number(value), true);
    else if (dtype === "f64") view.setFloat64(8 * i, Number(value), true);
    else if (width === 8) view.setBigInt64(8 * i, check(value), true);
    else if (width === 4) view.setInt32(4 * i, Number(check(value)), true);
    else if (width === 2) view.setInt16(2 * i, Number(check(value)), true);
    else view.setInt8(i, Number(check(value)));
  });
  return new Uint8Array(view.buffer);
}

function tensor(t: TensorInit, name: string): WireInit<"TensorProto"> {
  return { name, dims: t.shape.map(BigInt), dataType: elemTypeOf(t.dtype).number, rawData: rawData(t, name) };
}

function sparseTensor(t: SparseTensorInit): WireInit<"SparseTensorProto"> {
  const length = t.values.length;
  return {
    values: tensor({ dtype: t.dtype, shape: [length], data: t.values }, t.name),
    indices: tensor({ dtype: "i64", shape: [length], data: t.positions }, `${t.name}_indices`),
    dims: t.shape.map(BigInt),
  };
}

function valueInfo({ name, dtype, shape }: ValueInit): WireInit<"ValueInfoProto"> {
  const dim = shape?.map((d) => (typeof d === "string" ? { dimParam: d } : { dimValue: BigInt(d) }));
  return { name, type: { tensorType: { elemType: elemTypeOf(dtype).number, ...(dim ? { shape: { dim } } : {}) } } };
}

function attribute(name: string, a: AttributeInit): WireInit<"AttributeProto"> {
  if (typeof a === "string") return { name, type: ATTRIBUTE_TYPE.string, s: utf8.encode(a) };
  if (!("int" in a || "float" in a || "ints" in a || "floats" in a || "tensor" in a || "graph" in a || "ref" in a))
    return { name, type: ATTRIBUTE_TYPE.strings, strings: a.map((s) => utf8.encode(s)) };
  if ("int" in a) return { name, type: ATTRIBUTE_TYPE.int, i: BigInt(a.int) };
  if ("float" in a) return { name, type: ATTRIBUTE_TYPE.float, f: a.float };
  if ("ints" in a) return { name, type: ATTRIBUTE_TYPE.ints, ints: a.ints.map(BigInt) };
  if ("floats" in a) return { name, type: ATTRIBUTE_TYPE.floats, floats: a.floats };
  if ("tensor" in a) return { name, type: ATTRIBUTE_TYPE.tensor, t: tensor(a.tensor, name) };
  if ("graph" in a) return { name, type: ATTRIBUTE_TYPE.graph, g: graph(a.graph) };
  return { name, type: ATTRIBUTE_TYPE[a.kind], refAttrName: a.ref };
}

function node(n: NodeInit): WireInit<"NodeProto"> {
  return {
    name: n.name ?? "",
    opType: n.op,
    domain: n.domain ?? "",
    input: n.inputs,
    output: n.outputs,
    attribute: Object.entries(n.attributes ?? {}).map(([name, a]) => attribute(name, a)),
  };
}

function graph(g: GraphInit): WireInit<"GraphProto"> {
  return {
    name: g.name ?? "graph",
    node: g.nodes.map(node),
    input: (g.inputs ?? []).map(valueInfo),
    output: g.outputs.map(valueInfo),
    initializer: (g.initializers ?? []).map((t) => tensor(t, t.name)),
    sparseInitializer: (g.sparseInitializers ?? []).map(sparseTensor),
  };
}

const opsetImport = (opsets: Readonly<Record<string, number>>): readonly WireInit<"OperatorSetIdProto">[] =>
  Object.entries(opsets).map(([domain, version]) => ({ domain, version: BigInt(version) }));

/** Serialises a ModelProto; the same description gives the same bytes. Throws `bad-model` where data and shape or dtype disagree. */
export function encodeModel(model: ModelInit): Uint8Array {
  const init: WireInit<"ModelProto"> = {
    irVersion: BigInt(model.irVersion ?? 8),
    producerName: model.producer ?? "sparsec",
    opsetImport: opsetImport(typeof model.opset === "number" ? { "": model.opset } : model.opset),
    graph: graph(model),
    functions: (model.functions ?? []).map((f) => ({
      name: f.name,
      domain: f.domain,
      input: f.inputs,
      output: f.outputs,
      attribute: f.attributes ?? [],
      node: f.nodes.map(node),
      opsetImport: opsetImport(f.opsets ?? {}),
    })),
    metadataProps: Object.entries(model.metadata ?? {}).map(([key, value]) => ({ key, value })),
  };
  return encodeMessage("ModelProto", init);
}

/** Serialises a TensorProto standing alone. */
export const encodeTensorProto = (t: NamedTensorInit): Uint8Array => encodeMessage("TensorProto", tensor(t, t.name));

/** Serialises any message of the schema, right or wrong: what tests of malformed models start from. */
export function encodeMessage<M extends MessageName>(name: M, init: WireInit<M>): Uint8Array {
  const type = descriptor(name);
  return toBinary(type, create(type, init as Parameters<typeof create<typeof type>>[1]));
}
