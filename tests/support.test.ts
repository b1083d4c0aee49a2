// The test support itself: the comparison rules decide what counts as right, so they are held to account here.

import { afterEach, describe, expect, it, vi } from "vitest";
import { tensorOf } from "../ir/tensor.ts";
import { compareModel, compareNodeTest, compareQuantized, relativeError } from "./support/compare.ts";
import { readTar } from "./support/tar.ts";

const f32 = (...values: readonly number[]) => tensorOf("f32", [values.length], values);

describe("compareNodeTest", () => {
  it("accepts what is within tolerance", () => {
    expect(compareNodeTest(f32(1.0009, 0), f32(1, 0))).toBeUndefined();
    expect(compareNodeTest(f32(1000, 0.0009), f32(1000, 0))).toBeUndefined();
    expect(compareNodeTest(f32(Number.NaN, Infinity, -Infinity), f32(Number.NaN, Infinity, -Infinity))).toBeUndefined();
    expect(compareNodeTest(tensorOf("i64", [1], [2n ** 60n]), tensorOf("i64", [1], [2n ** 60n]))).toBeUndefined();
  });

  it("refuses the rest, saying where", () => {
    expect(compareNodeTest(f32(1, 1.0012), f32(1, 1))).toMatch("1 of 2 elements differ, the first at 1");
    expect(compareNodeTest(f32(1, 2e-6), f32(1, 0))).toBeDefined();
    expect(compareNodeTest(f32(Number.NaN), f32(0))).toBeDefined();
    expect(compareNodeTest(f32(0), f32(Number.NaN))).toBeDefined();
    expect(compareNodeTest(f32(Infinity), f32(-Infinity))).toBeDefined();
    expect(compareNodeTest(f32(Infinity), f32(1e38))).toBeDefined();
    expect(compareNodeTest(tensorOf("i32", [1], [100001]), tensorOf("i32", [1], [100000]))).toBeDefined();
    expect(compareNodeTest(tensorOf("i64", [1], [2n ** 60n + 1n]), tensorOf("i64", [1], [2n ** 60n]))).toBeDefined();
  });

  it("compares types before values", () => {
    expect(compareNodeTest(tensorOf("f64", [1], [1]), f32(1))).toBe("it is f64[1], and f32[1] is expected");
    expect(compareNodeTest(tensorOf("f32", [1, 1], [1]), f32(1))).toBe("it is f32[1,1], and f32[1] is expected");
    expect(compareNodeTest({ ...f32(1), data: Float32Array.of(1, 2) }, f32(1))).toBe("it has 2 elements, and 1 are expected");
  });

  it("reads f16 from its bits", () => {
    const [one, next, far] = [0x3c00, 0x3c01, 0x3c02].map((bits) => tensorOf("f16", [1], [bits]));
    expect(compareNodeTest(next!, one!)).toBeUndefined();
    expect(compareNodeTest(far!, one!)).toBeDefined();
  });
});

describe("compareModel", () => {
  it("bounds the norm of the difference", () => {
    expect(relativeError(f32(3, 4.5), f32(3, 4))).toBeCloseTo(0.1);
    expect(compareModel(f32(1, 0.00009), f32(1, 0))).toBeUndefined();
    expect(compareModel(f32(1, 0.0002), f32(1, 0))).toMatch("relative error is 2.00e-4");
    expect(compareModel(f32(1, Number.NaN), f32(1, 0))).toBeDefined();
    expect(compareModel(f32(1e-9), f32(0))).toBeDefined();
    expect(compareModel(f32(0), f32(0))).toBeUndefined();
  });
});

describe("compareQuantized", () => {
  it("accepts one step on 3 % of the elements, or on one", () => {
    const expected = f32(...Array.from({ length: 100 }, (_, i) => i / 4));
    const off = (...at: readonly number[]) => f32(...Array.from({ length: 100 }, (_, i) => i / 4 + (at.includes(i) ? 0.25 : 0)));
    expect(compareQuantized(off(1, 5, 7), expected, 0.25)).toBeUndefined();
    expect(compareQuantized(off(1, 5, 7, 9), expected, 0.25)).toMatch("4 of 100");
    expect(compareQuantized(f32(0.25, 0), f32(0, 0), 0.25)).toBeUndefined();
    expect(compareQuantized(f32(0.25, 0.25), f32(0, 0), 0.25)).toBeDefined();
    expect(compareQuantized(f32(0.5, 0), f32(0, 0), 0.25)).toMatch("more than a step");
    expect(compareQuantized(f32(Number.NaN, 0), f32(0, 0), 0.25)).toBeDefined();
  });
});

describe("readTar", () => {
  /** A member as `tar` writes it; its name may be a long one's stand-in. */
  const member = (name: string, type: string, body: string): Uint8Array => {
    const out = new Uint8Array(512 + Math.ceil(body.length / 512) * 512);
    const put = (at: number, text: string): void => out.set(new TextEncoder().encode(text), at);
    put(0, name);
    put(124, body.length.toString(8).padStart(11, "0"));
    put(156, type);
    put(512, body);
    return out;
  };
  const tar = (...members: readonly Uint8Array[]): Uint8Array =>
    Uint8Array.from([...members.flatMap((m) => [...m]), ...new Uint8Array(1024)]);

  it("reads plain files, GNU long names and pax paths", () => {
    const long = `${"d/".repeat(60)}f`;
    const archive = readTar(
      tar(
        member("d/", "5", ""),
        member("a", "0", "hello"),
        member("x", "L", `${long}\0`),
        member("cut", "0", "b"),
        member("x", "x", `${`99 path=${long}2`}\n`),
        member("cut", "0", "c"),
      ),
    );
    expect(archive.names).toEqual(["a", long, `${long}2`]);
    expect(new TextDecoder().decode(archive.read("a"))).toBe("hello");
    expect([archive.has("a"), archive.has("cut")]).toEqual([true, false]);
    expect(() => archive.read("cut")).toThrow("no member cut");
  });
});

describe("skipReason", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.resetModules();
  });

  it("skips with a printed reason, unless what is missing is required", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    vi.stubEnv("SPARSEC_REQUIRE", "");
    vi.stubEnv("SPARSEC_SHARED", "no-such-folder");
    vi.resetModules();
    const lenient = await import("./support/shared.ts");
    expect(lenient.sharedPath("models")).toBeUndefined();
    expect(warn.mock.calls.flat().join()).toMatch("there is no shared/models");
    vi.stubEnv("SPARSEC_REQUIRE", "webgpu,shared");
    vi.resetModules();
    const strict = await import("./support/shared.ts");
    expect(() => strict.sharedPath("models")).toThrow("SPARSEC_REQUIRE");
    warn.mockRestore();
  });
});
