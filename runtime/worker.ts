// The file that each further thread of a team runs: instantiates the module over the shared memory, and works until it is terminated.

/** What the first thread sends. */
export interface Start {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly rank: number;
  readonly size: number;
  readonly weights: number;
  readonly arena: number;
  /** Reads of a counter before a waiting thread sleeps. */
  readonly patience: number;
}

interface Exports {
  readonly patience: WebAssembly.Global;
  work(rank: number, size: number, weights: number, arena: number): never;
  abort(): void;
}

const begin = ({ module, memory, rank, size, weights, arena, patience }: Start, say: (ready: string) => void): void => {
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  exports.patience.value = patience;
  say("ready");
  for (;;) {
    try {
      exports.work(rank, size, weights, arena);
    } catch {
      // A trap: the others end this run at their next barrier, and the first thread reports it.
      exports.abort();
    }
  }
};

const node = globalThis.process?.getBuiltinModule?.("node:worker_threads");
if (node) begin(node.workerData as Start, (ready) => node.parentPort?.postMessage(ready));
else globalThis.onmessage = ({ data }: MessageEvent<Start>) => begin(data, (ready) => globalThis.postMessage(ready));
