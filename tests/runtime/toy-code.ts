// The toy's program as WebAssembly and as a JavaScript module, for the executors of the runtime itself.

import wabt from "wabt";
import type { Artifact } from "../../compiler/artifact.ts";
import { toyArtifact, toyVariant } from "./toy.ts";

const WAT = `(module
  (import "env" "memory" (memory 1))
  (func (export "run") (param $weights i32) (param $arena i32) (result i32)
    (local $row i32) (local $left i32) (local $value i32) (local $index i32) (local $sum f32) (local $at i32) (local $found i64)
    (if (i32.load8_u offset=16 (local.get $arena)) (then
      (i32.store (i32.const 0) (i32.const 1))
      unreachable))
    (local.set $value (local.get $weights))
    (local.set $index (i32.add (local.get $weights) (i32.const 32)))
    (loop $rows
      (local.set $sum (f32.const 0))
      (local.set $left (i32.load16_u offset=64 (i32.add (local.get $weights) (i32.shl (local.get $row) (i32.const 1)))))
      (block $done (loop $row
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $sum (f32.add (local.get $sum) (f32.mul
          (f32.load (local.get $value))
          (f32.load (i32.add (local.get $arena) (i32.load (local.get $index)))))))
        (local.set $value (i32.add (local.get $value) (i32.const 4)))
        (local.set $index (i32.add (local.get $index) (i32.const 4)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $row)))
      (f32.store offset=32 (i32.add (local.get $arena) (i32.shl (local.get $row) (i32.const 2))) (local.get $sum))
      (br_if $rows (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (i32.const 3))))
    (local.set $row (i32.const 0))
    (local.set $at (local.get $arena))
    (loop $each
      (if (f32.ne (f32.load (i32.add (local.get $arena) (i32.shl (local.get $row) (i32.const 2)))) (f32.const 0)) (then
        (i64.store offset=48 (local.get $at) (i64.extend_i32_u (local.get $row)))
        (i64.store offset=80 (local.get $at) (i64.extend_i32_u (i32.mul (local.get $row) (local.get $row))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $found (i64.add (local.get $found) (i64.const 1)))))
      (br_if $each (i32.lt_u (local.tee $row (i32.add (local.get $row) (i32.const 1))) (i32.const 4))))
    (i64.store offset=24 (local.get $arena) (local.get $found))
    (i32.const -1)))`;

const JAVASCRIPT = `export function instantiate(buffer) {
  const u8 = new Uint8Array(buffer), u16 = new Uint16Array(buffer), u32 = new Uint32Array(buffer), f32 = new Float32Array(buffer), i64 = new BigInt64Array(buffer);
  return {
    run(weights, arena) {
      if (u8[arena + 16]) return 0;
      let next = 0;
      for (let row = 0; row < 3; row++) {
        let sum = 0;
        for (let n = u16[(weights + 64 + row * 2) >> 1]; n > 0; n--, next++)
          sum = Math.fround(sum + Math.fround(f32[(weights + next * 4) >> 2] * f32[(arena + u32[(weights + 32 + next * 4) >> 2]) >> 2]));
        f32[(arena + 32 + row * 4) >> 2] = sum;
      }
      let found = 0;
      for (let i = 0; i < 4; i++) {
        if (!f32[(arena + i * 4) >> 2]) continue;
        i64[(arena + 48 + found * 8) >> 3] = BigInt(i);
        i64[(arena + 80 + found * 8) >> 3] = BigInt(i * i);
        found++;
      }
      i64[(arena + 24) >> 3] = BigInt(found);
      return -1;
    },
  };
}
`;

export const toyWasm = async (): Promise<Uint8Array> => {
  const module = (await wabt()).parseWat("toy.wat", WAT);
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
};

/** The toy with a variant for wasm and one for js. */
export const toyPrograms = async (): Promise<Artifact> =>
  toyArtifact(
    [
      { ...toyVariant, backend: "wasm", name: "baseline", code: "toy.wasm" },
      { ...toyVariant, backend: "js", code: "toy.js" },
    ],
    new Map([
      ["toy.wasm", await toyWasm()],
      ["toy.js", new TextEncoder().encode(JAVASCRIPT)],
    ]),
  );
