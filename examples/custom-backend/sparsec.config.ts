// Makes the backend known to every command that is run here, and the one to compile for.

import { defineConfig } from "sparsec";
import { dataview } from "./backend.ts";
import { dataviewExecutor } from "./executor.ts";

export default defineConfig({ backends: [dataview], executors: [dataviewExecutor], device: "dataview" });
