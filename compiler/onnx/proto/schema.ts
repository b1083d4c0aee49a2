// The wire format of ONNX as one table (message, field, number, type), and the protobuf descriptors and TypeScript types made from it.

import type { Message } from "@bufbuild/protobuf";
import { create, createFileRegistry } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import {
  Edition,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as ProtoType,
} from "@bufbuild/protobuf/wkt";

/**
 * Field numbers and types of the ONNX IR (onnx.proto, IR versions 3 to 13). Enumerations travel as int32. What a compiler has
 * no use for (doc strings, training information, device placement) is left out and skipped unread.
 */
export const SCHEMA = {
  ModelProto: {
    irVersion: [1, "int64"],
    producerName: [2, "string"],
    producerVersion: [3, "string"],
    graph: [7, "GraphProto"],
    opsetImport: [8, "OperatorSetIdProto", "many"],
    metadataProps: [14, "StringStringEntryProto", "many"],
    functions: [25, "FunctionProto", "many"],
  },
  OperatorSetIdProto: { domain: [1, "string"], version: [2, "int64"] },
  StringStringEntryProto: { key: [1, "string"], value: [2, "string"] },
  FunctionProto: {
    name: [1, "string"],
    input: [4, "string", "many"],
    output: [5, "string", "many"],
    attribute: [6, "string", "many"],
    node: [7, "NodeProto", "many"],
    opsetImport: [9, "OperatorSetIdProto", "many"],
    domain: [10, "string"],
    attributeProto: [11, "AttributeProto", "many"],
    valueInfo: [12, "ValueInfoProto", "many"],
    overload: [13, "string"],
  },
  GraphProto: {
    node: [1, "NodeProto", "many"],
    name: [2, "string"],
    initializer: [5, "TensorProto", "many"],
    input: [11, "ValueInfoProto", "many"],
    output: [12, "ValueInfoProto", "many"],
    valueInfo: [13, "ValueInfoProto", "many"],
    sparseInitializer: [15, "SparseTensorProto", "many"],
  },
  NodeProto: {
    input: [1, "string", "many"],
    output: [2, "string", "many"],
    name: [3, "string"],
    opType: [4, "string"],
    attribute: [5, "AttributeProto", "many"],
    domain: [7, "string"],
    overload: [8, "string"],
  },
  AttributeProto: {
    name: [1, "string"],
    f: [2, "float"],
    i: [3, "int64"],
    s: [4, "bytes"],
    t: [5, "TensorProto"],
    g: [6, "GraphProto"],
    floats: [7, "float", "many"],
    ints: [8, "int64", "many"],
    strings: [9, "bytes", "many"],
    tensors: [10, "TensorProto", "many"],
    graphs: [11, "GraphProto", "many"],
    tp: [14, "TypeProto"],
    typeProtos: [15, "TypeProto", "many"],
    type: [20, "int32"],
    refAttrName: [21, "string"],
    sparseTensor: [22, "SparseTensorProto"],
    sparseTensors: [23, "SparseTensorProto", "many"],
  },
  TensorProto: {
    dims: [1, "int64", "many"],
    dataType: [2, "int32"],
    segment: [3, "TensorSegment"],
    floatData: [4, "float", "many"],
    int32Data: [5, "int32", "many"],
    stringData: [6, "bytes", "many"],
    int64Data: [7, "int64", "many"],
    name: [8, "string"],
    rawData: [9, "bytes"],
    doubleData: [10, "double", "many"],
    uint64Data: [11, "uint64", "many"],
    externalData: [13, "StringStringEntryProto", "many"],
    dataLocation: [14, "int32"],
  },
  TensorSegment: { begin: [1, "int64"], end: [2, "int64"] },
  SparseTensorProto: { values: [1, "TensorProto"], indices: [2, "TensorProto"], dims: [3, "int64", "many"] },
  ValueInfoProto: { name: [1, "string"], type: [2, "TypeProto"] },
  TypeProto: {
    tensorType: [1, "TensorType"],
    sequenceType: [4, "SequenceType"],
    mapType: [5, "MapType"],
    opaqueType: [7, "OpaqueType"],
    sparseTensorType: [8, "TensorType"],
    optionalType: [9, "SequenceType"],
  },
  TensorType: { elemType: [1, "int32"], shape: [2, "TensorShapeProto"] },
  SequenceType: { elemType: [1, "TypeProto"] },
  MapType: { keyType: [1, "int32"], valueType: [2, "TypeProto"] },
  OpaqueType: { domain: [1, "string"], name: [2, "string"] },
  TensorShapeProto: { dim: [1, "Dimension", "many"] },
  Dimension: { dimValue: [1, "int64"], dimParam: [2, "string"] },
} as const satisfies Readonly<Record<string, Readonly<Record<string, readonly [number, string, "many"?]>>>>;

