// How buffers and shared arrays are declared: one element type each, from all that a kernel loads and stores there.

import type { MemoryType } from "../../ir/kernel/types.ts";
import { errors } from "./diagnostics.ts";

/** How the elements of a buffer are declared. */
export type Element = "f32" | "i32" | "u32" | "vec2u" | "vec4f" | "vec4i" | "atomic<u32>" | "f16";

/** A buffer or a shared array that pointers of a kernel point into. */
export interface Root {
  /** Its name in the module. */
  readonly name: string;
  readonly space: "storage" | "workgroup";
  /** What is loaded from it and stored there. */
  readonly loads: Set<MemoryType>;
  readonly stores: Set<MemoryType>;
  /** The largest power of two, up to 16, that is seen to divide every distance and displacement. */
  divisor: number;
  /** Accessors that the kernel uses, by name. */
  readonly accessors: Map<string, string>;
  /** Where it is more than one binding may hold: how many bindings it takes, and the bytes of each but the last. */
  readonly windows?: Windows | undefined;
}

export interface Windows {
  readonly count: number;
  readonly bytes: number;
}

const BYTES: Readonly<Record<Element, number>> = { f32: 4, i32: 4, u32: 4, vec2u: 8, vec4f: 16, vec4i: 16, "atomic<u32>": 4, f16: 2 };
const ALIKE: Readonly<Partial<Record<MemoryType, Element>>> = {
  f32: "f32",
  i32: "i32",
  u32: "u32",
  i64: "vec2u",
  u64: "vec2u",
  f32x4: "vec4f",
  i32x4: "vec4i",
  f16: "f16",
};
/** Types of which several lie in a word: a store of one must leave the others alone. */
const NARROW: Readonly<Partial<Record<MemoryType, { readonly bits: number; readonly signed: boolean }>>> = {
  i8: { bits: 8, signed: true },
  u8: { bits: 8, signed: false },
  bool: { bits: 8, signed: false },
  i16: { bits: 16, signed: true },
  u16: { bits: 16, signed: false },
};

export function elementOf(root: Root): Element {
  if ([...root.stores].some((m) => NARROW[m])) return "atomic<u32>";
  // What is not seen to be aligned to a whole element is taken apart.
  const kinds = new Set(
    [...root.loads, ...root.stores].map((m): Element => {
      const own = ALIKE[m] ?? "u32";
      return root.divisor % BYTES[own] === 0 || BYTES[own] === 4 ? own : own === "vec4f" ? "f32" : "u32";
    }),
  );
  const only = kinds.size === 1 ? [...kinds][0]! : undefined;
  if (root.stores.has("f16") && only !== "f16") return "atomic<u32>";
  if (only) return only;
  return kinds.size === 2 && kinds.has("f32") && kinds.has("vec4f") ? "f32" : "u32";
}

export const elementBytes = (e: Element): number => BYTES[e];
/** What one step of a pointer means: a whole element, or a byte where distances are no multiples of one. */
export const unitOf = (root: Root): number => {
  const bytes = BYTES[elementOf(root)];
  return root.divisor % bytes === 0 ? bytes : 1;
};

/** Text of an index of the root's elements, from a pointer in its unit and a displacement in bytes. */
export function indexText(root: Root, pointer: string, offset: number): string {
  const [bytes, unit] = [BYTES[elementOf(root)], unitOf(root)];
  const shown = offset / unit;
  const at = pointer === "0" ? String(shown) : shown === 0 ? pointer : `${pointer} + ${shown}`;
  return bytes === unit ? at : pointer === "0" ? String(Math.floor(offset / bytes)) : `(${at}) >> ${Math.log2(bytes)}u`;
}

const fail = (func: string, what: string): never => {
  throw errors.notLegal(func, what);
};

const VALUE: Readonly<Partial<Record<Element, MemoryType>>> = { f32: "f32", i32: "i32", u32: "u32", vec4f: "f32x4", vec4i: "i32x4" };
const SCALAR = { f32x4: "f32", i32x4: "i32" } as const;

/** The variables that hold a root. */
export const variablesOf = ({ name, windows }: Root): readonly string[] =>
  windows ? Array.from({ length: windows.count }, (_, k) => `${name}_${k}`) : [name];

