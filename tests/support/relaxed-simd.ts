// Importing this turns relaxed SIMD on where an engine has it behind a flag.

import { setFlagsFromString } from "node:v8";

// Newer engines, which have it anyway, do not know Node 20's flag.
if (Number(process.versions.node.split(".")[0]) < 21) setFlagsFromString("--experimental-wasm-relaxed-simd");
