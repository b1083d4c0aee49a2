// Executors and feature probes: what they take, what they refuse, and that only failed asserts count as faults.

import { describe, expect, it } from "vitest";
import { js } from "../../backends/js/index.ts";
import { wasm } from "../../backends/wasm/index.ts";
import * as k from "../../ir/kernel/build.ts";
import type { VariantManifest } from "../../runtime/artifact.ts";
import { RESERVED } from "../../runtime/executor.ts";
import { jsExecutor } from "../../runtime/executors/js.ts";
import { wasmExecutor } from "../../runtime/executors/wasm.ts";
import { hasFeature } from "../../runtime/features.ts";
import { arenaProgram, instantiate, targets } from "./support.ts";

const arena = k.variable("arena", "ptr");
const manifest = (backend: string, needs: readonly string[] = []): VariantManifest => ({
  backend,
  name: "x",
  needs,
  code: "",
  weights: 100,
  arena: 200,
  sections: [],
  inputs: [],
  outputs: [],
  faults: [],
  steps: [],
});
const program = arenaProgram([k.store("i32", arena, k.add(k.load("i32", arena), k.i32(1)))], 4);
const baseline = wasm.variants.find((x) => x.name === "baseline")!;

describe("features", () => {
  it("probes what the engine has", () => {
    expect(["wasm", "simd", "threads", "relaxed-simd"].map(hasFeature)).toEqual([
      true,
      true,
      true,
      targets.some((t) => t.name === "wasm:relaxed"),
    ]);
    expect(hasFeature("telepathy")).toBe(false);
    expect(hasFeature("__proto__")).toBe(false);
  });

  it("says why a variant cannot run", () => {
    expect(wasmExecutor.unsupported(manifest("wasm", ["simd"]))).toBeUndefined();
    expect(wasmExecutor.unsupported(manifest("wasm", ["simd", "warp", "woof"]))).toBe("the engine lacks warp and woof");
    expect(jsExecutor.unsupported(manifest("js"))).toBeUndefined();
    expect(jsExecutor.unsupported(manifest("js", ["simd"]))).toBe("JavaScript does not have simd");
  });
});

describe("instances", () => {
  it.each(targets)("of $name keep their memory between runs, weights and arena 64-byte aligned and clear of address 0", async (target) => {
    const instance = await instantiate(program, target, 4);
    expect([instance.weights % 64, instance.arena % 64, instance.weights > 0, instance.arena >= instance.weights]).toEqual([
      0,
      0,
      true,
      true,
    ]);
    const cell = new Int32Array(instance.buffer, instance.arena, 1);
    cell[0] = 41;
    expect([await instance.run(), await instance.run(), cell[0]]).toEqual([-1, -1, 43]);
    instance.dispose();
  });

  it("of wasm come from bytes, a URL or a compiled module", async () => {
    const { code, files } = await wasm.emit(program, baseline);
    const bytes = files[code] as Uint8Array<ArrayBuffer>;
    const url = new URL(`data:application/wasm;base64,${Buffer.from(bytes).toString("base64")}`);
    for (const source of [{ bytes }, { url }, { module: await WebAssembly.compile(bytes) }]) {
      const instance = await wasmExecutor.instantiate(source, manifest("wasm"));
      expect(instance.run()).toBe(-1);
      expect(new Int32Array(instance.buffer, instance.arena, 1)[0]).toBe(1);
      expect(instance.arena).toBe(RESERVED + 128);
    }
    await expect(wasmExecutor.instantiate({ module: {} }, manifest("wasm"))).rejects.toThrow("WebAssembly.Module");
    await expect(wasmExecutor.instantiate({}, manifest("wasm"))).rejects.toThrow("its bytes, its URL or a compiled module");
  });

  it("of js come from bytes, a URL or a module", async () => {
    const { files } = await js.emit(program, js.variants[0]!);
    const text = files["kernels.js"] as string;
    const bytes = new TextEncoder().encode(text);
    const url = new URL(`data:text/javascript,${encodeURIComponent(text)}`);
    const module = await import(url.href);
    for (const source of [{ bytes }, { url }, { module }]) {
      const instance = await jsExecutor.instantiate(source, manifest("js"));
      expect(instance.run()).toBe(-1);
      expect(new Int32Array(instance.buffer, instance.arena, 1)[0]).toBe(1);
    }
    await expect(jsExecutor.instantiate({ module: {} }, manifest("js"))).rejects.toThrow("exports `instantiate(buffer)`");
  });

  it("of wasm pass on traps that no assert made", async () => {
    const far = arenaProgram([k.store("i32", k.advance(arena, k.load("i32", arena)), k.i32(1))], 4);
    const { code, files } = await wasm.emit(far, baseline);
    const instance = await wasmExecutor.instantiate({ bytes: files[code] as Uint8Array }, manifest("wasm"));
    new Int32Array(instance.buffer, instance.arena, 1)[0] = 1 << 30;
    expect(() => instance.run()).toThrow(WebAssembly.RuntimeError);
  });
});
