// Which WebAssembly features the engine has, found by validating tiny modules.

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
/** A module with one function without parameters, of result v128 and the given code. */
const vectorFunction = (...code: readonly number[]): readonly number[] => [
  ...HEADER,
  1,
  5,
  1,
  0x60,
  0,
  1,
  0x7b,
  3,
  2,
  1,
  0,
  10,
  code.length + 4,
  1,
  code.length + 2,
  0,
  ...code,
  0x0b,
];
const SPLAT_ZERO = [0x41, 0, 0xfd, 0x11];

const PROBES: ReadonlyMap<string, readonly number[]> = new Map([
  ["simd", vectorFunction(...SPLAT_ZERO)],
  ["relaxed-simd", vectorFunction(...SPLAT_ZERO, ...SPLAT_ZERO, ...SPLAT_ZERO, 0xfd, 0x85, 2)], // f32x4.relaxed_madd
  ["threads", [...HEADER, 5, 4, 1, 3, 1, 1]], // a shared memory
]);

const FOURS = [...SPLAT_ZERO, 0xfd, 0x93, 2, 0xfd, 0x1b, 0]; // i32x4.relaxed_dot_i8x16_i7x16_add_s, of zeros, lane 0
const PAIRS = [0xfd, 0x92, 2, 0xfd, 0x18, 0]; // i16x8.relaxed_dot_i8x16_i7x16_s, lane 0, with its sign

/**
 * A module that exports `f(): i32`, lane 0 of a relaxed dot product of signed bytes `a` by bytes `b`, all lanes the same: what it gives for
 * second operands above 127 is the engine's choice, made once.
 */
const byteDot = (a: number, b: number, dot: readonly number[]): readonly number[] => {
  const splat = (x: number): readonly number[] => [0x41, (x & 0x7f) | 0x80, x >> 7, 0xfd, 0x0f];
  const code = [...splat(a), ...splat(b), ...dot];
  return [
    ...HEADER,
    1,
    5,
    1,
    0x60,
    0,
    1,
    0x7f,
    3,
    2,
    1,
    0,
    7,
    5,
    1,
    1,
    0x66,
    0,
    0,
    10,
    code.length + 4,
    1,
    code.length + 2,
    0,
    ...code,
    0x0b,
  ];
};

/** Products of bytes, and so many of them added up, that are exact where second operands are read as meant and nothing saturates. */
const PRODUCTS: Readonly<Record<string, { readonly dot: readonly number[]; readonly of: number; readonly bytes: readonly number[][] }>> = {
  "byte-dots": {
    dot: FOURS,
    of: 4,
    bytes: [
      [127, 255],
      [-128, 255],
      [3, 127],
    ],
  },
  "signed-byte-dots": {
    dot: FOURS,
    of: 4,
    bytes: [
      [127, -128],
      [-127, -128],
      [-3, 127],
    ],
  },
  "small-byte-pairs": {
    dot: PAIRS,
    of: 2,
    bytes: [
      [127, 127],
      [-128, 127],
    ],
  },
  "byte-pairs": {
    dot: PAIRS,
    of: 2,
    bytes: [
      [64, 255],
      [-64, 255],
      [127, 127],
    ],
  },
};

function hasProducts(feature: string): boolean {
  const { dot, of, bytes } = PRODUCTS[feature]!;
  const exact = ([a, b]: readonly number[]): boolean => {
    const module = new WebAssembly.Module(new Uint8Array(byteDot(a! & 255, b! & 255, dot)));
    return (new WebAssembly.Instance(module).exports["f"] as () => number)() === of * a! * b!;
  };
  try {
    return hasFeature("relaxed-simd") && bytes.every(exact);
  } catch {
    // Workers on the edge compile nothing at run time.
    return false;
  }
}

/** Features that were found; one that is missing may be switched on later. */
const known = new Set<string>();

/** Whether the engine has `feature`: "wasm", "simd", "relaxed-simd", "byte-dots", "signed-byte-dots", "byte-pairs", "small-byte-pairs" or "threads" (with SharedArrayBuffer); others it does not have. */
export function hasFeature(feature: string): boolean {
  if (typeof WebAssembly === "undefined") return false;
  if (feature === "wasm") return true;
  if (feature === "threads" && typeof SharedArrayBuffer === "undefined") return false;
  if (known.has(feature)) return true;
  const probe = PROBES.get(feature);
  const has = Object.hasOwn(PRODUCTS, feature) ? hasProducts(feature) : probe !== undefined && WebAssembly.validate(new Uint8Array(probe));
  if (has) known.add(feature);
  return has;
}
