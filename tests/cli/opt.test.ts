// `sparsec opt`, `sparsec diff` and config files as processes.

import { mkdir, writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import { small, writeModel } from "./models.ts";
import { document, type Failed, sparsec, workFolder } from "./sparsec.ts";

const at = workFolder();
const GRAPH = `graph @g(%x: f32[2,3]) {
  %0 = const() {data: [2]} : f32[]
  %1 = const() {data: [3]} : f32[]
  %2 = mul(%0, %1) : f32[]
  %3 = mul(%x, %2) : f32[2,3]
  %4 = relu(%3) : f32[2,3]
  return %4
}
`;
beforeAll(async () => {
  await writeFile(at("g.ir"), GRAPH);
  await writeModel(at("small.onnx"), small);
});

test("opt without a pass that fires prints the graph as it was", async () => {
  const { code, stdout } = await sparsec(["opt", at("g.ir"), "--pass", "fold-batchnorm"]);
  expect(code).toBe(0);
  expect(stdout).toBe(GRAPH);
});

test("opt runs the passes named, in their order", async () => {
  const { stdout } = await sparsec(["opt", at("g.ir"), "--pass", "fold-constants", "fuse"]);
  expect(stdout).toContain("data: [6]");
  expect(stdout).toContain("fused(%x)");
  expect((await sparsec(["opt", at("g.ir"), "--pass", "fold-constants", "--pass", "fuse"])).stdout).toBe(stdout);
  expect((await sparsec(["opt", at("g.ir"), "--pass", "fold-constants,fuse", "--stop-after", "1"])).stdout).not.toContain("fused");
});

test("opt dumps and times on stderr", async () => {
  const { stdout, stderr } = await sparsec(["opt", at("g.ir"), "--dump-after", "fold-constants", "--time-passes"]);
  expect(stderr).toMatch(/\/\/ after fold-constants\ngraph @g/);
  expect(stderr).not.toContain("// after fuse");
  expect(stderr).toMatch(/^pass +ms +share +nodes$/m);
  expect(stderr).toMatch(/^fuse +\d+\.\d +\d+ % +1$/m);
  expect(stdout).toContain("fused(");
  const { ir, passes } = await document<{ ir: string; passes: { pass: string; changed: boolean; ir?: string }[] }>([
    "opt",
    at("g.ir"),
    "--dump-after",
    "all",
  ]);
  expect(ir).toBe(stdout);
  expect(passes.map((p) => [p.pass, p.changed, typeof p.ir])).toContainEqual(["fold-constants", true, "string"]);
});

test("opt says where a graph is malformed", async () => {
  await writeFile(at("bad.ir"), GRAPH.replace("relu(%3)", "relu(%9)"));
  const { code, stderr } = await sparsec(["opt", at("bad.ir")]);
  expect(code).toBe(1);
  expect(stderr).toContain("bad.ir:6");
  expect(stderr).toContain("'%9' is not defined");
});

interface Compared {
  readonly equal: boolean;
  readonly against: string;
  readonly first: { readonly node: string; readonly op: string } | null;
  readonly outputs: readonly { readonly output: string; readonly errors: Readonly<Record<string, number>> }[];
  readonly nodes: readonly { readonly node: string; readonly errors: Readonly<Record<string, number>> }[];
}

test("diff finds the backends equal to the reference, node by node", async () => {
  const d = await document<Compared>(["diff", at("small.onnx"), "--random", "1"]);
  expect(d).toMatchObject({ equal: true, against: "reference", first: null });
  expect(d.nodes.map((n) => n.node)).toEqual(expect.arrayContaining(["conv", "relu", "average"]));
  expect(Object.keys(d.outputs[0]!.errors)).toEqual(["wasm", "js"]);
  const { code, stdout } = await sparsec(["diff", at("small.onnx"), "--random", "1", "--devices", "js,wasm"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^equal to js within 0\.0001$/m);
});

test("diff names the first node that a wrong backend gets wrong, and exits with 1", async () => {
  await writeFile(
    at("wrong.config.mjs"),
    `import { js } from "sparsec/backends";
     const wrong = { ...js, name: "wrong", async emit(p, v) { const { code, files } = await js.emit(p, v); return { code, files: { [code]: files[code].replaceAll("Math.max(", "Math.min(") } }; } };
     const executor = { backend: "wrong", unsupported: () => undefined, async instantiate(code, v) {
       const m = await import("data:text/javascript;base64," + Buffer.from(code.bytes).toString("base64"));
       const buffer = new ArrayBuffer(2 ** 20); const { run } = m.instantiate(buffer); const arena = 64 + Math.ceil(v.weights / 64) * 64;
       return { buffer, weights: 64, arena, run: () => run(64, arena), dispose() {} }; } };
     export default { backends: [wrong], executors: [executor] };`,
  );
  const args = ["diff", at("small.onnx"), "--random", "1", "--devices", "wrong,reference", "--config", at("wrong.config.mjs")];
  const d = await document<Compared>(args, 1);
  expect(d).toMatchObject({ equal: false, first: { node: "relu", op: "relu" } });
  expect(d.nodes.find((n) => n.node === "conv")!.errors["wrong"]).toBeLessThan(1e-5);
  const { code, stdout } = await sparsec(args);
  expect(code).toBe(1);
  expect(stdout).toContain("first to differ from reference by more than 0.0001: relu (relu)");
});

test("a TypeScript config is found from the working folder upwards, and typed by the package", async () => {
  await mkdir(at("project/models"), { recursive: true });
  await writeModel(at("project/models/small.onnx"), small);
  await writeFile(at("project/name.ts"), 'export const skipped: string = "fuse";\n');
  await writeFile(
    at("project/sparsec.config.ts"),
    `import { defineConfig, type Pipeline, without } from "sparsec";
     import { skipped } from "./name.ts";
     export default defineConfig({ dims: { batch: 2 }, backends: ["js"], passes: (p: Pipeline): Pipeline => without(p, skipped) });`,
  );
  const { code, stdout, stderr } = await sparsec(["explain", at("project/models/small.onnx"), "--json"], { cwd: at("project/models") });
  expect(code).toBe(0);
  expect(stderr).toMatch(/^config: .*sparsec\.config\.ts$/m);
  const { nodes, backend } = JSON.parse(stdout) as {
    readonly backend: string;
    readonly nodes: readonly { readonly ops: readonly string[]; readonly shape: string }[];
  };
  expect(backend).toBe("js");
  expect(nodes[0]!.shape).toBe("f32[2,16,8,8]");
  expect(nodes.every((n) => n.ops.length === 1)).toBe(true);
  // Flags win, and `none` leaves the config aside.
  const flagged = await document<{ nodes: { shape: string }[] }>(
    ["explain", at("project/models/small.onnx"), "--dim", "batch=3"],
    0,
    {},
    at("project"),
  );
  expect(flagged.nodes[0]!.shape).toBe("f32[3,16,8,8]");
  const none = await document<{ backend: string }>(["explain", at("project/models/small.onnx"), "--config", "none"], 0, {}, at("project"));
  expect(none.backend).toBe("wasm");
  // A model's own folder has no say: what lies there may be anyone's.
  const elsewhere = await sparsec(["explain", at("project/models/small.onnx"), "--json"]);
  expect(elsewhere.stderr).not.toMatch(/^config:/m);
});

test.each([
  ["no object", "export default 3;", "it holds 3, not an object"],
  ["an unknown option", "export default { dimensions: {} };", "no option is named 'dimensions'"],
  ["no default export", "export const config = {};", "it has no default export"],
  ["a syntax error", "export default {\n  dims: = 3 };", "line 2: Expression expected."],
])("a config with %s is refused", async (name, text, message) => {
  const file = at(`${name.replaceAll(" ", "-")}.config.ts`);
  await writeFile(file, text);
  const { error } = await document<Failed>(["explain", at("small.onnx"), "--config", file], 1);
  expect(error.code).toBe("bad-config");
  // Newer engines read TypeScript themselves, and word syntax errors in their own way.
  if (!name.includes("syntax") || !(process.features as { readonly typescript?: unknown }).typescript)
    expect(error.message).toContain(message);
});

test("a config that is not there is an error", async () => {
  const { error } = await document<Failed>(["explain", at("small.onnx"), "--config", at("none.ts")], 1);
  expect(error).toMatchObject({ code: "bad-config" });
});
