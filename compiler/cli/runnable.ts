// Which of a backend's variants to compile where the result runs here, at once, and nowhere else.

import { defaultExecutors } from "../../runtime/default-executors.ts";
import type { Executor } from "../../runtime/executor.ts";
import type { Backend } from "../index.ts";

/** The backend with the one variant that would be taken for `device` ("wasm:baseline"); as it is where none runs, for `load` to say why. */
export function runnable(backend: Backend, device: string | undefined, executors: readonly Executor[]): Backend {
  const executor = [...executors, ...defaultExecutors].find((e) => e.backend === backend.name);
  const variant = backend.variants.find(({ name, needs }) => {
    if (device?.includes(":") && device !== `${backend.name}:${name}`) return false;
    // Executors look at what a variant needs; the rest of its manifest is not there yet.
    const known = { backend: backend.name, name, needs } as Parameters<Executor["unsupported"]>[0];
    return executor !== undefined && executor.unsupported(known) === undefined;
  });
  return variant ? { ...backend, variants: [variant] } : backend;
}
