// WebAssembly text to bytes. The only file that knows binaryen, which is loaded when first needed: it is large.

import { errors } from "./diagnostics.ts";

let library: Promise<typeof import("binaryen").default> | undefined;

/**
 * Parses, validates and encodes a module, without names and the same bytes every time. Optimisation is left to engines: on kernels binaryen's
 * own buys nothing (KERNELS.md 2). Throws `invalid-wasm`.
 */
export async function assemble(text: string, relaxed: boolean, threads = false): Promise<Uint8Array> {
  library ??= import("binaryen").then((m) => m.default);
  const binaryen = await library;
  const f = binaryen.Features;
  const module = parse(() => binaryen.parseText(text));
  try {
    module.setFeatures(
      f.SIMD128 | f.NontrappingFPToInt | f.SignExt | (relaxed ? f.RelaxedSIMD : 0) | (threads ? f.Atomics | f.MutableGlobals : 0),
    );
    if (!module.validate()) throw errors.invalidModule("it does not validate");
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

function parse<T>(run: () => T): T {
  try {
    return run();
  } catch (e) {
    throw errors.invalidModule(e instanceof Error ? e.message : String(e));
  }
}
