// Compiles the kernels of a schedule: one module and one pipeline each, all at once.

import type { DeviceKernel } from "../../artifact.ts";
import { errors, said } from "../../diagnostics.ts";
import { COMPUTE } from "./scopes.ts";

/** Milliseconds for which parsing shaders keeps other tasks waiting. */
const SLICE = 8;

/** The modules of a code file, by the names in the lines `//// name` that they begin with. */
const modulesOf = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text
      .split(/^\/\/\/\/ /m)
      .slice(1)
      .map((part) => [part.slice(0, part.indexOf("\n")).trim(), part.slice(part.indexOf("\n") + 1)]),
  );

export type Layouts = (kernel: DeviceKernel) => GPUBindGroupLayout;

/** Layouts of bind groups, of which kernels whose bindings are declared alike share one. */
export const createLayouts = (device: GPUDevice): Layouts => {
  const made = new Map<string, GPUBindGroupLayout>();
  return ({ access }) => {
    const key = access.join();
    const type = (a: "read" | "readwrite"): GPUBufferBindingType => (a === "read" ? "read-only-storage" : "storage");
    const found =
      made.get(key) ??
      device.createBindGroupLayout({ entries: access.map((a, binding) => ({ binding, visibility: COMPUTE, buffer: { type: type(a) } })) });
    made.set(key, found);
    return found;
  };
};

interface Compiling {
  readonly name: string;
  readonly module: GPUShaderModule;
  /** Resolves to the pipeline, or to what went wrong. */
  readonly pipeline: Promise<GPUComputePipeline | { readonly failed: unknown }>;
}

/** Throws `corrupt` where the text lacks a kernel, `internal` where the device refuses one. */
export const compile = async (
  device: GPUDevice,
  model: string,
  file: string,
  text: string,
  kernels: readonly DeviceKernel[],
  layouts: Layouts,
): Promise<readonly GPUComputePipeline[]> => {
  const modules = modulesOf(text);
  const all: Compiling[] = [];
  let since = performance.now();
  for (const kernel of kernels) {
    const { name } = kernel;
    const code = modules.get(name);
    if (code === undefined) throw errors.corrupt(file, `it has no kernel '${name}'`);
    // What is wrong with a module is said by its pipeline.
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: name, code });
    const layout = device.createPipelineLayout({ bindGroupLayouts: [layouts(kernel)] });
    device.popErrorScope().catch(() => {});
    const made = device.createComputePipelineAsync({ label: name, layout, compute: { module, entryPoint: "main" } });
    all.push({ name, module, pipeline: made.catch((failed: unknown) => ({ failed })) });
    if (performance.now() - since > SLICE) {
      await new Promise((resolve) => setTimeout(resolve));
      since = performance.now();
    }
  }
  return Promise.all(all.map((compiling) => compiled(model, compiling)));
};

const compiled = async (model: string, { name, module, pipeline }: Compiling): Promise<GPUComputePipeline> => {
  const made = await pipeline;
  if (!("failed" in made)) return made;
  const { messages } = await module.getCompilationInfo();
  const told = messages.filter(({ type }) => type === "error").map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`);
  throw errors.internal(model, `kernel '${name}': ${told.length ? told.join("; ") : said(made.failed)}`);
};
