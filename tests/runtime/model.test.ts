// A loaded model: numbers, true shapes, checked inputs, order of runs, faults and disposal.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { SparsecError as CompilerError } from "../../ir/diagnostics.ts";
import { load, type Model, SparsecError } from "../../runtime/index.ts";
import { toyArtifact, toyExecutor } from "./toy.ts";

const x = Float32Array.of(1, 0, 2, 3);
const flag = Uint8Array.of(0);
const loadToy = (executor = toyExecutor()): Promise<Model> => load(toyArtifact(), { executors: [executor] });
const failure = (promise: Promise<unknown>): Promise<SparsecError> =>
  promise.then(
    () => expect.fail("expected a failure"),
    (thrown) => {
      expect(thrown).toBeInstanceOf(SparsecError);
      return thrown;
    },
  );

test("outputs are fresh, in their true shapes, and never touch a prototype", async () => {
  const model = await loadToy();
  const first = await model.run({ x, flag });
  expect(first.y).toEqual({ data: Float32Array.of(7, 0, 13), dtype: "f32", shape: [3] });
  expect(first.nz).toEqual({ data: BigInt64Array.of(0n, 2n, 3n, 0n, 4n, 9n), dtype: "i64", shape: [2, 3] });
  expect(Object.keys(first)).toEqual(["y", "nz", "__proto__"]);
  expect(Object.getOwnPropertyDescriptor(first, "__proto__")?.value).toEqual({ data: Float32Array.of(7, -8), dtype: "f32", shape: [2] });
  const second = await model.run({ x: { data: Float32Array.of(0, 0, 0, 0), shape: [4] }, flag: { data: flag, shape: [] } });
  expect(second.nz).toEqual({ data: new BigInt64Array(), dtype: "i64", shape: [2, 0] });
  expect(first.y!.data).toEqual(Float32Array.of(7, 0, 13));
  expect(first.y!.data.buffer).not.toBe(second.y!.data.buffer);
});

test("ports and info say what the model is and why it runs so", async () => {
  const model = await loadToy();
  expect(model.inputs).toEqual([
    { name: "x", dtype: "f32", shape: [4] },
    { name: "flag", dtype: "bool", shape: [] },
  ]);
  expect(model.outputs.map((port) => port.name)).toEqual(["y", "nz", "__proto__"]);
  expect(model.info()).toEqual({
    name: "toy",
    backend: "toy",
    variant: "plain",
    why: "the device is 'auto' (for latency: wasm, js, then others), and it comes first",
    threads: 1,
    whyThreads: "one was asked for",
    turbo: { on: false, why: "not asked for" },
    memory: { weights: 88, arena: 112 },
    skipped: [],
  });
});

test("only the outputs asked for are copied", async () => {
  const model = await loadToy();
  expect(Object.keys(await model.run({ x, flag }, { outputs: ["nz"] }))).toEqual(["nz"]);
  const error = await failure(model.run({ x, flag }, { outputs: ["z"] }));
  expect(error.message).toBe(`no output is named "z"; the outputs are "y", "nz", "__proto__" [bad-option]`);
});

test("runSync gives the same", async () => {
  const model = await loadToy();
  expect(model.runSync({ x, flag })).toEqual(await model.run({ x, flag }));
  expect(() => model.runSync({ x, flag: Uint8Array.of(1) })).toThrow("toy: the flag was set [fault]");
  expect(() => model.runSync({ x })).toThrow(`input "flag": missing`);
  expect((model.runSync({ x, flag }).y!.data as Float32Array)[0]).toBe(7);
});

