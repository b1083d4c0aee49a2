// Reads the entry of a program as a schedule: each call is a dispatch of a kernel, on the buffers that its pointers point into.

import type { Bound, Command, Condition, DeviceKernel, Placement, Schedule } from "../../compiler/backend.ts";
import type { SparsecError } from "../../ir/diagnostics.ts";
import { costOf } from "../../ir/kernel/cost.ts";
import { type Expr, type Func, MEMORY_BYTES, type PointerParam, type Program, type Stmt } from "../../ir/kernel/types.ts";
import { bindingsOf, buffersFor, type Pointer, type Stretch } from "./buffers.ts";
import { errors } from "./diagnostics.ts";
import type { Feature } from "./features.ts";
import { type Binding, printKernel } from "./kernel.ts";

interface Argument extends Pointer {
  readonly param: PointerParam;
  /** The buffer that it points into, by its number. */
  readonly buffer: number;
}

/** What a device can bind. */
export interface Limits {
  /** Buffers of one kernel. */
  readonly buffers: number;
  /** Bindings start at multiples of it. */
  readonly alignment: number;
  /** Bytes of one binding. */
  readonly binding: number;
}

export interface Scheduled {
  readonly schedule: Schedule;
  /** The modules of its kernels. */
  readonly text: string;
  /** What they need of a device. */
  readonly features: ReadonlySet<Feature>;
  /** Whether a kernel reaches a buffer through several bindings. */
  readonly split: boolean;
  /** Why a kernel cannot be bound: the first that takes too many bindings. */
  readonly excess?: SparsecError | undefined;
}

