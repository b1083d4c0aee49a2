// Checks the wire structure of a message before anything is allocated for it: nesting, lengths, wire types, and the budget.

import type { Budget } from "./budget.ts";
import { onnxErrors } from "./diagnostics.ts";
import { isScalar, type MessageName, SCHEMA } from "./schema.ts";

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

interface Field {
  readonly name: string;
  /** The wire type of one value. */
  readonly wire: number;
  readonly message: MessageName | undefined;
  readonly repeated: boolean;
  /** May come as one length-delimited run of values. */
  readonly packable: boolean;
}

const WIRE_OF: Readonly<Record<string, number>> = { int32: VARINT, int64: VARINT, uint64: VARINT, float: FIXED32, double: FIXED64 };

const FIELDS: ReadonlyMap<MessageName, ReadonlyMap<number, Field>> = new Map(
  (Object.keys(SCHEMA) as MessageName[]).map((message) => [
    message,
    new Map(
      Object.entries<readonly [number, string, "many"?]>(SCHEMA[message]).map(([name, [number, kind, many]]) => {
        const wire = WIRE_OF[kind] ?? BYTES;
        const nested = isScalar(kind) ? undefined : (kind as MessageName);
        return [number, { name, wire, message: nested, repeated: !!many, packable: !!many && wire !== BYTES }];
      }),
    ),
  ]),
);

/**
 * Throws `bad-model` unless `bytes` is a `root` message whose nested lengths all fit, and `budget` where it asks for too much.
 * protobuf's own reader trusts nested lengths and wire types; after this check it may.
 */
export function checkWire(bytes: Uint8Array, root: MessageName, file: string, budget: Budget): void {
  const loc = { file, name: "" };
  let position = 0;
  let objects = 0;
  let typedElements = 0;
  const counts = { NodeProto: 0, AttributeProto: 0 };

  const fail = (why: string, at = position): never => {
    throw onnxErrors.malformed(file, `${why} at byte ${at}`);
  };

  /** A varint's value, exact up to 2^53 and only used for tags and lengths; ends before `end`. */
  const varint = (end: number): number => {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      if (position >= end) fail("a number is cut off");
      const byte = bytes[position++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    return fail("a number is longer than ten bytes");
  };

  const packed = (field: Field, message: string, end: number): void => {
    const length = end - position;
    const width = field.wire === FIXED32 ? 4 : 8;
    if (field.wire !== VARINT) {
      if (length % width !== 0) fail(`${message}.${field.name} is not whole numbers`);
      typedElements += length / width;
      position = end;
      return;
    }
    let run = 0;
    for (; position < end; position++) {
      if (bytes[position]! >= 128) {
        if (++run >= 10) fail("a number is longer than ten bytes");
      } else {
        typedElements++;
        run = 0;
      }
    }
    if (run > 0) fail(`${message}.${field.name} is cut off`);
  };

  const countObject = (): void => {
    if (++objects > budget.objects) throw onnxErrors.budget("messages and strings", objects, budget.objects, loc);
  };

  const walk = (name: MessageName, end: number, depth: number): void => {
    if (depth > budget.depth) throw onnxErrors.budget("levels of nesting", depth, budget.depth, loc);
    countObject();
    if (name === "NodeProto" && ++counts.NodeProto > budget.nodes) throw onnxErrors.budget("nodes", counts.NodeProto, budget.nodes, loc);
    if (name === "AttributeProto" && ++counts.AttributeProto > budget.attributes)
      throw onnxErrors.budget("attributes", counts.AttributeProto, budget.attributes, loc);
    const fields = FIELDS.get(name)!;
    while (position < end) {
      const start = position;
      const tag = varint(end);
      const number = Math.floor(tag / 8);
      const wire = tag % 8;
      if (number === 0 || tag > 0xffffffff) fail(`${name} has a field of number ${number}`, start);
      const field = fields.get(number);
      if (field && wire !== field.wire && !(field.packable && wire === BYTES))
        fail(`${name}.${field.name} has wire type ${wire}, not ${field.wire}`, start);
      switch (wire) {
        case VARINT:
          varint(end);
          break;
        case FIXED64:
          position += 8;
          break;
        case FIXED32:
          position += 4;
          break;
        case BYTES: {
          const length = varint(end);
          if (length > end - position)
            fail(`${name}${field ? `.${field.name}` : ` field ${number}`} is ${length} bytes long, and ${end - position} are left`);
          const stop = position + length;
          if (field?.message) walk(field.message, stop, depth + 1);
          else if (field?.packable) packed(field, name, stop);
          else if (field?.repeated) countObject();
          position = stop;
          break;
        }
        default:
          fail(`${name} has a field of wire type ${wire}`, start);
      }
      if (position > end) fail(`${name} is cut off`);
      if (field?.packable && wire !== BYTES) typedElements++;
      if (typedElements > budget.typedElements)
        throw onnxErrors.budget("numbers in typed fields", typedElements, budget.typedElements, loc);
    }
  };

  walk(root, bytes.length, 1);
}
