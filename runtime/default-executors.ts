// The executors that come with the runtime, in the order of preference.

import type { Executor } from "./executor.ts";

export const defaultExecutors: readonly Executor[] = [];