const other = "a Float32Array for f32 [4]";
test.each<[string, unknown, string]>([
  [
    "nothing",
    undefined,
    `2 things are wrong with the inputs:\n  input "x": missing; expected ${other}\n  input "flag": missing; expected a Uint8Array of 0 and 1 for bool []`,
  ],
  ["null", null, `run() takes an object of inputs by name, not null; expected "x" f32 [4], "flag" bool []`],
  ["an array", x, `run() takes an object of inputs by name, not Float32Array; expected "x" f32 [4], "flag" bool []`],
  [
    "missing and extra at once",
    { X: x },
    `3 things are wrong with the inputs:\n  no input is named "X"; expected "x" f32 [4], "flag" bool []\n  input "x": missing; expected ${other}\n  input "flag": missing; expected a Uint8Array of 0 and 1 for bool []`,
  ],
  ["another dtype", { x: Float64Array.of(1, 2, 3, 4), flag }, `input "x": found Float64Array; expected ${other}`],
  ["numbers", { x: [1, 2, 3, 4], flag }, `input "x": found an array of 4; expected ${other}`],
  ["too few elements", { x: x.subarray(1), flag }, `input "x": found 3 elements; expected 4 for f32 [4]`],
  ["another shape", { x: { data: x, shape: [2, 2] }, flag }, `input "x": found shape [2, 2]; expected ${other}`],
  ["a shape of no numbers", { x: { data: x, shape: ["4"] }, flag }, `input "x": found shape ["4"]; expected ${other}`],
  ["data without a shape", { x: { data: x }, flag }, `input "x": found data without a shape; expected ${other}`],
  ["a tensor of another dtype", { x: { data: x, shape: [4], dtype: "i32" }, flag }, `input "x": found dtype "i32"; expected ${other}`],
  ["a bool of 2", { x, flag: Uint8Array.of(2) }, `input "flag": found 2 at element 0; expected 0 to 1 for bool`],
  [
    "inherited inputs",
    Object.create({ x, flag }),
    `2 things are wrong with the inputs:\n  input "x": missing; expected ${other}\n  input "flag": missing; expected a Uint8Array of 0 and 1 for bool []`,
  ],
])("inputs: %s", async (_, inputs, reason) => {
  const model = await loadToy();
  const error = await failure(model.run(inputs as never));
  expect(error.code).toBe("bad-input");
  expect(error.reason).toBe(reason);
  expect((await model.run({ x, flag })).y!.data[0]).toBe(7);
});

test("a refused input leaves memory alone", async () => {
  const model = await loadToy();
  await failure(model.run({ x: Float32Array.of(9, 9, 9, 9) } as never));
  await failure(model.run({ x: Float32Array.of(9, 9, 9, 9), flag: Uint8Array.of(3) }));
  expect((await model.run({ x, flag })).y!.data).toEqual(Float32Array.of(7, 0, 13));
});

test("arrays from another realm count by their class", async () => {
  const model = await loadToy();
  expect((await model.run({ x: runInNewContext("Float32Array.of(1, 0, 2, 3)"), flag })).y!.data[0]).toBe(7);
});

test("faults, traps and impossible extents are coded, and the next run works", async () => {
  let next: number | Error = -1;
  const model = await loadToy(
    toyExecutor((compute) => {
      if (next instanceof Error) throw next;
      return next === -1 ? compute() : next;
    }),
  );
  const fault = await failure(model.run({ x, flag: Uint8Array.of(1) }));
  expect([fault.code, fault.message]).toEqual(["fault", "toy: the flag was set [fault]"]);
  next = 12;
  expect((await failure(model.run({ x, flag }))).message).toBe("toy: the program reports fault 12 [fault]");
  next = new RangeError("out of bounds");
  expect((await failure(model.run({ x, flag }))).message).toBe("toy: the run was stopped: out of bounds [trap]");
  next = -1;
  expect((await model.run({ x, flag })).y!.data[0]).toBe(7);
});

test.each([5, -1, 2 ** 32 + 1])("an extent of %i past its maximum is a fault", async (extent) => {
  const executor = toyExecutor();
  const model = await load(toyArtifact(), {
    executors: [
      {
        ...executor,
        instantiate: async (code, variant) => {
          const instance = await executor.instantiate(code, variant);
          const run = (): number | Promise<number> => {
            const fault = instance.run();
            new DataView(instance.buffer).setBigInt64(instance.arena + 24, BigInt(extent), true);
            return fault;
          };
          return { ...instance, run };
        },
      },
    ],
  });
  expect((await failure(model.run({ x, flag }))).reason).toBe(`an extent of output "nz" is not within 0 to 4`);
});

