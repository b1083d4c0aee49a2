// Seeded mutations of ONNX files: truncations, bit flips, and fields dropped, doubled, moved, exchanged or given nasty values.

import { type MessageName, SCHEMA } from "../../compiler/onnx/proto/schema.ts";

type Next = (below: number) => number;

/** A field of a message as it stands in the file. Of messages the fields, of others the bytes after the tag (and length). */
interface Field {
  number: number;
  wire: number;
  value: Uint8Array | Field[];
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

function readVarint(bytes: Uint8Array, at: number): readonly [value: number, end: number] {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = bytes[at++]!;
    value += (byte & 127) * scale;
    if (byte < 128) return [value, at];
  }
}

function varint(value: bigint): Uint8Array {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    out.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(out);
}

function parse(bytes: Uint8Array, message: MessageName): Field[] {
  const kinds = new Map(Object.values<readonly [number, string, "many"?]>(SCHEMA[message]).map(([number, kind]) => [number, kind]));
  const fields: Field[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [tag, start] = readVarint(bytes, at);
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    let from = start;
    let end = start;
    if (wire === VARINT) end = readVarint(bytes, start)[1];
    else if (wire === FIXED64) end += 8;
    else if (wire === FIXED32) end += 4;
    else {
      const [length, body] = readVarint(bytes, start);
      from = body;
      end = body + length;
    }
    const raw = bytes.subarray(from, end);
    const kind = kinds.get(number);
    const nested = wire === LENGTH && kind !== undefined && Object.hasOwn(SCHEMA, kind);
    fields.push({ number, wire, value: nested ? parse(raw, kind as MessageName) : raw });
    at = end;
  }
  return fields;
}

const print = (fields: readonly Field[]): Uint8Array =>
  Buffer.concat(
    fields.flatMap(({ number, wire, value }) => {
      const body = value instanceof Uint8Array ? value : print(value);
      const tag = varint(BigInt(number * 8 + wire));
      return wire === LENGTH ? [tag, varint(BigInt(body.length)), body] : [tag, body];
    }),
  );

/** A copy that shares no field: a message put into itself must not become endless. */
const copy = (value: Field["value"]): Field["value"] =>
  value instanceof Uint8Array ? value : value.map((field) => ({ ...field, value: copy(field.value) }));

/** Every field with the message that it stands in. */
const places = (fields: Field[]): readonly { readonly parent: Field[]; readonly field: Field }[] =>
  fields.flatMap((field) => [{ parent: fields, field }, ...(field.value instanceof Uint8Array ? [] : places(field.value))]);

const NUMBERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  5n,
  7n,
  16n,
  255n,
  65536n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n,
  2n ** 63n - 1n,
];
const NEGATIVE: readonly bigint[] = [-1n, -2n, -(2n ** 31n), -(2n ** 63n)];
const NAMES: readonly string[] = [
  "",
  "__proto__",
  "constructor",
  "toString",
  "../../x",
  "x".repeat(3000),
  "\ufffd",
  "If",
  "Loop",
  "Identity",
  "Resize",
];

function splice(fields: Field[], next: Next): void {
  const all = places(fields);
  const { parent, field } = all[next(all.length)]!;
  const alike = all.filter(({ field: f }) => f.number === field.number && f.wire === field.wire);
  const at = parent.indexOf(field);
  const nasty = (): void => {
    if (field.wire === VARINT) field.value = varint([...NUMBERS, ...NEGATIVE][next(NUMBERS.length + NEGATIVE.length)]!);
    else if (field.value instanceof Uint8Array && field.wire === LENGTH && field.value.length < 64)
      field.value = new TextEncoder().encode(NAMES[next(NAMES.length)]);
    else if (field.value instanceof Uint8Array) field.value = field.value.map(() => next(256));
    else field.value = [];
  };
  const ways: readonly (() => void)[] = [
    nasty,
    nasty,
    nasty,
    () => void (field.value = copy(alike[next(alike.length)]!.field.value)),
    () => void (field.value = copy(alike[next(alike.length)]!.field.value)),
    () => void (field.value = copy(all[next(all.length)]!.field.value)),
    () => void parent.splice(at, 1),
    () => void parent.splice(at, 0, { ...field, value: copy(field.value) }),
    () => void parent.splice(next(parent.length), 0, ...parent.splice(at, 1)),
    () => void (field.number = next(24)),
    () => void (field.wire = next(6)),
    () => void (field.value instanceof Uint8Array && (field.value = field.value.subarray(0, next(field.value.length + 1)))),
  ];
  ways[next(ways.length)]!();
}

/** The model with one mutation, now and then a few; the same seed gives the same bytes. */
export function mutateModel(model: Uint8Array, next: Next): Uint8Array {
  const kind = next(10);
  if (kind === 0) return model.slice(0, next(model.length));
  if (kind < 3) {
    const out = model.slice();
    for (let n = next(8); n >= 0; n--) out[next(out.length)]! ^= 1 << next(8);
    return out;
  }
  const fields = parse(model, "ModelProto");
  for (let n = next(3) ? 0 : next(6); n >= 0; n--) splice(fields, next);
  return print(fields);
}