/** What is done with element `i`, in whichever window it lies. */
function inWindow(root: Root, statement: (place: string) => string): string {
  const step = root.windows!.bytes / BYTES[elementOf(root)];
  const variables = variablesOf(root);
  const each = variables.map((v, k) => statement(`${v}[${k === 0 ? "i" : `i - ${k * step}`}]`));
  return each.map((text, k) => (k === each.length - 1 ? text : `if (i < ${(k + 1) * step}) { ${text} }`)).join("\n  ");
}

const valueType = (element: Element): string => (element === "atomic<u32>" ? "u32" : element);

/** An element's value. */
function read(root: Root, index: string): string {
  const element = elementOf(root);
  const value = (place: string): string => (element === "atomic<u32>" ? `atomicLoad(&${place})` : place);
  if (!root.windows) return value(`${root.name}[${index}]`);
  const body = (): string => inWindow(root, (place) => `return ${value(place)};`);
  return `${accessor(root, "at", () => `fn NAME(i: i32) -> ${valueType(element)} {\n  ${body()}\n}`)}(${index})`;
}

const UPDATES = {
  set: (place: string, value: string): string => `${place} = ${value};`,
  store: (place: string, value: string): string => `atomicStore(&${place}, ${value});`,
  and: (place: string, value: string): string => `atomicAnd(&${place}, ${value});`,
  or: (place: string, value: string): string => `atomicOr(&${place}, ${value});`,
} as const;

/** A statement that changes an element. */
function update(root: Root, how: keyof typeof UPDATES, index: string, value: string): string {
  if (!root.windows) return UPDATES[how](`${root.name}[${index}]`, value);
  const body = (): string => inWindow(root, (place) => `${UPDATES[how](place, "v")} return;`);
  return `${accessor(root, how, () => `fn NAME(i: i32, v: ${valueType(elementOf(root))}) {\n  ${body()}\n}`)}(${index}, ${value});`;
}

/** A word of a root of 4-byte elements as another type. */
function word(root: Root, index: string, as: "f32" | "i32" | "u32"): string {
  const value = read(root, index);
  return valueType(elementOf(root)) === as ? value : `bitcast<${as}>(${value})`;
}

const plus = (index: string, n: number): string =>
  n === 0 ? index : /^-?\d+$/.test(index) ? String(Number(index) + n) : `${index} + ${n}`;

/** Text that loads `memory` from a pointer; a bool is true or false. */
export function loadText(root: Root, memory: MemoryType, pointer: string, offset: number, func: string): string {
  const element = elementOf(root);
  const index = indexText(root, pointer, offset);
  if (VALUE[element] === memory || (element === "vec2u" && (memory === "i64" || memory === "u64"))) return read(root, index);
  if (element === "f16" && memory === "f16") return `f32(${read(root, index)})`;
  if (BYTES[element] !== 4) return fail(func, `a load of ${memory} from ${element}`);
  switch (memory) {
    case "f32":
    case "i32":
    case "u32":
      return word(root, index, memory);
    case "i64":
    case "u64":
      return `${accessor(root, "64", () => `fn NAME(i: i32) -> vec2u { return vec2u(${word(root, "i", "u32")}, ${word(root, "i + 1", "u32")}); }`)}(${index})`;
    case "f32x4":
    case "i32x4": {
      const of = SCALAR[memory];
      const lanes = [0, 1, 2, 3].map((n) => word(root, plus("i", n), of)).join(", ");
      return `${accessor(root, memory, () => `fn NAME(i: i32) -> vec4<${of}> { return vec4<${of}>(${lanes}); }`)}(${index})`;
    }
    case "i8x4":
    case "u8x4": {
      const own = word(root, "i", "u32");
      const lanes =
        memory === "u8x4"
          ? `vec4i((vec4u(${own}) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u))`
          : `bitcast<vec4i>(vec4u(${own}) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)`;
      return `${accessor(root, memory, () => `fn NAME(i: i32) -> vec4i { return ${lanes}; }`)}(${index})`;
    }
    case "f16": {
      const pair = `bitcast<vec2<f16>>(${word(root, "i >> 2u", "u32")})`;
      const name = accessor(root, memory, () => `fn NAME(i: i32) -> f32 { return f32(${pair}[(u32(i) >> 1u) & 1u]); }`);
      return `${name}(${byteText(root, pointer, offset)})`;
    }
    default: {
      const narrow = NARROW[memory];
      if (!narrow) return fail(func, `a load of ${memory}`);
      const { bits, signed } = narrow;
      const name = accessor(root, memory, () => {
        const shifted = `${word(root, "i >> 2u", "u32")} >> ((u32(i) & 3u) << 3u)`;
        const value = signed
          ? `extractBits(bitcast<i32>(${shifted}), 0u, ${bits}u)`
          : `i32((${shifted}) & ${memory === "bool" ? "0xffu" : `${2 ** bits - 1}u`})`;
        return memory === "bool"
          ? `fn NAME(i: i32) -> bool { return ((${shifted}) & 0xffu) != 0u; }`
          : `fn NAME(i: i32) -> i32 { return ${value}; }`;
      });
      return `${name}(${byteText(root, pointer, offset)})`;
    }
  }
}

