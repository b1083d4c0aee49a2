// Bytes of an ONNX file to the structures of model.ts. Whatever the bytes are, it ends in a result or a SparsecError.

import { fromBinary } from "@bufbuild/protobuf";
import { SparsecError } from "../../../ir/diagnostics.ts";
import { type Budget, DEFAULT_BUDGET } from "./budget.ts";
import { onnxErrors, part } from "./diagnostics.ts";
import { type ExternalData, noExternalData } from "./external.ts";
import { canonicalDomain, decodeAttribute, decodeGraph, decodeNode, decodeValueInfo, uniqueMap } from "./graph.ts";
import { functionKey, type OnnxFunction, type OnnxModel, type OnnxTensor } from "./model.ts";
import { descriptor, type MessageName, type Wire } from "./schema.ts";
import { type DecodeContext, decodeTensor } from "./tensor.ts";
import { checkWire } from "./wire.ts";

export interface DecodeOptions {
  /** What errors call the file. Default "model". */
  readonly file?: string;
  /** Where external tensor data comes from (`externalDataBeside(path)`); refused by default. */
  readonly external?: ExternalData;
  readonly budget?: Partial<Budget>;
}

function parse<M extends MessageName>(name: M, bytes: Uint8Array, file: string, budget: Budget): Wire<M> {
  checkWire(bytes, name, file, budget);
  // A Buffer's own methods differ from a Uint8Array's (slice is a view); tensors hand out plain arrays only.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return fromBinary(descriptor(name), plain, { readUnknownFields: false, recursionLimit: budget.depth });
  } catch (e) {
    throw onnxErrors.malformed(file, e instanceof Error ? e.message : String(e));
  }
}

/** Runs `decode`; anything it throws that is not a SparsecError becomes one. */
function guarded<T>(options: DecodeOptions, decode: (ctx: DecodeContext) => T): T {
  const ctx: DecodeContext = {
    file: options.file ?? "model",
    budget: { ...DEFAULT_BUDGET, ...options.budget },
    external: options.external ?? noExternalData("the model was given without its folder"),
    declaredBytes: 0,
  };
  try {
    return decode(ctx);
  } catch (e) {
    if (e instanceof SparsecError) throw e;
    throw onnxErrors.malformed(ctx.file, e instanceof Error ? e.message : String(e));
  }
}

function decodeOpsets(imports: readonly Wire<"OperatorSetIdProto">[], file: string): ReadonlyMap<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain: written, version: wide } of imports) {
    const domain = canonicalDomain(written);
    const version = Number(wide);
    if (!Number.isSafeInteger(version) || version < 1)
      throw onnxErrors.bad(`version ${wide} of operator set ${JSON.stringify(domain)}`, { file, name: "" });
    const other = opsets.get(domain);
    if (other !== undefined && other !== version)
      throw onnxErrors.bad(`operator set ${JSON.stringify(domain)} is imported in versions ${other} and ${version}`, { file, name: "" });
    opsets.set(domain, version);
  }
  return opsets;
}

function decodeFunction(f: Wire<"FunctionProto">, ctx: DecodeContext): OnnxFunction {
  const loc = part(ctx.file, "function", f.name);
  if (f.name === "") throw onnxErrors.bad("a function without a name", loc);
  const defaults = f.attributeProto.map((a) => decodeAttribute(a, ctx, loc));
  return {
    domain: canonicalDomain(f.domain),
    name: f.name,
    overload: f.overload,
    inputs: f.input,
    outputs: f.output,
    attributes: f.attribute,
    defaults: uniqueMap(defaults, "attribute", (a) => a.name, ctx.file),
    nodes: f.node.map((n) => decodeNode(n, ctx)),
    opsets: decodeOpsets(f.opsetImport, ctx.file),
    valueInfo: new Map(f.valueInfo.map((v) => [v.name, decodeValueInfo(v, ctx)])),
  };
}

/**
 * Decodes a ModelProto. Tensors keep views of `bytes`, which must not change afterwards.
 * Throws SparsecError: `bad-model`, `budget`, `too-large`, or an `external-*` code.
 */
export function decodeModel(bytes: Uint8Array, options: DecodeOptions = {}): OnnxModel {
  return guarded(options, (ctx) => {
    const m = parse("ModelProto", bytes, ctx.file, ctx.budget);
    if (!m.graph) throw onnxErrors.malformed(ctx.file, "it holds no graph");
    const opsets = decodeOpsets(m.opsetImport, ctx.file);
    return {
      file: ctx.file,
      irVersion: Number(m.irVersion),
      producer: [m.producerName, m.producerVersion].filter((s) => s !== "").join(" "),
      // Files older than IR version 3 import nothing, and mean version 1 of the default operators.
      opsets: opsets.size > 0 ? opsets : new Map([["", 1]]),
      functions: uniqueMap(
        m.functions.map((f) => decodeFunction(f, ctx)),
        "function",
        (f) => functionKey(f.domain, f.name, f.overload),
        ctx.file,
      ),
      graph: decodeGraph(m.graph, ctx),
      metadata: new Map(m.metadataProps.map(({ key, value }) => [key, value])),
    };
  });
}

/** Decodes a TensorProto standing alone, as the ONNX tests store inputs and outputs. Errors as `decodeModel`. */
export function decodeTensorProto(bytes: Uint8Array, options: DecodeOptions = {}): OnnxTensor {
  return guarded(options, (ctx) => decodeTensor(parse("TensorProto", bytes, ctx.file, ctx.budget), ctx, ctx.file));
}
