// Turns placed steps into one kernel program: equal kernels become one function, and `run` calls them in order.

import {
  advance,
  barrier,
  binary,
  callStmt,
  compare,
  constant,
  for_,
  i32,
  if_,
  let_,
  load,
  mul,
  pointer,
  team as teamMember,
  variable,
  while_,
} from "../ir/kernel/build.ts";
import { sharedFunctions } from "../ir/kernel/team.ts";
import type { Expr, Func, Program, Stmt } from "../ir/kernel/types.ts";
import { copyAtFunction, copyFunction, countFunction, marginsFunction } from "./lower/relayout.ts";
import type { Buffer, LoweredGraph, Place, Step } from "./lower/step.ts";
import type { Packed } from "./lower/template.ts";
import { Meetings } from "./meetings.ts";
import type { MemoryPlan } from "./plan-memory.ts";

/** Where packed constants go: offsets into the weight image of one variant. */
export interface ImageWriter {
  constant(bytes: ArrayBufferView): number;
  packed(p: Packed): number;
  readonly bytes: number;
}

/** A text that only equal functions share, whatever their names. */
const contentOf = (f: Func): string =>
  JSON.stringify([f.params, f.body, f.result ?? null, f.grid ?? null], (_, x: unknown) =>
    typeof x === "bigint" ? `${x}n` : Object.is(x, -0) ? "-0" : Number.isFinite(x as number) || typeof x !== "number" ? x : String(x),
  );

/** Functions by content; a name that is taken by another content gets a number. */
class Functions {
  readonly list: Func[] = [];
  readonly #names = new Map<string, string>();
  /** Names of what was added before, and how it was changed: the stripes of a chain call the same kernels again and again. */
  readonly #known = new Map<Func, { readonly how: string; readonly name: string }>();
  readonly #taken = new Set<string>(["run"]);

  /** Adds a kernel's functions; gives the final name of `entry`. `shift` renumbers its faults. */
  add(functions: readonly Func[], entry: string, shift: number): string {
    const renamed = new Map<string, string>();
    for (const f of functions) {
      const how = `${shift} ${[...renamed]}`;
      let known = this.#known.get(f);
      if (known?.how !== how) {
        known = { how, name: this.#nameFor(renameCalls(f, renamed, shift)) };
        this.#known.set(f, known);
      }
      renamed.set(f.name, known.name);
    }
    return renamed.get(entry)!;
  }

  #nameFor(f: Func): string {
    const key = contentOf(f);
    let name = this.#names.get(key);
    if (name === undefined) {
      name = f.name;
      for (let n = 2; this.#taken.has(name); n++) name = `${f.name}_${n}`;
      this.#taken.add(name);
      this.#names.set(key, name);
      this.list.push({ ...f, name });
    }
    return name;
  }
}

/** A deep copy with callees renamed and faults renumbered; the very same function where nothing changes. */
function renameCalls(f: Func, names: ReadonlyMap<string, string>, shift: number): Func {
  const walk = (x: unknown): unknown => {
    if (typeof x !== "object" || x === null) return x;
    if (Array.isArray(x)) return x.map(walk);
    const o = x as { readonly [key: string]: unknown };
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(o)) copy[key] = walk(o[key]);
    if (o.kind === "call") copy.name = names.get(o.name as string) ?? o.name;
    if (o.kind === "assert") copy.fault = (o.fault as number) + shift;
    return copy;
  };
  return names.size === 0 && shift === 0 ? f : (walk(f) as Func);
}

/** Those of the steps that the two words at `range` name. */
function withinRange(steps: readonly (readonly Stmt[])[], arena: Expr, range: number): Stmt[] {
  const [from, to] = [variable("from", "i32"), variable("to", "i32")];
  const chosen = (k: number): Expr => binary("and", compare("le", from, i32(k)), compare("lt", i32(k), to));
  return [
    let_("from", load("i32", arena, range)),
    let_("to", load("i32", arena, range + 4)),
    ...steps.flatMap((body, k) => (body.length > 0 ? [if_(chosen(k), body)] : [])),
  ];
}

/** Whether no byte of a copy's source is one of its target. */
const isApart = ({ from, to, bytes }: Step & { kind: "copy" }): boolean =>
  from.buffer !== to.buffer || Math.abs((from.shift?.bytes ?? 0) - (to.shift?.bytes ?? 0)) >= bytes;

export interface ProgramOptions {
  /** A place in the arena: two words there say which of the graph's steps to run, from the first to before the second. */
  readonly range?: number;
  /** Whether a team of threads runs it: then there are barriers between steps. */
  readonly team?: boolean;
}

