// Definitions that printed WGSL may use; each module carries those that it does. A 64-bit integer is a vec2u of its low and high word.

/** Names by what they need first; each text is a whole declaration. */
export const PRELUDE: ReadonlyMap<string, { readonly needs?: readonly string[]; readonly text: string }> = new Map(
  Object.entries({
    // Constant expressions may be no infinity and no NaN: these are neither constant nor ever written.
    inf_bits: { text: "var<private> inf_bits: u32 = 0x7f800000u;" },
    nan_bits: { text: "var<private> nan_bits: u32 = 0x7fc00000u;" },
    // Devices may take it that there are no NaNs, so they are told by their bits.
    is_nan: { text: "fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }" },
    is_nan4: { text: "fn is_nan4(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u); }" },
    min_f32: { needs: ["is_nan"], text: "fn min_f32(a: f32, b: f32) -> f32 { return select(b, a, a < b || is_nan(a)); }" },
    max_f32: { needs: ["is_nan"], text: "fn max_f32(a: f32, b: f32) -> f32 { return select(b, a, a > b || is_nan(a)); }" },
    min_f32x4: { needs: ["is_nan4"], text: "fn min_f32x4(a: vec4f, b: vec4f) -> vec4f { return select(b, a, (a < b) | is_nan4(a)); }" },
    max_f32x4: { needs: ["is_nan4"], text: "fn max_f32x4(a: vec4f, b: vec4f) -> vec4f { return select(b, a, (a > b) | is_nan4(a)); }" },
    f32_to_i32: {
      needs: ["is_nan"],
      text: `fn f32_to_i32(x: f32) -> i32 {
  if (x >= 2147483648f) { return 2147483647; }
  if (x < -2147483648f) { return -2147483648; }
  return select(i32(x), 0, is_nan(x));
}`,
    },
    f32_to_u32: {
      needs: ["is_nan"],
      text: `fn f32_to_u32(x: f32) -> u32 {
  if (x >= 4294967296f) { return 4294967295u; }
  return select(u32(x), 0u, is_nan(x) || x < 0f);
}`,
    },
    div_i32: { text: "fn div_i32(a: i32, b: i32) -> i32 { return select(a / select(b, 1, b == 0), 0, b == 0); }" },
    div_u32: { text: "fn div_u32(a: u32, b: u32) -> u32 { return select(a / select(b, 1u, b == 0u), 0u, b == 0u); }" },
    rem_i32: { text: "fn rem_i32(a: i32, b: i32) -> i32 { return select(a % select(b, 1, b == 0), 0, b == 0); }" },
    rem_u32: { text: "fn rem_u32(a: u32, b: u32) -> u32 { return select(a % select(b, 1u, b == 0u), 0u, b == 0u); }" },
    shl_32: { text: "fn shl_32(a: u32, b: u32) -> u32 { return select(0u, a << (b & 31u), b < 32u); }" },
    shr_u32: { text: "fn shr_u32(a: u32, b: u32) -> u32 { return select(0u, a >> (b & 31u), b < 32u); }" },
    shr_i32: { text: "fn shr_i32(a: i32, b: u32) -> i32 { return a >> min(b, 31u); }" },
    add_64: { text: "fn add_64(a: vec2u, b: vec2u) -> vec2u { let low = a.x + b.x; return vec2u(low, a.y + b.y + u32(low < a.x)); }" },
    sub_64: { text: "fn sub_64(a: vec2u, b: vec2u) -> vec2u { return vec2u(a.x - b.x, a.y - b.y - u32(a.x < b.x)); }" },
    neg_64: { needs: ["sub_64"], text: "fn neg_64(a: vec2u) -> vec2u { return sub_64(vec2u(0u), a); }" },
    abs_i64: { needs: ["neg_64"], text: "fn abs_i64(a: vec2u) -> vec2u { return select(a, neg_64(a), i32(a.y) < 0); }" },
    mul_64: {
      text: `fn mul_64(a: vec2u, b: vec2u) -> vec2u {
  let p = vec2u(a.x & 0xffffu, a.x >> 16u);
  let q = vec2u(b.x & 0xffffu, b.x >> 16u);
  let middle = p.y * q.x + ((p.x * q.x) >> 16u);
  let cross = p.x * q.y + (middle & 0xffffu);
  let high = p.y * q.y + (middle >> 16u) + (cross >> 16u);
  return vec2u(a.x * b.x, high + a.x * b.y + a.y * b.x);
}`,
    },
    lt_u64: { text: "fn lt_u64(a: vec2u, b: vec2u) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }" },
    lt_i64: { text: "fn lt_i64(a: vec2u, b: vec2u) -> bool { return i32(a.y) < i32(b.y) || (a.y == b.y && a.x < b.x); }" },
    min_i64: { needs: ["lt_i64"], text: "fn min_i64(a: vec2u, b: vec2u) -> vec2u { return select(b, a, lt_i64(a, b)); }" },
    max_i64: { needs: ["lt_i64"], text: "fn max_i64(a: vec2u, b: vec2u) -> vec2u { return select(a, b, lt_i64(a, b)); }" },
    min_u64: { needs: ["lt_u64"], text: "fn min_u64(a: vec2u, b: vec2u) -> vec2u { return select(b, a, lt_u64(a, b)); }" },
    max_u64: { needs: ["lt_u64"], text: "fn max_u64(a: vec2u, b: vec2u) -> vec2u { return select(a, b, lt_u64(a, b)); }" },
    shl_64: {
      text: `fn shl_64(a: vec2u, b: vec2u) -> vec2u {
  let n = b.x;
  if (b.y != 0u || n > 63u) { return vec2u(0u); }
  if (n == 0u) { return a; }
  if (n > 31u) { return vec2u(0u, a.x << (n - 32u)); }
  return vec2u(a.x << n, (a.y << n) | (a.x >> (32u - n)));
}`,
    },
    shr_u64: {
      text: `fn shr_u64(a: vec2u, b: vec2u) -> vec2u {
  let n = b.x;
  if (b.y != 0u || n > 63u) { return vec2u(0u); }
  if (n == 0u) { return a; }
  if (n > 31u) { return vec2u(a.y >> (n - 32u), 0u); }
  return vec2u((a.x >> n) | (a.y << (32u - n)), a.y >> n);
}`,
    },
    shr_i64: {
      text: `fn shr_i64(a: vec2u, b: vec2u) -> vec2u {
  let sign = u32(i32(a.y) >> 31u);
  let n = b.x;
  if (b.y != 0u || n > 63u) { return vec2u(sign); }
  if (n == 0u) { return a; }
  if (n > 31u) { return vec2u(u32(i32(a.y) >> (n - 32u)), sign); }
  return vec2u((a.x >> n) | (a.y << (32u - n)), u32(i32(a.y) >> n));
}`,
    },
    // Long division, bit by bit: quotient and remainder; a divisor of zero gives zero for both.
    divide_u64: {
      needs: ["lt_u64", "sub_64"],
      text: `fn divide_u64(a: vec2u, b: vec2u) -> array<vec2u, 2> {
  var quotient = vec2u(0u);
  var rest = vec2u(0u);
  if (all(b == vec2u(0u))) { return array<vec2u, 2>(quotient, rest); }
  if ((a.y | b.y) == 0u) { return array<vec2u, 2>(vec2u(a.x / b.x, 0u), vec2u(a.x % b.x, 0u)); }
  for (var i = 63i; i >= 0i; i--) {
    let word = select(a.x, a.y, i > 31);
    let out = rest.y >> 31u;
    rest = vec2u((rest.x << 1u) | ((word >> (u32(i) & 31u)) & 1u), (rest.y << 1u) | (rest.x >> 31u));
    if (out == 1u || !lt_u64(rest, b)) {
      rest = sub_64(rest, b);
      let bit = 1u << (u32(i) & 31u);
      quotient = select(vec2u(quotient.x | bit, quotient.y), vec2u(quotient.x, quotient.y | bit), i > 31);
    }
  }
  return array<vec2u, 2>(quotient, rest);
}`,
    },
    div_u64: { needs: ["divide_u64"], text: "fn div_u64(a: vec2u, b: vec2u) -> vec2u { return divide_u64(a, b)[0]; }" },
    rem_u64: { needs: ["divide_u64"], text: "fn rem_u64(a: vec2u, b: vec2u) -> vec2u { return divide_u64(a, b)[1]; }" },
    div_i64: {
      needs: ["divide_u64", "abs_i64", "neg_64"],
      text: `fn div_i64(a: vec2u, b: vec2u) -> vec2u {
  let q = divide_u64(abs_i64(a), abs_i64(b))[0];
  return select(q, neg_64(q), i32(a.y ^ b.y) < 0);
}`,
    },
    rem_i64: {
      needs: ["divide_u64", "abs_i64", "neg_64"],
      text: `fn rem_i64(a: vec2u, b: vec2u) -> vec2u {
  let r = divide_u64(abs_i64(a), abs_i64(b))[1];
  return select(r, neg_64(r), i32(a.y) < 0);
}`,
    },
    i32_to_64: { text: "fn i32_to_64(x: i32) -> vec2u { return vec2u(u32(x), u32(x >> 31u)); }" },
    // To nearest even: the low bits that f32 cannot hold only matter as one sticky bit.
    u64_to_f32: {
      text: `fn u64_to_f32(x: vec2u) -> f32 {
  if (x.y == 0u) { return f32(x.x); }
  let n = countLeadingZeros(x.y);
  let high = select((x.y << n) | (x.x >> ((32u - n) & 31u)), x.y, n == 0u);
  let rest = select(0u, 1u, (x.x << n) != 0u);
  return f32(high | rest) * bitcast<f32>((159u - n) << 23u);
}`,
    },
    i64_to_f32: {
      needs: ["u64_to_f32", "abs_i64"],
      text: "fn i64_to_f32(x: vec2u) -> f32 { let m = u64_to_f32(abs_i64(x)); return select(m, -m, i32(x.y) < 0); }",
    },
    f32_to_u64: {
      needs: ["is_nan"],
      text: `fn f32_to_u64(x: f32) -> vec2u {
  if (is_nan(x) || x <= 0f) { return vec2u(0u); }
  if (x >= 18446744073709551616f) { return vec2u(0xffffffffu); }
  let high = floor(x * 0.00000000023283064365386962890625f);
  return vec2u(u32(x - high * 4294967296f), u32(high));
}`,
    },
    f32_to_i64: {
      needs: ["f32_to_u64", "neg_64"],
      text: `fn f32_to_i64(x: f32) -> vec2u {
  if (x >= 9223372036854775808f) { return vec2u(0xffffffffu, 0x7fffffffu); }
  if (x <= -9223372036854775808f) { return vec2u(0u, 0x80000000u); }
  let m = f32_to_u64(abs(x));
  return select(m, neg_64(m), x < 0f);
}`,
    },
  }),
);

