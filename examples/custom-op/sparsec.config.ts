// Makes the operator known to every command that is run here.

import { defineConfig } from "sparsec";
import { snake, snakeOnnx } from "./snake.ts";

export default defineConfig({ ops: { ops: [snake], onnx: [snakeOnnx] } });