/** An executor whose runs end when the test says so. */
const slowExecutor = () => {
  const release: (() => void)[] = [];
  const executor = toyExecutor(async (compute) => {
    const fault = compute();
    await new Promise<void>((resolve) => release.push(resolve));
    return fault;
  });
  const tick = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    release.shift()!();
    await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return { executor, release, tick };
};

test("overlapping runs go one after the other, in order, past failures", async () => {
  const { executor, release, tick } = slowExecutor();
  const model = await loadToy(executor);
  const done: string[] = [];
  const track = (name: string, promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => done.push(name),
      (error) => done.push(`${name} ${error.code}`),
    );
  const all = [
    track(
      "a",
      model.run({ x, flag }).then((o) => expect(o.y!.data[0]).toBe(7)),
    ),
    track("b", model.run({ x } as never)),
    track(
      "c",
      model.run({ x: Float32Array.of(2, 0, 2, 3), flag }).then((o) => expect(o.y!.data[0]).toBe(8)),
    ),
    track("d", model.run({ x, flag: Uint8Array.of(1) })),
  ];
  expect(release.length).toBe(1);
  expect(() => model.runSync({ x, flag })).toThrow("another run is under way");
  await tick();
  expect(done).toEqual(["a", "b bad-input"]);
  all.push(track("e", model.run({ x, flag })));
  expect(release.length).toBe(1);
  await tick();
  await tick();
  await tick();
  await Promise.all(all);
  expect(done).toEqual(["a", "b bad-input", "c", "d fault", "e"]);
});

test("a synchronous executor has run when run() returns, so inputs may be reused at once", async () => {
  const model = await loadToy();
  const input = Float32Array.from(x);
  const promise = model.run({ x: input, flag });
  input.fill(0);
  expect((await promise).y!.data[0]).toBe(7);
});

test("runSync on an asynchronous executor is refused, and the model works on", async () => {
  const { executor, tick } = slowExecutor();
  const model = await loadToy(executor);
  expect(() => model.runSync({ x, flag })).toThrow("the toy executor is asynchronous");
  const next = model.run({ x, flag });
  await tick();
  await tick();
  expect((await next).y!.data[0]).toBe(7);
});

test("dispose frees at once when idle, after the run under way when not; waiting runs are refused", async () => {
  const idle = toyExecutor();
  {
    using model = await loadToy(idle);
    expect(idle.alive()).toBe(1);
    model.dispose();
    expect(idle.alive()).toBe(0);
    expect((await failure(model.run({ x, flag }))).message).toBe("toy: the model was disposed of [disposed]\n  hint: load it again");
    expect(() => model.runSync({ x, flag })).toThrow("disposed");
  }
  expect(idle.alive()).toBe(0);

  const { executor, tick } = slowExecutor();
  const model = await loadToy(executor);
  const first = model.run({ x, flag });
  const second = failure(model.run({ x, flag }));
  model.dispose();
  expect(executor.alive()).toBe(1);
  await tick();
  expect((await first).y!.data[0]).toBe(7);
  expect((await second).code).toBe("disposed");
  expect(executor.alive()).toBe(0);
});

