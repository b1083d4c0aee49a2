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

/**
 * A module that exports `f(): i32`, lane 0 of the relaxed dot product of signed bytes `a` by bytes `b`, all lanes the same: what it gives for
 * second operands above 127 is the engine's choice, made once.
 */
const byteDot = (a: number, b: number): readonly number[] => {
  const splat = (x: number): readonly number[] => [0x41, (x & 0x7f) | 0x80, x >> 7, 0xfd, 0x0f];
  const code = [...splat(a), ...splat(b), ...SPLAT_ZERO, 0xfd, 0x93, 2, 0xfd, 0x1b, 0];
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

/** Signed bytes by unsigned ones, four products added up without saturation. */
function hasByteDots(): boolean {
  const dot = (a: number, b: number): number => {
    const module = new WebAssembly.Module(new Uint8Array(byteDot(a, b)));
    return (new WebAssembly.Instance(module).exports["f"] as () => number)();
  };
  try {
    return hasFeature("relaxed-simd") && dot(127, 255) === 4 * 127 * 255 && dot(128, 255) === -4 * 128 * 255 && dot(3, 127) === 4 * 3 * 127;
  } catch {
    // Workers on the edge compile nothing at run time.
    return false;
  }
}

/** Features that were found; one that is missing may be switched on later. */
const known = new Set<string>();

/** Whether the engine has `feature`: "wasm", "simd", "relaxed-simd", "byte-dots" or "threads" (with SharedArrayBuffer); others it does not have. */
export function hasFeature(feature: string): boolean {
  if (typeof WebAssembly === "undefined") return false;
  if (feature === "wasm") return true;
  if (feature === "threads" && typeof SharedArrayBuffer === "undefined") return false;
  if (known.has(feature)) return true;
  const probe = PROBES.get(feature);
  const has = feature === "byte-dots" ? hasByteDots() : probe !== undefined && WebAssembly.validate(new Uint8Array(probe));
  if (has) known.add(feature);
  return has;
}
