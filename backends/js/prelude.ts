// Definitions that printed JavaScript may use; each module carries those that it does.

/** Typed views of the memory, by their constructors. */
export const VIEWS: ReadonlyMap<string, string> = new Map([
  ["I8", "Int8Array"],
  ["U8", "Uint8Array"],
  ["I16", "Int16Array"],
  ["U16", "Uint16Array"],
  ["I32", "Int32Array"],
  ["U32", "Uint32Array"],
  ["F32", "Float32Array"],
  ["F64", "Float64Array"],
  ["I64", "BigInt64Array"],
  ["U64", "BigUint64Array"],
]);

/** Small functions by name, in an order in which later ones may use earlier ones. */
export const FUNCTIONS: ReadonlyMap<string, string> = new Map([
  ["fround", "const fround = Math.fround;"],
  ["imul", "const imul = Math.imul;"],
  ["asI64", "const asI64 = (x) => BigInt.asIntN(64, x);"],
  ["asU64", "const asU64 = (x) => BigInt.asUintN(64, x);"],
  ["shl32", "const shl32 = (a, b) => (b >>> 0 < 32 ? a << b : 0);"],
  ["sar32", "const sar32 = (a, b) => a >> (b >>> 0 < 32 ? b : 31);"],
  ["shr32", "const shr32 = (a, b) => (b >>> 0 < 32 ? a >>> b : 0);"],
  ["shl64", "const shl64 = (a, b) => (b >= 0n && b < 64n ? a << b : 0n);"],
  ["shr64", "const shr64 = (a, b) => a >> (b >= 0n && b < 64n ? b : 64n);"],
  ["div64", "const div64 = (a, b) => (b === 0n ? 0n : a / b);"],
  ["rem64", "const rem64 = (a, b) => (b === 0n ? 0n : a % b);"],
  ["min64", "const min64 = (a, b) => (a < b ? a : b);"],
  ["max64", "const max64 = (a, b) => (a > b ? a : b);"],
  ["toI32", "const toI32 = (x) => (x >= 2147483647 ? 2147483647 : x <= -2147483648 ? -2147483648 : x | 0);"],
  ["toU32", "const toU32 = (x) => (x >= 4294967295 ? 4294967295 : x > 0 ? x >>> 0 : 0);"],
  [
    "toI64",
    "const toI64 = (x) => (x >= 2 ** 63 ? 2n ** 63n - 1n : x <= -(2 ** 63) ? -(2n ** 63n) : x === x ? BigInt(Math.trunc(x)) : 0n);",
  ],
  ["toU64", "const toU64 = (x) => (x >= 2 ** 64 ? 2n ** 64n - 1n : x > 0 ? BigInt(Math.trunc(x)) : 0n);"],
  ["f64Bits", "const f64Bits = new Float64Array(1);"],
  ["f32Bits", "const f32Bits = new Float32Array(f64Bits.buffer);"],
  ["i32Bits", "const i32Bits = new Int32Array(f64Bits.buffer);"],
  ["u32Bits", "const u32Bits = new Uint32Array(f64Bits.buffer);"],
  ["i64Bits", "const i64Bits = new BigInt64Array(f64Bits.buffer);"],
  ["u64Bits", "const u64Bits = new BigUint64Array(f64Bits.buffer);"],
]);

/** The array whose element 0 holds the bits of a scalar type. */
export const BITS = { i32: "i32Bits", u32: "u32Bits", f32: "f32Bits", i64: "i64Bits", u64: "u64Bits", f64: "f64Bits" } as const;

const RESERVED = `arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally
for function if implements import in instanceof interface let new null package private protected public return static super switch this throw
true try typeof undefined var void while with yield async of get set NaN Infinity Math BigInt Number buffer instantiate run Fault Object`;

/** Names that a printed variable or function may not take. */
export const TAKEN: ReadonlySet<string> = new Set([...RESERVED.split(/\s+/), ...VIEWS.keys(), ...FUNCTIONS.keys(), ...[...VIEWS.values()]]);
