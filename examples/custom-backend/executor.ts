// Runs what the backend prints: imports the module, gives it memory, and turns its faults into numbers.

import { aligned, type Code, type Executor, RESERVED } from "sparsec/runtime";

interface Module {
  run(memory: DataView, weights: number, arena: number): void;
}

/** Browsers would import `code.url` instead; here the bytes, whose hash was checked, become a data: URL. */
const importCode = async ({ bytes }: Code): Promise<Module> =>
  (await import(`data:text/javascript;base64,${Buffer.from(bytes!).toString("base64")}`)) as Module;

const isFault = (thrown: unknown): thrown is { readonly fault: number } =>
  typeof thrown === "object" && thrown !== null && "fault" in thrown;

export const dataviewExecutor: Executor = {
  backend: "dataview",
  unsupported: () => undefined,
  async instantiate(code, variant) {
    const module = await importCode(code);
    const weights = RESERVED;
    const arena = aligned(weights + variant.weights);
    const buffer = new ArrayBuffer(aligned(arena + variant.arena));
    const memory = new DataView(buffer);
    const run = (): number => {
      try {
        module.run(memory, weights, arena);
        return -1;
      } catch (thrown) {
        if (isFault(thrown)) return thrown.fault;
        throw thrown;
      }
    };
    return { buffer, weights, arena, run, dispose() {} };
  },
};
