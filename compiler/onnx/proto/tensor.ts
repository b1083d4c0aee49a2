// TensorProto to OnnxTensor: shape and size checked at once, elements brought into one form (see OnnxTensor.bytes) when asked for.

import type { Loc } from "../../../ir/diagnostics.ts";
import { type Budget, MAX_ELEMENTS, MAX_RANK } from "./budget.ts";
import { onnxErrors, part } from "./diagnostics.ts";
import { type DataField, type ElemType, elemType, elemTypeName } from "./elem-types.ts";
import type { ExternalData, ExternalRange } from "./external.ts";
import type { OnnxTensor } from "./model.ts";
import { isSet, type Wire } from "./schema.ts";

/** What decoding carries along: whose bytes these are, what is allowed, and how much was declared so far. */
export interface DecodeContext {
  readonly file: string;
  readonly budget: Budget;
  readonly external: ExternalData;
  declaredBytes: number;
}

const DATA_FIELDS: readonly DataField[] = ["floatData", "int32Data", "stringData", "int64Data", "doubleData", "uint64Data"];
const EXTERNAL = 1;

/** Extents as numbers, with their product. Throws `bad-model` or `too-large`. */
export function checkDims(dims: readonly bigint[], loc: Loc): { dims: readonly number[]; elements: number } {
  if (dims.length > MAX_RANK) throw onnxErrors.bad(`rank ${dims.length}, and at most ${MAX_RANK} is accepted`, loc);
  const sizes = dims.map((d) => {
    if (d < 0n) throw onnxErrors.bad(`dimension ${d} in shape [${dims}]`, loc);
    return Number(d);
  });
  // A zero makes the product zero in any order, but a hostile shape must not hide 2^60 behind it.
  const nonZero = sizes.reduce((product, d) => (d === 0 ? product : product * d), 1);
  if (nonZero > MAX_ELEMENTS) throw onnxErrors.tooLarge(`shape [${dims}]`, loc);
  return { dims: Object.freeze(sizes), elements: sizes.includes(0) ? 0 : nonZero };
}

/** Bytes of `elements` elements as raw data has them: narrow ones packed, the last byte padded. */
const packedBytes = (type: ElemType, elements: number): number => Math.ceil((elements * type.bits) / 8);

const SIGNED_NARROW: ReadonlySet<string> = new Set(["INT4", "INT2"]);

/** Elements of less than a byte, lowest bits first, to one a byte. */
function unpackNarrow(packed: Uint8Array, type: ElemType, elements: number): Uint8Array {
  const { bits } = type;
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  const sign = SIGNED_NARROW.has(type.name) ? 1 << (bits - 1) : 0;
  const out = new Uint8Array(elements);
  for (let i = 0; i < elements; i++) {
    const value = (packed[Math.floor(i / perByte)]! >> ((i % perByte) * bits)) & mask;
    out[i] = (value ^ sign) - sign;
  }
  return out;
}

/** Raw data to the form of `OnnxTensor.bytes`; a view wherever it is that already. */
function fromRaw(raw: Uint8Array, type: ElemType, elements: number): Uint8Array {
  if (type.bits < 8) return unpackNarrow(raw, type, elements);
  if (type.name === "BOOL" && raw.some((b) => b > 1)) return raw.map((b) => (b === 0 ? 0 : 1));
  return raw;
}

/** The range of values that int32_data may hold for an element type. */
function int32Range(type: ElemType): readonly [number, number] {
  switch (type.name) {
    case "INT8":
      return [-128, 127];
    case "INT16":
      return [-32768, 32767];
    case "INT32":
      return [-(2 ** 31), 2 ** 31 - 1];
    case "BOOL":
      return [0, 1];
    default:
      return [0, type.bits === 16 ? 65535 : 255];
  }
}

/** Typed fields to raw data. */
function packTyped(t: Wire<"TensorProto">, type: ElemType, loc: Loc): Uint8Array {
  switch (type.field) {
    case "floatData":
      return littleEndian(t.floatData.length, 4, (view, i) => view.setFloat32(4 * i, t.floatData[i]!, true));
    case "doubleData":
      return littleEndian(t.doubleData.length, 8, (view, i) => view.setFloat64(8 * i, t.doubleData[i]!, true));
    case "int64Data":
      return littleEndian(t.int64Data.length, 8, (view, i) => view.setBigInt64(8 * i, t.int64Data[i]!, true));
    case "uint64Data":
      return littleEndian(t.uint64Data.length, type.bits / 8, (view, i) => {
        const value = t.uint64Data[i]!;
        if (type.bits === 64) view.setBigUint64(8 * i, value, true);
        else if (value <= 0xffffffffn) view.setUint32(4 * i, Number(value), true);
        else throw onnxErrors.bad(`value ${value} does not fit ${type.name}`, loc);
      });
    case "int32Data": {
      const [lowest, highest] = int32Range(type);
      const width = Math.max(1, type.bits / 8);
      return littleEndian(t.int32Data.length, width, (view, i) => {
        const value = t.int32Data[i]!;
        if (value < lowest || value > highest) throw onnxErrors.bad(`value ${value} in int32_data does not fit ${type.name}`, loc);
        if (width === 1) view.setInt8(i, value);
        else if (width === 2) view.setInt16(2 * i, value, true);
        else view.setInt32(4 * i, value, true);
      });
    }
    case "stringData":
      throw onnxErrors.unsupportedType(type.name, loc);
  }
}