/** The definitions named and those that they need, in an order in which none comes before what it needs. */
export function preludeOf(used: Iterable<string>): string {
  const found = new Set<string>();
  const visit = (name: string): void => {
    if (found.has(name)) return;
    PRELUDE.get(name)!.needs?.forEach(visit);
    found.add(name);
  };
  for (const name of used) visit(name);
  return [...found].map((name) => `${PRELUDE.get(name)!.text}\n`).join("");
}

const RESERVED = `alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop
override requires return struct switch true var while NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto
await become binding_array cast catch class co_await co_return co_yield coherent column_major common compile compile_fragment concept
const_cast consteval constexpr constinit crate debugger decltype delete demote demote_to_helper do dynamic_cast enum explicit export
extends extern external fallthrough filter final finally friend from fxgroup get goto groupshared highp impl implements import inline
instanceof interface layout lowp macro macro_rules match mediump meta mod module move mut mutable namespace new nil noexcept noinline
nointerpolation non_coherent noncoherent noperspective null nullptr of operator package packoffset partial pass patch pixelfragment precise
precision premerge priv protected pub public readonly ref regardless register reinterpret_cast require resource restrict self set shared
sizeof smooth snorm static static_assert static_cast std subroutine super target template this thread_local throw trait try type typedef
typeid typename typeof union unless unorm unsafe unsized use using varying virtual volatile wgsl where with writeonly yield
main group rank lanes whole thread lane subgroup subgroups subgroup_size fault workgroup bool f16 f32 i32 u32 array vec2 vec3 vec4 vec2u vec3u vec4u vec4i vec4f vec2f atomic ptr bitcast select all any
abs floor ceil trunc round sqrt exp log sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh pow atan2 min max fma sign
atomicLoad atomicAnd atomicOr atomicMin workgroupBarrier storageBarrier countLeadingZeros exp2 read read_write storage private function step
dot cross length distance normalize mix clamp fract modf saturate transpose determinant reflect refract radians degrees`;

/** Names that a printed variable or function may not take. */
export const TAKEN: ReadonlySet<string> = new Set([...RESERVED.split(/\s+/), ...PRELUDE.keys()]);
