// What element-by-element operators do at the edges: NaN, infinities, wrapping, signs, shifts, narrow floats.

import { describe, expect, it } from "vitest";
import type { DType } from "../../ir/dtype.ts";
import { toF16 } from "../../ir/scalar/f16.ts";
import { tensorOf } from "../../ir/tensor.ts";
import { evaluate, valuesFrom } from "../support/evaluate.ts";
import { errorOf } from "../support/run-model.ts";

const of = (dtype: DType, ...data: (number | bigint)[]) => tensorOf(dtype, [data.length], data);
const f32 = (...data: number[]) => of("f32", ...data);
const f16 = (...data: number[]) => of("f16", ...data.map(toF16));
const [NAN, INF] = [Number.NaN, Number.POSITIVE_INFINITY];

describe("floats", () => {
  it("keep NaN through minima, maxima, clipping and relu", () => {
    for (const op of ["min", "max"]) expect(valuesFrom(op, [f32(NAN, 1, NAN), f32(1, NAN, NAN)])).toEqual([NAN, NAN, NAN]);
    expect(valuesFrom("relu", [f32(NAN, -1, 2)])).toEqual([NAN, 0, 2]);
    expect(valuesFrom("clip", [f32(NAN, -5, 5, 1), tensorOf("f32", [], [0]), tensorOf("f32", [], [2])])).toEqual([NAN, 0, 2, 1]);
    expect(valuesFrom("clip", [f32(1), tensorOf("f32", [], [3]), tensorOf("f32", [], [2])])).toEqual([2]);
    expect(valuesFrom("sign", [f32(NAN, -3, 0, 7)])).toEqual([NAN, -1, 0, 1]);
    expect(valuesFrom("leaky_relu", [f32(NAN, -INF)], { alpha: 0.5 })).toEqual([NAN, -INF]);
  });

  it("compare and test NaN and infinities", () => {
    expect(valuesFrom("ne", [f32(NAN, 1), f32(NAN, 1)])).toEqual([1, 0]);
    expect(valuesFrom("eq", [f32(NAN, INF), f32(NAN, INF)])).toEqual([0, 1]);
    expect(valuesFrom("is_nan", [f32(NAN, INF, 0)])).toEqual([1, 0, 0]);
    expect(valuesFrom("is_inf", [f32(-INF, INF, NAN)], { positive: true, negative: false })).toEqual([0, 1, 0]);
  });

  it("saturate activations without overflow", () => {
    expect(valuesFrom("sigmoid", [f32(-1000, 1000)])).toEqual([0, 1]);
    expect(valuesFrom("softplus", [f32(-1000, 1000, INF)])).toEqual([0, 1000, INF]);
    expect(valuesFrom("softplus", [f32(-20)])[0]).toBeCloseTo(Math.log1p(Math.exp(-20)), 15);
    expect(valuesFrom("mish", [f32(1000, -1000)])).toEqual([1000, -0]);
    expect(valuesFrom("gelu", [f32(-INF, INF, 100)], { approximate: "tanh" }).slice(1)).toEqual([INF, 100]);
  });

  it("round halves to even, and f16 after each operator", () => {
    expect(valuesFrom("round", [f32(0.5, 1.5, 2.5, -0.5, -1.5)])).toEqual([0, 2, 2, -0, -2]);
    expect(valuesFrom("add", [f16(2048), f16(1)])).toEqual([2048]);
    expect(valuesFrom("mul", [f16(300), f16(300)])).toEqual([INF]);
    expect(valuesFrom("cast", [f32(65519, 65520, 1e-8)], { to: "f16" })).toEqual([65504, INF, 0]);
  });

  it("have remainders of either sign", () => {
    expect(valuesFrom("rem", [f32(-5.5, 5.5), f32(2, -2)])).toEqual([-1.5, 1.5]);
    expect(valuesFrom("mod", [f32(-5.5, 5.5), f32(2, -2)])).toEqual([0.5, -0.5]);
  });
});