/** The program of a lowered graph, with the entry `run(weights, arena)`. */
export function buildProgram(
  g: LoweredGraph,
  plan: MemoryPlan,
  image: ImageWriter,
  { range, team = false }: ProgramOptions = {},
): {
  readonly program: Program;
  readonly order: readonly Step[];
  /** For each call of `run`, in the order of the text, the step that it was made from, by its place in `order`. */
  readonly calls: readonly number[];
} {
  const functions = new Functions();
  const faults: string[] = [];
  const order: Step[] = [];
  const calls: number[] = [];
  const called = (name: string, args: readonly Expr[]): Stmt => {
    calls.push(order.length - 1);
    return callStmt(name, args);
  };
  const [weights, arena, rank] = [variable("weights", "ptr"), variable("arena", "ptr"), teamMember("rank")];
  const pointerTo = (b: Buffer, bytes = 0): Expr =>
    b.constant ? advance(weights, i32(image.constant(b.constant.data) + bytes)) : advance(arena, i32(plan.offsets.get(b)! + bytes));
  /** Chains so far: each counts its images by a variable of its own. */
  let tiles = 0;
  const pointerAt = ({ buffer, shift }: Place): Expr => {
    const start = pointerTo(buffer, shift?.bytes);
    return shift && shift.image > 0 ? advance(start, binary("mul", variable(`image${tiles}`), i32(shift.image))) : start;
  };
  // `run` addresses whole regions: displacements of loads and stores are the places' offsets.
  const base = (p: Place): { readonly ptr: Expr; readonly offset: number } =>
    p.buffer.constant
      ? { ptr: weights, offset: image.constant(p.buffer.constant.data) }
      : { ptr: arena, offset: plan.offsets.get(p.buffer)! };
  // A constant is a number in the code: a trip count among the weights could be tampered with.
  const read = (memory: "bool" | "i64", p: Place): Expr =>
    p.buffer.constant ? constant(memory, p.buffer.constant.data[0]!) : load(memory, base(p).ptr, base(p).offset);

  const call = (s: Step & { kind: "kernel" }): Stmt => {
    const { lowered } = s;
    const shift = faults.length;
    const where = s.node.locs[0] ? `${s.node.locs[0].name}: ` : "";
    faults.push(...lowered.faults.map((f) => `${where}${f}`));
    const name = functions.add(lowered.functions, lowered.entry, lowered.faults.length > 0 ? shift : 0);
    const args = lowered.bindings.map((b, k): Expr => {
      switch (b.kind) {
        case "operand":
          return pointerAt(s.operands[b.operand]!);
        case "result":
          return pointerAt(s.results[b.result]!);
        case "packed":
          return advance(weights, i32(image.packed(b.packed)));
        case "scratch": {
          const { buffer, apart } = plan.scratch.get(s)!.get(k)!;
          const own = mul(rank, i32(apart));
          return team && apart > 0 ? advance(pointerTo(buffer), own) : pointerTo(buffer);
        }
      }
    });
    return called(name, args);
  };

  const copy = (s: Step & { kind: "copy" }): Stmt[] => {
    if (s.bytes === 0) return [];
    const [target, source] = [pointerAt(s.to), pointerAt(s.from)];
    if (!s.at) return [called(functions.add([copyFunction(s.bytes, isApart(s))], "copy", 0), [target, source])];
    const name = functions.add([copyAtFunction(s.bytes, s.to.storage.bytes)], "copy_at", 0);
    return [called(name, [target, source, pointerAt(s.at)])];
  };

  const meetings = new Meetings(plan);
  /** A step's statements, once nothing stands in their way; those that are not shared out are the first thread's. */
  const meeting = (s: Parameters<Meetings["before"]>[0], statements: readonly Stmt[], shared: boolean): Stmt[] => {
    if (!team || statements.length === 0) return [...statements];
    return [...(meetings.before(s, shared) ? [barrier] : []), ...(shared ? statements : [if_(compare("eq", rank, i32(0)), statements)])];
  };

  const statements = (steps: readonly Step[], printed = true): Stmt[] =>
    steps.flatMap((s): Stmt[] => {
      if (printed) order.push(s);
      switch (s.kind) {
        case "kernel":
          return meeting(s, [call(s)], sharedFunctions(s.lowered.functions).size > 0);
        case "copy":
          return meeting(s, copy(s), !s.at && sharedFunctions([copyFunction(s.bytes, isApart(s))]).size > 0);
        case "margins": {
          const margins = marginsFunction(s.place.storage, s.around);
          const clear = called(functions.add([margins], "margins", 0), [pointerTo(s.place.buffer)]);
          return meeting(s, [clear], sharedFunctions([margins]).size > 0);
        }
        case "tiles": {
          order.push(...s.whole);
          tiles++;
          const body = statements(s.body, false);
          if (s.images === 1) return body;
          // The next image is none of the last one's business, but lies in the same buffers.
          if (team) meetings.met();
          return [for_(`image${tiles}`, i32(0), i32(s.images), team ? [...body, barrier] : body)];
        }
        case "if": {
          const before = team && meetings.beforeReading([s.cond]) ? [barrier] : [];
          const [then, otherwise] = meetings.either(
            () => statements(s.then),
            () => statements(s.else),
          );
          return [...before, if_(read("bool", s.cond), then, otherwise)];
        }
        case "loop": {
          const steering = [s.trips, s.cond, s.count];
          const before = team && meetings.beforeReading(steering) ? [barrier] : [];
          const again = binary("and", read("bool", s.cond), compare("lt", read("i64", s.count), read("i64", s.trips)));
          const inside = statements(s.body);
          const next = called(functions.add([countFunction], "count", 0), [pointerAt(s.count)]);
          // All have read the count before it moves on, and nobody reads it again before it has.
          const step = team ? [barrier, if_(compare("eq", rank, i32(0)), [next]), barrier] : [next];
          meetings.met();
          meetings.beforeReading(steering);
          return [...before, while_(again, [...inside, ...step])];
        }
      }
    });

  const each = g.steps.map((s) => statements([s]));
  const end = Math.max(64, plan.bytes, range === undefined ? 0 : range + 8);
  const run: Func = {
    name: "run",
    doc: "one inference",
    params: [pointer("weights", "read", Math.max(16, image.bytes)), pointer("arena", "readwrite", end)],
    body: range === undefined ? each.flat() : withinRange(each, arena, range),
  };
  return { program: { functions: [...functions.list, run], entry: "run", faults }, order, calls };
}