test("inputs are filled in place and outputs read in place", async () => {
  const model = await loadToy();
  const [viewX, viewFlag, viewY] = [model.input("x") as Float32Array, model.input("flag") as Uint8Array, model.output("y") as Float32Array];
  expect([viewX, viewFlag]).toEqual([new Float32Array(4), new Uint8Array(1)]);
  viewX.set(x);
  model.invoke();
  expect(viewY).toEqual(Float32Array.of(7, 0, 13));
  viewX[0] = 0;
  expect((await model.run()).y!.data).toEqual(Float32Array.of(6, 0, 13));
  expect(model.runSync({ x: viewX }, { outputs: ["y"] }).y!.data).toEqual(Float32Array.of(6, 0, 13));
  // What a run is given lies in the view from then on.
  model.runSync({ x });
  expect(viewX).toEqual(x);
  expect(viewY).toEqual(Float32Array.of(7, 0, 13));
  viewFlag[0] = 1;
  expect(() => model.invoke()).toThrow("the flag was set [fault]");
  viewFlag[0] = 2;
  expect(() => model.invoke()).toThrow(`input "flag": found 2 at element 0; expected 0 to 1 for bool [bad-input]`);
});

test("an input may be left out only once its view was taken", async () => {
  const model = await loadToy();
  model.runSync({ x, flag });
  expect(() => model.invoke()).toThrow(`input "x": missing; expected a Float32Array for f32 [4]`);
  model.input("x");
  expect(() => model.invoke()).toThrow(`toy: input "flag": missing; expected a Uint8Array of 0 and 1 for bool [] [bad-input]`);
  expect(model.runSync({ flag }).y!.data).toEqual(Float32Array.of(7, 0, 13));
});

test("views are refused by name, by shape and after dispose", async () => {
  const model = await loadToy();
  expect(() => model.input("y")).toThrow(`no input is named "y"; the inputs are "x" f32 [4], "flag" bool [] [bad-option]`);
  expect(() => model.output("x")).toThrow(`no output is named "x"; the outputs are "y", "nz", "__proto__" [bad-option]`);
  expect(() => model.output("nz")).toThrow(`output "nz" has extents that only a run knows, so it has no view [dynamic-shape]`);
  const constant = model.output("__proto__") as Float32Array;
  constant[0] = 0;
  expect(model.output("__proto__")).toEqual(Float32Array.of(7, -8));
  model.dispose();
  for (const view of [() => model.input("x"), () => model.output("y"), () => model.invoke()]) expect(view).toThrow("[disposed]");
});

test("invoke allocates nothing", async () => {
  const model = await loadToy();
  // All zeros, for which the toy itself makes no bigint.
  model.input("x");
  model.input("flag");
  const used = (runs: number): number => {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < runs; i++) model.invoke();
    return process.memoryUsage().heapUsed - before;
  };
  // The median of five: a collection within one of them hides what that one allocated.
  const typical = (): number => Array.from({ length: 5 }, () => used(20_000)).sort((a, b) => a - b)[2]!;
  // V8 optimizes on another thread, which on a busy machine comes late: until then its interpreter boxes numbers.
  let bytes = typical();
  for (let tries = 0; bytes >= 20_000 && tries < 20; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    bytes = typical();
  }
  // Less than a byte a run: what is left is the measurement's own.
  expect(bytes).toBeLessThan(20_000);
});

test("the error classes of the compiler and the runtime know each other's instances", () => {
  expect(new SparsecError("a", "b")).toBeInstanceOf(CompilerError);
  expect(new CompilerError("a", "b")).toBeInstanceOf(SparsecError);
  expect(new Error("a")).not.toBeInstanceOf(SparsecError);
  expect({ code: "a", reason: "b" }).not.toBeInstanceOf(CompilerError);
  const [ours, theirs] = [
    new SparsecError("a", "b", { file: "f", name: "n", line: 2 }, "h"),
    new CompilerError("a", "b", { file: "f", name: "n", line: 2 }, "h"),
  ];
  expect([ours.message, ours.name, { ...ours }]).toEqual([theirs.message, theirs.name, { ...theirs }]);
});

test("ten thousand runs leave nothing behind", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const model = await loadToy();
  const used = async (runs: number): Promise<number> => {
    for (let i = 0; i < runs; i++) await model.run({ x, flag });
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  await used(1000);
  const before = await used(1000);
  expect((await used(10_000)) - before).toBeLessThan(200_000);
});
