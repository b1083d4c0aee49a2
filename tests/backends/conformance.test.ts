// The conformance suite itself: it finds a wrong backend, and its skip list is checked.

import { expect, test } from "vitest";
import { js } from "../../backends/index.ts";
import type { Backend } from "../../compiler/index.ts";
import { jsExecutor } from "../../runtime/executors/js.ts";
import { conformance, conformanceCases } from "../conformance/index.ts";

/** The js backend, its code changed. */
const altered = (change: (code: string) => string): Backend => ({
  ...js,
  async emit(program, variant) {
    const { code, files } = await js.emit(program, variant);
    return { code, files: { [code]: change(String(files[code])) } };
  },
});

/** The suite's tests by name. */
async function collect(backend: Backend, skip: readonly { readonly reason: string; readonly cases: readonly string[] }[] = []) {
  const bodies = new Map<string, () => Promise<void>>();
  const skipped: string[] = [];
  const register = (name: string, body: () => Promise<void>): void => void bodies.set(name, body);
  await conformance(backend, jsExecutor, { test: Object.assign(register, { skip: (name: string) => void skipped.push(name) }), skip });
  return { bodies, skipped };
}

test("it finds code that computes something else, and says where", async () => {
  const { bodies } = await collect(altered((code) => code.replaceAll("Math.sqrt", "Math.cbrt").replaceAll("Math.max(", "Math.min(")));
  await expect(bodies.get("js:es2022 elementwise sqrt")!()).rejects.toThrow(/output 0 \(.*\) has .* at element \d+, expected/);
  await expect(bodies.get("js:es2022 elementwise max")!()).rejects.toThrow(/expected/);
  await expect(bodies.get("js:es2022 reduce f32")!()).rejects.toThrow(/expected/);
  await bodies.get("js:es2022 elementwise neg")!();
});

test("it finds faults that are not raised", async () => {
  const { bodies } = await collect(altered((code) => code.replaceAll("throw new Fault", "void (0)")));
  await expect(bodies.get("js:es2022 gather outside is a fault")!()).rejects.toThrow(/it ended in .*, expected the error 'fault'/);
});

test("what is skipped is known, and shown with its reason", async () => {
  const { bodies, skipped } = await collect(js, [{ reason: "no sorting here", cases: ["topk", "unique"] }]);
  expect(skipped).toEqual(["js:es2022 topk (no sorting here)", "js:es2022 unique (no sorting here)"]);
  expect(bodies.size).toBe(conformanceCases.length - 2);
  await expect(collect(js, [{ reason: "misspelt", cases: ["topq"] }])).rejects.toThrow("there is no case 'topq'");
});
