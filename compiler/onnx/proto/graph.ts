// GraphProto, NodeProto, AttributeProto and TypeProto to the structures of model.ts.

import type { Loc } from "../../../ir/diagnostics.ts";
import { MAX_RANK } from "./budget.ts";
import { onnxErrors, part } from "./diagnostics.ts";
import type { OnnxAttribute, OnnxDim, OnnxGraph, OnnxNode, OnnxType, OnnxValueInfo } from "./model.ts";
import { isSet, type Wire } from "./schema.ts";
import { decodeSparseTensor } from "./sparse-tensor.ts";
import { type DecodeContext, decodeTensor } from "./tensor.ts";

/** The default operator domain has two spellings. */
export const canonicalDomain = (domain: string): string => (domain === "ai.onnx" ? "" : domain);

/** A Map from names that must be unique. */
export function uniqueMap<T>(items: readonly T[], what: string, key: (item: T) => string, file: string): ReadonlyMap<string, T> {
  const map = new Map<string, T>();
  for (const item of items) {
    const name = key(item);
    if (map.has(name)) throw onnxErrors.duplicate(what, name, { file, name: "" });
    map.set(name, item);
  }
  return map;
}

export function decodeGraph(g: Wire<"GraphProto">, ctx: DecodeContext): OnnxGraph {
  const named = <T extends { readonly name: string }>(tensor: T): T => {
    if (tensor.name === "") throw onnxErrors.bad("an initializer has no name", part(ctx.file, "graph", g.name));
    return tensor;
  };
  const initializers = uniqueMap(
    g.initializer.map((t) => named(decodeTensor(t, ctx))),
    "initializer",
    (t) => t.name,
    ctx.file,
  );
  const sparse = uniqueMap(
    g.sparseInitializer.map((t) => named(decodeSparseTensor(t, ctx))),
    "sparse initializer",
    (t) => t.name,
    ctx.file,
  );
  for (const name of sparse.keys())
    if (initializers.has(name)) throw onnxErrors.duplicate("initializer", name, { file: ctx.file, name: "" });
  const inputs = g.input.map((v) => decodeValueInfo(v, ctx));
  const outputs = g.output.map((v) => decodeValueInfo(v, ctx));
  uniqueMap(inputs, "input", (v) => v.name, ctx.file);
  return {
    name: g.name,
    nodes: g.node.map((n) => decodeNode(n, ctx)),
    initializers,
    sparseInitializers: sparse,
    inputs,
    outputs,
    // Exporters repeat value_info; it is a hint, so the last one wins.
    valueInfo: new Map(g.valueInfo.map((v) => [v.name, decodeValueInfo(v, ctx)])),
  };
}

export function decodeNode(n: Wire<"NodeProto">, ctx: DecodeContext): OnnxNode {
  const label = n.name || n.output.find((o) => o !== "") || n.opType;
  const loc = part(ctx.file, "node", label);
  if (n.opType === "") throw onnxErrors.bad("a node without an operator", loc);
  const attributes = new Map<string, OnnxAttribute>();
  for (const a of n.attribute) {
    if (attributes.has(a.name)) throw onnxErrors.duplicate("attribute", a.name, loc);
    attributes.set(a.name, decodeAttribute(a, ctx, loc));
  }
  return {
    name: n.name,
    opType: n.opType,
    domain: canonicalDomain(n.domain),
    overload: n.overload,
    inputs: n.input,
    outputs: n.output,
    attributes,
  };
}

const integer = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

type AttributeKind = Exclude<OnnxAttribute["kind"], "ref">;

/** Indexed by AttributeProto.AttributeType, with the field that holds the value. */
const ATTRIBUTE_TYPES: readonly (readonly [AttributeKind, keyof Wire<"AttributeProto">] | undefined)[] = [
  undefined,
  ["float", "f"],
  ["int", "i"],
  ["string", "s"],
  ["tensor", "t"],
  ["graph", "g"],
  ["floats", "floats"],
  ["ints", "ints"],
  ["strings", "strings"],
  ["tensors", "tensors"],
  ["graphs", "graphs"],
  ["sparseTensor", "sparseTensor"],
  ["sparseTensors", "sparseTensors"],
  ["type", "tp"],
  ["types", "typeProtos"],
];

