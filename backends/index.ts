// The built-in backends.

export { js } from "./js/index.ts";
export { wasm } from "./wasm/index.ts";
export { webgpu } from "./webgpu/index.ts";
