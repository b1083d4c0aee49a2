// Which of a backend's variants to compile where the result runs here, at once, and nowhere else.

import { defaultExecutors } from "../../runtime/default-executors.ts";
import type { Executor } from "../../runtime/executor.ts";
import type { Backend } from "../index.ts";

/** The backend with the one variant that would be taken for `device` ("wasm:baseline"); as it is where none runs, for `load` to say why. */
export async function runnable(backend: Backend, device: string | undefined, executors: readonly Executor[]): Promise<Backend> {
  const executor = [...executors, ...defaultExecutors].find((e) => e.backend === backend.name);
  for (const variant of backend.variants) {
    if (device?.includes(":") && device !== `${backend.name}:${variant.name}`) continue;
    // What its program uses is known once it is compiled: it may be all that it may use.
    const needs = { backend: backend.name, name: variant.name, needs: [...variant.needs, ...(variant.may ?? [])] };
    if (executor && (await executor.unsupported(needs)) === undefined) return { ...backend, variants: [variant] };
  }
  return backend;
}