describe("integers", () => {
  it("wrap at their width", () => {
    expect(valuesFrom("add", [of("u8", 250), of("u8", 10)])).toEqual([4]);
    expect(valuesFrom("sub", [of("u16", 1), of("u16", 2)])).toEqual([65535]);
    expect(valuesFrom("mul", [of("i8", 100), of("i8", 3)])).toEqual([44]);
    expect(valuesFrom("mul", [of("i64", 2n ** 62n), of("i64", 4n)])).toEqual([0n]);
    expect(valuesFrom("sub", [of("u64", 0n), of("u64", 1n)])).toEqual([2n ** 64n - 1n]);
    expect(valuesFrom("neg", [of("u32", 1)])).toEqual([2 ** 32 - 1]);
    expect(valuesFrom("abs", [of("i8", -128)])).toEqual([-128]);
  });

  it("divide towards zero, by zero to zero, with remainders of either sign", () => {
    expect(valuesFrom("div", [of("i32", -7, 7, 7), of("i32", 2, -2, 0)])).toEqual([-3, -3, 0]);
    expect(valuesFrom("rem", [of("i64", -7n, 7n), of("i64", 3n, -3n)])).toEqual([-1n, 1n]);
    expect(valuesFrom("mod", [of("i64", -7n, 7n), of("i64", 3n, -3n)])).toEqual([2n, -2n]);
    expect(valuesFrom("mod", [of("u8", 200), of("u8", 7)])).toEqual([4]);
  });

  it("shift out all bits", () => {
    expect(valuesFrom("shl", [of("u8", 255, 1), of("u8", 4, 200)])).toEqual([240, 0]);
    expect(valuesFrom("shr", [of("u32", 2 ** 31, 5), of("u32", 31, 32)])).toEqual([1, 0]);
    expect(valuesFrom("shr", [of("i32", -8), of("i32", 1)])).toEqual([-4]);
  });

  it("are logical as bools and bitwise as integers", () => {
    expect(valuesFrom("not", [of("bool", 0, 1)])).toEqual([1, 0]);
    expect(valuesFrom("not", [of("u8", 0, 1)])).toEqual([255, 254]);
    expect(valuesFrom("xor", [of("i16", 6), of("i16", -1)])).toEqual([-7]);
  });

  it("convert from floats by truncating and saturating", () => {
    expect(valuesFrom("cast", [f32(1.9, -1.9, 3e9, NAN)], { to: "i32" })).toEqual([1, -1, 2 ** 31 - 1, 0]);
    expect(valuesFrom("cast", [f32(1e30, -INF)], { to: "i64" })).toEqual([2n ** 63n - 1n, -(2n ** 63n)]);
    expect(valuesFrom("cast", [f32(0.1, -0, NAN)], { to: "bool" })).toEqual([1, 0, 1]);
    expect(valuesFrom("cast", [of("i64", 300n, -1n)], { to: "u8" })).toEqual([44, 255]);
    expect(valuesFrom("bitcast", [f32(1)], { to: "i32" })).toEqual([0x3f800000]);
  });
});

describe("shapes", () => {
  it("broadcast, down to scalars and empty tensors", () => {
    const scalar = tensorOf("f32", [], [10]);
    expect(evaluate("add", [scalar, scalar])[0]).toEqual(tensorOf("f32", [], [20]));
    expect(evaluate("add", [tensorOf("f32", [2, 1], [1, 2]), f32(10, 20, 30)])[0]).toEqual(
      tensorOf("f32", [2, 3], [11, 21, 31, 12, 22, 32]),
    );
    expect(evaluate("mul", [tensorOf("f32", [0, 3], []), f32(1, 2, 3)])[0]!.shape).toEqual([0, 3]);
    expect(evaluate("where", [tensorOf("bool", [2, 1], [1, 0]), scalar, f32(1, 2)])[0]).toEqual(tensorOf("f32", [2, 2], [10, 10, 1, 2]));
  });

  it("and types that do not fit are named", () => {
    expect(errorOf(() => evaluate("add", [f32(1, 2), f32(1, 2, 3)])).message).toContain("shapes do not broadcast: f32[2] and f32[3]");
    expect(errorOf(() => evaluate("add", [f32(1), of("i32", 1)])).message).toContain("one element type, got f32[1] and i32[1]");
    expect(errorOf(() => evaluate("exp", [of("i32", 1)])).message).toContain("operand 0 must be float, got i32[1]");
    expect(errorOf(() => evaluate("elu", [f32(1)])).message).toContain("attribute 'alpha' must be a number");
    expect(errorOf(() => evaluate("gelu", [f32(1)], { approximate: "no" })).message).toContain("one of none, tanh, got no");
    expect(errorOf(() => evaluate("cast", [f32(1)], { to: "f8" })).message).toContain("must be an element type, got f8");
    expect(errorOf(() => evaluate("bitcast", [f32(1)], { to: "i64" })).message).toContain("cannot read the bits of f32 as i64");
    expect(errorOf(() => evaluate("where", [f32(1), f32(1), f32(1)])).message).toContain("operand 0 must be bool");
  });
});
