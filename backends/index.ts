// The built-in backends.

export { js } from "./js/index.ts";
export { wasm } from "./wasm/index.ts";