interface Scalars {
  readonly int32: number;
  readonly int64: bigint;
  readonly uint64: bigint;
  readonly float: number;
  readonly double: number;
  readonly string: string;
  readonly bytes: Uint8Array;
}

export type MessageName = keyof typeof SCHEMA;
type One<K> = K extends keyof Scalars ? Scalars[K] : K extends MessageName ? Wire<K> | undefined : never;
type Item<K> = K extends MessageName ? Wire<K> : One<K>;

/** A decoded message: unset scalars read as zero (see `isSet`), unset messages as undefined. */
export type Wire<M extends MessageName> = {
  readonly [F in keyof (typeof SCHEMA)[M]]: (typeof SCHEMA)[M][F] extends readonly [number, infer K, "many"]
    ? readonly Item<K>[]
    : (typeof SCHEMA)[M][F] extends readonly [number, infer K]
      ? One<K>
      : never;
};

type InitItem<K> = K extends MessageName ? WireInit<K> : K extends keyof Scalars ? Scalars[K] : never;

/** A message to encode: every field may be left out. */
export type WireInit<M extends MessageName> = {
  readonly [F in keyof (typeof SCHEMA)[M]]?: (typeof SCHEMA)[M][F] extends readonly [number, infer K, "many"]
    ? readonly InitItem<K>[]
    : (typeof SCHEMA)[M][F] extends readonly [number, infer K]
      ? InitItem<K>
      : never;
};

/** True if a scalar field stood in the message, zero or not. */
export const isSet = <M extends MessageName>(message: Wire<M>, field: keyof Wire<M>): boolean => Object.hasOwn(message, field);

const SCALAR_TYPES: Readonly<Record<keyof Scalars, ProtoType>> = {
  int32: ProtoType.INT32,
  int64: ProtoType.INT64,
  uint64: ProtoType.UINT64,
  float: ProtoType.FLOAT,
  double: ProtoType.DOUBLE,
  string: ProtoType.STRING,
  bytes: ProtoType.BYTES,
};

export const isScalar = (kind: string): kind is keyof Scalars => Object.hasOwn(SCALAR_TYPES, kind);

function buildRegistry() {
  const messageType = Object.entries(SCHEMA).map(([name, fields]) => ({
    name,
    field: Object.entries<readonly [number, string, "many"?]>(fields).map(([field, [number, kind, many]]) => ({
      name: field,
      number,
      label: many ? Label.REPEATED : Label.OPTIONAL,
      ...(isScalar(kind) ? { type: SCALAR_TYPES[kind] } : { type: ProtoType.MESSAGE, typeName: `.onnx.${kind}` }),
    })),
  }));
  // Edition 2023 has what ONNX's proto2 has (explicit presence), and rejects strings that are not UTF-8.
  const file = create(FileDescriptorProtoSchema, {
    name: "onnx.proto",
    package: "onnx",
    syntax: "editions",
    edition: Edition.EDITION_2023,
    messageType,
  });
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
}

let registry: ReturnType<typeof buildRegistry> | undefined;

/** The descriptor of a message, for `fromBinary`, `toBinary` and `create`. Built on first use. */
export function descriptor<M extends MessageName>(name: M): GenMessage<Message & Wire<M>> {
  registry ??= buildRegistry();
  const found = registry.getMessage(`onnx.${name}`);
  if (!found) throw new Error(`onnx.${name} is missing from the schema`);
  return found as unknown as GenMessage<Message & Wire<M>>;
}