/** The kind that the attribute declares, or, in files of IR version 1, the only one that it has a value for. */
function attributeKind(a: Wire<"AttributeProto">, loc: Loc): AttributeKind {
  if (a.type === 0) {
    const given = ATTRIBUTE_TYPES.flatMap((t) => {
      if (!t) return [];
      const value = a[t[1]];
      return (Array.isArray(value) ? value.length > 0 : isSet(a, t[1]) && value !== undefined) ? [t[0]] : [];
    });
    if (given.length === 1) return given[0]!;
    throw onnxErrors.bad(`attribute ${JSON.stringify(a.name)} has no type`, loc);
  }
  const known = ATTRIBUTE_TYPES[a.type];
  if (!known) throw onnxErrors.bad(`attribute ${JSON.stringify(a.name)} has the unknown type ${a.type}`, loc);
  return known[0];
}

export function decodeAttribute(a: Wire<"AttributeProto">, ctx: DecodeContext, loc: Loc): OnnxAttribute {
  const { name } = a;
  if (name === "") throw onnxErrors.bad("an attribute has no name", loc);
  if (a.refAttrName !== "") return { kind: "ref", name, value: a.refAttrName };
  const given = <T>(value: T | undefined): T => {
    if (value === undefined) throw onnxErrors.bad(`attribute ${JSON.stringify(name)} lacks the value that its type announces`, loc);
    return value;
  };
  const label = `${loc.name}.${name}`;
  const kind = attributeKind(a, loc);
  switch (kind) {
    case "float":
      return { kind, name, value: a.f };
    case "int":
      return { kind, name, value: integer(a.i) };
    case "string":
      return { kind, name, value: utf8.decode(a.s), bytes: a.s };
    case "tensor":
      return { kind, name, value: decodeTensor(given(a.t), ctx, label) };
    case "graph":
      return { kind, name, value: decodeGraph(given(a.g), ctx) };
    case "sparseTensor":
      return { kind, name, value: decodeSparseTensor(given(a.sparseTensor), ctx, label) };
    case "type":
      return { kind, name, value: decodeType(given(a.tp), loc) };
    case "floats":
      return { kind, name, value: a.floats };
    case "ints":
      return { kind, name, value: a.ints.map(integer) };
    case "strings":
      return { kind, name, value: a.strings.map((s) => utf8.decode(s)), bytes: a.strings };
    case "tensors":
      return { kind, name, value: a.tensors.map((t) => decodeTensor(t, ctx, label)) };
    case "graphs":
      return { kind, name, value: a.graphs.map((g) => decodeGraph(g, ctx)) };
    case "sparseTensors":
      return { kind, name, value: a.sparseTensors.map((t) => decodeSparseTensor(t, ctx, label)) };
    case "types":
      return { kind, name, value: a.typeProtos.map((t) => decodeType(t, loc)) };
  }
}

/** A negative extent is how some exporters spell an unknown one. */
function decodeDim(d: Wire<"Dimension">, loc: Loc): OnnxDim {
  if (isSet(d, "dimValue") && d.dimValue >= 0n) {
    const value = integer(d.dimValue);
    if (typeof value === "bigint") throw onnxErrors.tooLarge(`dimension ${value}`, loc);
    return value;
  }
  return d.dimParam === "" ? undefined : d.dimParam;
}

function decodeTensorType(kind: "tensor" | "sparse-tensor", t: Wire<"TensorType">, loc: Loc): OnnxType {
  if (!t.shape) return { kind, elemType: t.elemType };
  const { dim } = t.shape;
  if (dim.length > MAX_RANK) throw onnxErrors.bad(`rank ${dim.length}, and at most ${MAX_RANK} is accepted`, loc);
  return { kind, elemType: t.elemType, dims: dim.map((d) => decodeDim(d, loc)) };
}

export function decodeType(t: Wire<"TypeProto"> | undefined, loc: Loc): OnnxType {
  if (t?.tensorType) return decodeTensorType("tensor", t.tensorType, loc);
  if (t?.sparseTensorType) return decodeTensorType("sparse-tensor", t.sparseTensorType, loc);
  if (t?.sequenceType) return { kind: "sequence", element: decodeType(t.sequenceType.elemType, loc) };
  if (t?.optionalType) return { kind: "optional", element: decodeType(t.optionalType.elemType, loc) };
  if (t?.mapType) return { kind: "map", keyType: t.mapType.keyType, element: decodeType(t.mapType.valueType, loc) };
  return { kind: t?.opaqueType ? "opaque" : "unknown" };
}

export function decodeValueInfo(v: Wire<"ValueInfoProto">, ctx: DecodeContext): OnnxValueInfo {
  const type = decodeType(v.type, part(ctx.file, "value", v.name));
  const { kind } = type;
  if (type.kind !== "tensor" && type.kind !== "sparse-tensor") return { name: v.name, type, kind, elemType: 0 };
  return { name: v.name, type, kind, elemType: type.elemType, ...(type.dims ? { dims: type.dims } : {}) };
}
