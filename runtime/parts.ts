// A model in parts: programs that run one after the other, each where it was made for; values go on by way of the host's memory.

import type { Manifest, Part } from "./artifact.ts";
import type { Choice } from "./choose.ts";
import { SparsecError, said } from "./diagnostics.ts";
import { ARRAYS, type TypedArray, viewOf } from "./dtype.ts";
import { elementCount, type InputPlace } from "./inputs.ts";
import type { ModelInfo } from "./model.ts";
import { type Loading, type Opened, openVariant } from "./open.ts";
import type { OutputPlace } from "./outputs.ts";
import type { Program } from "./program.ts";

/** Opens all parts at once. Throws the error of the first that does not run here; `otherwise`, software adapters do not. */
export const openParts = async (manifest: Manifest, choice: Choice, loading: Loading, otherwise: boolean): Promise<Opened> => {
  const parts = manifest.parts!;
  const titles = parts.map(({ variants }, k) => `part ${k + 1} of ${parts.length}, for ${variants[0]!.backend}`);
  const open = async (part: Part, k: number): Promise<Opened> => {
    try {
      const device = part.variants[0]!.backend;
      return await openVariant({ ...manifest, ...part }, { device, from: titles[k]!, order: [], otherwise }, loading);
    } catch (thrown) {
      if (!(thrown instanceof SparsecError)) throw thrown;
      throw new SparsecError(thrown.code, `${titles[k]}: ${said(thrown)}`, thrown.loc, thrown.hint);
    }
  };
  const settled = await Promise.allSettled(parts.map(open));
  const opened = settled.flatMap((s) => (s.status === "fulfilled" ? [s.value] : []));
  const failed = settled.find((s) => s.status === "rejected");
  if (failed) {
    for (const { program } of opened) program.dispose();
    throw failed.reason;
  }
  return {
    program: createChain(
      manifest,
      opened.map(({ program }) => program),
    ),
    info: infoOf(
      opened.map(({ info }) => info),
      choice,
    ),
  };
};

const infoOf = (parts: readonly ModelInfo[], choice: Choice): ModelInfo => {
  const [first] = parts as readonly [ModelInfo];
  const adapter = parts.find((part) => part.adapter !== undefined)?.adapter;
  const sum = (region: "weights" | "arena"): number => parts.reduce((bytes, { memory }) => bytes + memory[region], 0);
  const most = parts.reduce((a, b) => (b.threads > a.threads ? b : a));
  return {
    ...first,
    backend: [...new Set(parts.map(({ backend }) => backend))].join("+"),
    variant: "parts",
    ...(adapter === undefined ? {} : { adapter }),
    why: `${choice.from}, and the model was compiled in ${parts.length} parts`,
    threads: most.threads,
    whyThreads: most.whyThreads,
    memory: { weights: sum("weights"), arena: sum("arena") },
    skipped: [],
    parts,
  };
};

interface Stage {
  readonly program: Program;
  /** What it takes that is not there already: of the caller's, where another part has the view, and of parts before. */
  readonly takes: readonly { readonly from: TypedArray; readonly to: TypedArray }[];
  /** Outputs that later parts take. */
  readonly gives: readonly OutputPlace[];
  /** Faults of the parts before it. */
  readonly faults: number;
}

/** The parts as one program. */
const createChain = (manifest: Manifest, programs: readonly Program[]): Program => {
  const inputs = new Map<string, InputPlace>();
  for (const port of manifest.inputs) {
    const takers = programs.flatMap((program) => program.inputs.get(port.name) ?? []);
    inputs.set(port.name, takers.length === 1 ? takers[0]! : { ...(takers[0] ?? loose(port)), onDevice: false });
  }
  const made = new Map<string, OutputPlace>();
  const taken = new Set(programs.flatMap((program) => [...program.inputs.keys()]));
  let faults = 0;
  const stages = programs.map((program): Stage => {
    const takes = [...program.inputs].flatMap(([name, { view }]) => {
      const from = (inputs.get(name) ?? made.get(name)!).view;
      return from === view ? [] : [{ from, to: view }];
    });
    for (const [name, place] of program.outputs) made.set(name, place);
    const gives = [...program.outputs].flatMap(([name, place]) => (taken.has(name) && !inputs.has(name) ? [place] : []));
    const stage = { program, takes, gives, faults };
    faults += program.faults.length;
    return stage;
  });
  const run = (wanted: readonly OutputPlace[], from: number): number | Promise<number> => {
    for (let k = from; k < stages.length; k++) {
      const { program, takes, gives, faults: before } = stages[k]!;
      for (const { from: source, to } of takes) (to as Float32Array).set(source as Float32Array);
      const own = wanted.filter((place) => program.outputs.get(place.port.name) === place && !gives.includes(place));
      const fault = program.run([...gives, ...own], false);
      if (typeof fault !== "number") return fault.then((number) => (number === -1 ? run(wanted, k + 1) : before + number));
      if (fault !== -1) return before + fault;
    }
    return -1;
  };
  return {
    inputs,
    outputs: new Map(manifest.outputs.map(({ name }) => [name, made.get(name)!])),
    faults: programs.flatMap((program) => program.faults),
    steps: programs.flatMap((program) => program.steps),
    endless: programs.some((program) => program.endless),
    asynchronous: programs.some((program) => program.asynchronous),
    keeps: false,
    extent: () => -1,
    run: (wanted) => run(wanted, 0),
    times() {
      const all = programs.map((program) => program.times());
      return all.every((part) => part !== undefined) ? all.flat() : undefined;
    },
    dispose() {
      for (const program of programs) program.dispose();
    },
  };
};

/** A place for an input that no part takes. */
const loose = (port: InputPlace["port"]): InputPlace => {
  const count = elementCount(port.shape);
  const view = viewOf(port.dtype, new ArrayBuffer(count * ARRAYS[port.dtype].BYTES_PER_ELEMENT), 0, count);
  return { port, view, held: false, onDevice: false, buffer: undefined };
};
