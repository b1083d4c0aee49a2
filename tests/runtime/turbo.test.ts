// Turbo: only when asked for, only flags that the version of V8 knows, and a reason where there is nothing to switch on.

import { afterEach, expect, test, vi } from "vitest";
import { turboFor } from "../../runtime/turbo.ts";

afterEach(() => void vi.unstubAllGlobals());

/** Another host in Node's place; gives the flags that it is told. */
const pretend = (versions: object, env: object = {}): readonly string[] => {
  const flags: string[] = [];
  const v8 = { setFlagsFromString: (flag: string) => void flags.push(flag) };
  const values = { versions, env, getBuiltinModule: (name: string) => (name === "node:v8" ? v8 : undefined) };
  vi.stubGlobal("process", Object.create(process, Object.fromEntries(Object.entries(values).map(([k, value]) => [k, { value }]))));
  return flags;
};

test.each([
  ["11.3.244.8-node.38", true, "relaxed SIMD, by --experimental-wasm-relaxed-simd"],
  ["11.2.1", false, "V8 11.2 has nothing to switch on"],
  ["13.6.233.17-node.53", false, "V8 13.6 has nothing to switch on"],
  ["14.6.202.34-node.34", true, "vectors of 256 bits, by --experimental-wasm-revectorize"],
])("V8 %s", (v8, on, why) => {
  const flags = pretend({ v8 });
  expect(turboFor(true)).toEqual({ on, why });
  expect(flags).toEqual(on ? [why.split(" by ")[1]] : []);
});

test.each([
  ["bun", { v8: "14.6.202.34", bun: "1.4.5" }],
  ["a browser", {}],
])("%s has no flags", (_, versions) => {
  const flags = pretend(versions);
  expect(turboFor(true)).toEqual({ on: false, why: "only Node lets a program switch on features of its engine" });
  expect(flags).toEqual([]);
});

test("the environment asks where the caller does not", () => {
  const v8 = "11.3.1";
  for (const [asked, env, on] of [
    [undefined, {}, false],
    [undefined, { SPARSEC_TURBO: "1" }, true],
    [false, { SPARSEC_TURBO: "1" }, false],
    [undefined, { SPARSEC_TURBO: "0" }, false],
  ] as const) {
    pretend({ v8 }, env);
    expect(turboFor(asked).on).toBe(on);
  }
});