function littleEndian(count: number, width: number, put: (view: DataView, i: number) => void): Uint8Array {
  const view = new DataView(new ArrayBuffer(count * width));
  for (let i = 0; i < count; i++) put(view, i);
  return new Uint8Array(view.buffer);
}

/** Values that a typed field must hold for `elements` elements: complex numbers take two, narrow integers share a byte. */
function typedCount(type: ElemType, elements: number): number {
  if (type.name === "COMPLEX64" || type.name === "COMPLEX128") return 2 * elements;
  return type.bits > 0 && type.bits < 8 ? packedBytes(type, elements) : elements;
}

function parseRange(t: Wire<"TensorProto">, loc: Loc): ExternalRange {
  const entries = new Map<string, string>();
  for (const { key, value } of t.externalData) {
    if (entries.has(key)) throw onnxErrors.duplicate("external-data key", key, loc);
    entries.set(key, value);
  }
  const integer = (key: string): number | undefined => {
    const text = entries.get(key);
    if (text === undefined) return undefined;
    const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value))
      throw onnxErrors.bad(`external data ${key} ${JSON.stringify(text.slice(0, 40))} is not a byte count`, loc);
    return value;
  };
  const location = entries.get("location");
  if (location === undefined) throw onnxErrors.bad("external data without a location", loc);
  return { location, offset: integer("offset") ?? 0, length: integer("length") };
}

/** Computes once, on first call. */
function lazy<T>(compute: () => T): () => T {
  let done: { readonly value: T } | undefined;
  return () => {
    done ??= { value: compute() };
    return done.value;
  };
}

/** `label` names the tensor in errors where it has no name of its own, as in an attribute. */
export function decodeTensor(t: Wire<"TensorProto">, ctx: DecodeContext, label = t.name): OnnxTensor {
  const loc = part(ctx.file, "tensor", t.name || label);
  const { dims, elements } = checkDims(t.dims, loc);
  const type = elemType(t.dataType);
  if (!type) throw onnxErrors.bad(`${elemTypeName(t.dataType)} is not one of ONNX`, loc);
  if (t.segment) throw onnxErrors.bad("segmented tensors are not supported", loc);
  const size = packedBytes(type, elements);
  ctx.declaredBytes += size;
  if (ctx.declaredBytes > ctx.budget.tensorBytes)
    throw onnxErrors.budget("bytes of tensors", ctx.declaredBytes, ctx.budget.tensorBytes, loc);

  const filled = DATA_FIELDS.filter((f) => t[f].length > 0);
  const raw = isSet(t, "rawData");
  const external = t.dataLocation === EXTERNAL;
  const sources = [...filled, ...(raw && t.rawData.length > 0 ? ["rawData"] : []), ...(external ? ["external data"] : [])];
  if (sources.length > 1) throw onnxErrors.bad(`its data is given twice, as ${sources.join(" and as ")}`, loc);
  if (t.dataLocation !== 0 && !external) throw onnxErrors.bad(`data location ${t.dataLocation} is unknown`, loc);
  const shape = `${type.name}[${dims}]`;
  const tensor = { name: t.name, elemType: t.dataType, dims, dtype: type.dtype, elements, strings: t.stringData };

  if (type.name === "STRING" && (raw || external)) throw onnxErrors.bad("strings belong in string_data", loc);
  if (external) {
    const range = parseRange(t, loc);
    if (range.length !== undefined && range.length !== size)
      throw onnxErrors.bad(`external data of ${range.length} bytes, and ${shape} takes ${size}`, loc);
    const read = ctx.external.open(range, size, loc);
    return Object.freeze({ ...tensor, bytes: lazy(() => fromRaw(read(), type, elements)) });
  }
  const typed = filled[0];
  if (typed === undefined) {
    if (t.rawData.length !== size) throw onnxErrors.bad(`${t.rawData.length} bytes of data, and ${shape} takes ${size}`, loc);
    return Object.freeze({
      ...tensor,
      bytes: lazy(() => (type.name === "STRING" ? packTyped(t, type, loc) : fromRaw(t.rawData, type, elements))),
    });
  }
  if (typed !== type.field) throw onnxErrors.bad(`${type.name} elements in ${typed}, and they belong in ${type.field}`, loc);
  const expected = typedCount(type, elements);
  if (t[typed].length !== expected) throw onnxErrors.bad(`${t[typed].length} values in ${typed}, and ${shape} takes ${expected}`, loc);
  return Object.freeze({ ...tensor, bytes: lazy(() => fromRaw(packTyped(t, type, loc), type, elements)) });
}