export function scheduleOf(program: Program, placement: Placement, limits: Limits): Scheduled {
  const functions = new Map(program.functions.map((f) => [f.name, f]));
  const entry = functions.get(program.entry)!;
  const [weights, arena] = entry.params;
  if (!weights || !arena || entry.params.length !== 2) throw errors.badEntry(entry.name, "takes two pointers, the weights and the arena");
  const buffers = buffersFor(placement, limits.binding, limits.alignment);
  let split = false;
  let excess: SparsecError | undefined;
  const kernels: DeviceKernel[] = [];
  const texts: string[] = [];
  /** Kernels by what a device is told of them: functions that differ in nothing else are one. */
  const alike = new Map<string, number>();
  const features = new Set<Feature>();
  const known = new Map<string, number>();
  const names = new Map<string, number>();
  const costs = new Map<Func, number>();
  let calls = 0;

  const pointer = (e: Expr): Pointer => {
    if (e.kind === "var" && (e.name === weights.name || e.name === arena.name))
      return { region: e.name === weights.name ? "weights" : "arena", offset: 0 };
    if (e.kind === "advance" && e.bytes.kind === "const") {
      const { region, offset } = pointer(e.ptr);
      return { region, offset: offset + Number(e.bytes.value) };
    }
    throw errors.badEntry(entry.name, `passes a pointer out of a ${e.kind}`);
  };
  const stretchOf = (args: readonly Argument[]): Stretch => {
    const [from, to] = [Math.min(...args.map((a) => a.offset)), Math.max(...args.map((a) => a.offset + a.param.bytes))];
    return buffers.stretch(args[0]!.region, from, to);
  };
  const count = (stretches: readonly Stretch[]): number => stretches.reduce((sum, { windows }) => sum + (windows?.count ?? 1), 0);

  /** Parameters in bindings: one each, unless a device would see one buffer read and written in one dispatch, or too many buffers. */
  const grouped = (args: readonly Argument[], most: number): (readonly Argument[])[] => {
    const groups: Argument[][] = [];
    const written = new Set(args.filter((a) => a.param.access !== "read").map((a) => a.buffer));
    for (const a of args) {
      const same = written.has(a.buffer) && groups.find((g) => g[0]!.buffer === a.buffer);
      if (same) same.push(a);
      else groups.push([a]);
    }
    if (count(groups.map(stretchOf)) <= most) return groups;
    return [...new Set(groups.map((g) => g[0]!.buffer))].map((b) => groups.filter((g) => g[0]!.buffer === b).flat());
  };

  const dispatch = (s: Stmt & { kind: "call" }): Command[] => {
    const func = functions.get(s.name)!;
    const step = placement.steps[calls++] ?? 0;
    // Of a tensor without elements there is nothing to compute.
    if (func.body.every((x) => x.kind === "let")) return [];
    const args = func.params.map((param, i): Argument => {
      if (!("access" in param)) throw errors.badEntry(entry.name, `passes ${s.name} a ${param.type}`);
      const p = pointer(s.args[i]!);
      return { ...p, param, buffer: buffers.numberOf(p) };
    });
    const build = (most: number) => {
      const groups = grouped(args, most);
      const stretches = groups.map(stretchOf);
      const bindings = groups.map(
        (g, k): Binding => ({
          access: g.some((a) => a.param.access !== "read") ? "readwrite" : "read",
          params: g.map((a) => ({ name: a.param.name, offset: a.offset - stretches[k]!.offset })),
          windows: stretches[k]!.windows,
        }),
      );
      const key = `${func.name} ${JSON.stringify(bindings)}`;
      return { stretches, bindings, key };
    };
    let chosen = build(limits.buffers);
    let number = known.get(chosen.key);
    if (number === undefined) {
      let printed = printKernel({ func, bindings: chosen.bindings }, functions);
      if (printed.access.length > limits.buffers) {
        chosen = build(limits.buffers - 1);
        printed = printKernel({ func, bindings: chosen.bindings }, functions);
      }
      if (printed.access.length > limits.buffers) excess ??= errors.tooManyBuffers(func.name, printed.access.length, limits.buffers);
      const { workgroups } = func.grid!;
      const content = `${workgroups} ${printed.text}`;
      number = alike.get(content);
      if (number === undefined) {
        number = kernels.length;
        alike.set(content, number);
        const n = (names.get(func.name) ?? 0) + 1;
        names.set(func.name, n);
        const name = n === 1 ? func.name : `${func.name}.${n}`;
        kernels.push({ name, access: printed.access, workgroups });
        texts.push(`//// ${name}\n${printed.text}`);
        for (const feature of printed.features) features.add(feature);
      }
      known.set(chosen.key, number);
    }
    const kernel = kernels[number]!;
    const bind: Bound[] = chosen.stretches.flatMap(bindingsOf);
    split ||= bind.length > chosen.stretches.length;
    const fault: Bound[] = kernel.access.length > bind.length ? [{ region: "fault", offset: 0, bytes: 4 }] : [];
    if (!costs.has(func)) costs.set(func, costOf(func, functions));
    return [{ kind: "dispatch", kernel: number, bind: [...bind, ...fault], step, cost: costs.get(func)! }];
  };

  /** A value that steers: a number, or where it lies. */
  const word = (e: Expr): Bound | number => {
    if (e.kind === "const") return Number(e.value);
    if (e.kind === "load") {
      const { region, offset } = pointer(e.ptr);
      return { region, offset: offset + e.offset, bytes: MEMORY_BYTES[e.memory] };
    }
    throw errors.badEntry(entry.name, `is steered by a ${e.kind}`);
  };
  const condition = (e: Expr): Condition => {
    if (e.kind === "binary" && e.op === "and") return { kind: "both", a: condition(e.a), b: condition(e.b) };
    if (e.kind === "compare" && e.op === "lt") return { kind: "less", a: word(e.a), b: word(e.b) };
    return { kind: "flag", flag: word(e) };
  };
  const commands = (body: readonly Stmt[]): Command[] =>
    body.flatMap((s): Command[] => {
      switch (s.kind) {
        case "call":
          return dispatch(s);
        case "if":
          return [{ kind: "if", cond: condition(s.cond), then: commands(s.then), else: commands(s.else) }];
        case "while":
          return [{ kind: "while", cond: condition(s.cond), body: commands(s.body) }];
        default:
          throw errors.badEntry(entry.name, `has a ${s.kind} of its own`);
      }
    });
  const list = commands(entry.body);
  const { arena: cuts, weights: weightCuts } = buffers.cuts;
  const schedule = { cuts, ...(weightCuts.length > 1 ? { weightCuts } : {}), kernels, commands: list };
  return { schedule, text: texts.join("\n"), features, split, excess };
}