/** A byte address. */
function byteText(root: Root, pointer: string, offset: number): string {
  const unit = unitOf(root);
  if (pointer === "0") return String(offset);
  const scaled = unit === 1 ? pointer : `(${pointer}) * ${unit}`;
  return offset === 0 ? scaled : `${scaled} + ${offset}`;
}

/** Statements that store `value`. */
export function storeText(root: Root, memory: MemoryType, pointer: string, offset: number, value: string, func: string): string {
  const element = elementOf(root);
  const index = indexText(root, pointer, offset);
  if (VALUE[element] === memory || (element === "vec2u" && (memory === "i64" || memory === "u64")))
    return update(root, "set", index, value);
  if (element === "f16" && memory === "f16") return update(root, "set", index, `f16(${value})`);
  if (BYTES[element] !== 4) return fail(func, `a store of ${memory} to ${element}`);
  const put = (at: string, text: string, from: "f32" | "i32" | "u32"): string => {
    const own = valueType(element);
    return update(root, element === own ? "set" : "store", at, own === from ? text : `bitcast<${own}>(${text})`);
  };
  switch (memory) {
    case "f32":
    case "i32":
    case "u32":
      return put(index, value, memory);
    case "i64":
    case "u64":
      return `${accessor(root, "put_64", () => `fn NAME(i: i32, v: vec2u) { ${put("i", "v.x", "u32")} ${put("i + 1", "v.y", "u32")} }`)}(${index}, ${value});`;
    case "f32x4":
    case "i32x4": {
      const of = SCALAR[memory];
      const lanes = ["x", "y", "z", "w"].map((c, n) => put(plus("i", n), `v.${c}`, of)).join(" ");
      return `${accessor(root, `put_${memory}`, () => `fn NAME(i: i32, v: vec4<${of}>) { ${lanes} }`)}(${index}, ${value});`;
    }
    case "i8x4":
    case "u8x4": {
      const [low, high] = memory === "u8x4" ? [0, 255] : [-128, 127];
      const lanes = `vec4u(clamp(v, vec4i(${low}), vec4i(${high})))${memory === "u8x4" ? "" : " & vec4u(255u)"}`;
      const bytes = put("i", `dot(${lanes}, vec4u(1u, 256u, 65536u, 16777216u))`, "u32");
      return `${accessor(root, `put_${memory}`, () => `fn NAME(i: i32, v: vec4i) { ${bytes} }`)}(${index}, ${value});`;
    }
    default: {
      const narrow = memory === "f16" ? NARROW.u16 : NARROW[memory];
      if (!narrow) return fail(func, `a store of ${memory}`);
      const mask = `${2 ** narrow.bits - 1}u`;
      const name = accessor(root, `put_${memory}`, () => {
        const type = memory === "bool" ? "bool" : memory === "f16" ? "f32" : "i32";
        const half = "bitcast<u32>(vec2<f16>(f16(v), 0h))";
        const bits = memory === "bool" ? "u32(v)" : memory === "f16" ? half : `(u32(v) & ${mask})`;
        return `fn NAME(i: i32, v: ${type}) {
  let shift = (u32(i) & 3u) << 3u;
  ${update(root, "and", "i >> 2u", `~(${mask} << shift)`)}
  ${update(root, "or", "i >> 2u", `${bits} << shift`)}
}`;
      });
      return `${name}(${byteText(root, pointer, offset)}, ${value});`;
    }
  }
}

function accessor(root: Root, what: string, text: () => string): string {
  const name = `${root.name}_${what}`;
  if (!root.accessors.has(name)) root.accessors.set(name, text().replace("NAME", name));
  return name;
}
