// What a kernel means: runs it on buffers with every access checked. Slow and obvious; the judge of every backend.

import { errors } from "../diagnostics.ts";
import { type Counts, compileExpr, type Evaluator, type Frame, type Scope } from "./evaluate.ts";
import { runGrid } from "./grid.ts";
import { type BufferRef, type KernelValue, storer, type Window } from "./memory.ts";
import { ALONE, type Member, Races } from "./team.ts";
import type { Expr, Func, Param, PointerParam, Program, Stmt } from "./types.ts";
import { verify } from "./verify.ts";
import { visitStatements } from "./walk.ts";

export type { Counts } from "./evaluate.ts";
export type { BufferRef } from "./memory.ts";

export interface InterpretOptions {
  /** Loop iterations and calls before giving up with `kernel-budget`. Default 1e9. */
  readonly steps?: number;
  /** Threads that run the program together; between barriers one goes after the other. Default 1. */
  readonly threads?: number;
  /** Threads of a workgroup that run in step, a power of two: they can swap. Default 4, the least of WebGPU's subgroups. */
  readonly lanes?: number;
  /** Counts what is done, from what it holds on. */
  readonly counts?: Counts;
}

interface Budget {
  left: number;
  readonly total: number;
}

type Action = (frame: Frame) => void;
type TeamAction = (frames: readonly Frame[], races: Races) => void;
type Invoke = (args: readonly KernelValue[], windows: readonly Window[], member: Member) => KernelValue | undefined;
/** One call by every thread of a team. */
interface Given {
  readonly args: readonly KernelValue[];
  readonly windows: readonly Window[];
  readonly member: Member;
}
interface Compiled {
  readonly func: Func;
  readonly invoke: Invoke;
  /** Runs all calls at once, from barrier to barrier. */
  readonly together: (calls: readonly Given[], races: Races) => void;
  /** Whether it passes a barrier. */
  readonly meets: boolean;
}

interface Fault {
  readonly fault: number;
}
const isFault = (x: unknown): x is Fault => typeof x === "object" && x !== null && "fault" in x && !(x instanceof Error);

/**
 * Runs `entry` (by default the program's own) on one buffer per pointer parameter and one value per scalar parameter.
 * Returns the number of the assert that failed, or -1. Throws `bad-kernel` for an ill-formed program, `kernel-access` for an access outside
 * the declared bytes of a parameter, or misaligned, `kernel-race` where threads of a team get in each other's way, and `kernel-budget` for
 * running too long.
 */
export function interpret(
  program: Program,
  entry: string = program.entry,
  args: readonly (BufferRef | number | bigint)[] = [],
  options: InterpretOptions = {},
): { readonly fault: number } {
  return interpreter(program, options)(entry, args);
}

/** The same in two steps, for running one program many times: verifies and compiles first. */
export function interpreter(
  program: Program,
  options: InterpretOptions = {},
): (entry: string, args: readonly (BufferRef | number | bigint)[]) => { readonly fault: number; readonly result: KernelValue | undefined } {
  verify(program);
  const budget: Budget = { left: 0, total: options.steps ?? 1e9 };
  const compiled = new Map<string, Compiled>();
  for (const func of program.functions) compiled.set(func.name, compileFunc(func, compiled, budget, options));
  const { threads = 1 } = options;
  return (entry, args) => {
    const found = compiled.get(entry);
    if (!found) throw errors.badKernel(entry, "is not defined");
    budget.left = budget.total;
    const { values, windows } = bind(found.func, args);
    try {
      if (threads === 1) return { fault: -1, result: found.invoke(values, windows, ALONE) };
      const races = new Races();
      const watched = windows.map((w) => races.watches(w.view.byteLength, threads));
      const calls = Array.from({ length: threads }, (_, rank) => ({
        args: values,
        windows: windows.map((w, i) => ({ ...w, watch: watched[i]![rank] })),
        member: { rank, size: threads, group: 0, lanes: 1 },
      }));
      found.together(calls, races);
      return { fault: -1, result: undefined };
    } catch (e) {
      if (isFault(e)) return { fault: e.fault, result: undefined };
      throw e;
    }
  };
}

const isPointer = (p: Param): p is PointerParam => p.type === "ptr";

function bind(func: Func, args: readonly (BufferRef | number | bigint)[]): { values: KernelValue[]; windows: Window[] } {
  if (args.length !== func.params.length) throw errors.badKernel(func.name, `takes ${func.params.length} arguments, given ${args.length}`);
  const windows: Window[] = [];
  const values = func.params.map((p, i): KernelValue => {
    const a = args[i]!;
    if (typeof a === "object") {
      if (!isPointer(p)) throw errors.badKernel(func.name, `was given a buffer for '${p.name}', a ${p.type}`);
      const view = new DataView(a.bytes.buffer, a.bytes.byteOffset, a.bytes.byteLength);
      windows.push({ view, base: 0, bytes: Math.min(p.bytes, a.bytes.byteLength) });
      return 0;
    }
    if (isPointer(p)) throw errors.badKernel(func.name, `was given ${a} for '${p.name}', a pointer`);
    return a;
  });
  return { values, windows };
}

function compileFunc(
  func: Func,
  functions: ReadonlyMap<string, Compiled>,
  budget: Budget,
  { counts, lanes = 4 }: InterpretOptions,
): Compiled {
  const slots = new Map<string, number>();
  const roots = new Map<string, number>();
  const slot = (name: string): number => {
    const known = slots.get(name);
    if (known !== undefined) return known;
    slots.set(name, slots.size);
    return slots.size - 1;
  };
  func.params.forEach((p) => {
    slot(p.name);
    if (isPointer(p)) roots.set(p.name, roots.size);
  });
  const shared = func.grid?.shared ?? [];
  for (const { name } of shared) {
    slot(name);
    roots.set(name, roots.size);
  }
  const root = (ptr: Expr): number => {
    if (ptr.kind === "var") return roots.get(ptr.name)!;
    if (ptr.kind === "advance") return root(ptr.ptr);
    return root((ptr as Expr & { kind: "select" }).a);
  };

  const spend = (): void => {
    if (--budget.left < 0) throw errors.kernelBudget(budget.total);
  };

  /** What a call hands on: pointers become windows on the caller's windows, starting where they point. */
  const giving = (name: string, args: readonly Expr[]): ((frame: Frame) => Given) => {
    const { func: callee } = functions.get(name)!;
    const values = args.map((a) => compileExpr(a, scope));
    const pointers = callee.params.flatMap((p, i) => (isPointer(p) ? [{ at: i, root: root(args[i]!), bytes: p.bytes }] : []));
    return (frame) => {
      spend();
      const given = values.map((v) => v(frame));
      const windows = pointers.map((p): Window => {
        const from = frame.windows[p.root]!;
        const offset = given[p.at] as number;
        if (offset < 0) throw errors.kernelAccess(func.name, `passes ${name} a pointer ${-offset} bytes before its buffer`);
        given[p.at] = 0;
        return { ...from, base: from.base + offset, bytes: Math.min(p.bytes, from.bytes - offset) };
      });
      return { args: given, windows, member: frame.member };
    };
  };
  const call = (name: string, args: readonly Expr[]): Evaluator => {
    const { invoke } = functions.get(name)!;
    const give = giving(name, args);
    return (frame) => {
      const given = give(frame);
      return invoke(given.args, given.windows, given.member) as KernelValue;
    };
  };

  const scope: Scope = { func: func.name, counts, slot, root, call };
  const expr = (e: Expr): Evaluator => compileExpr(e, scope);

  const block = (body: readonly Stmt[]): Action => {
    const actions = body.map(statement);
    return (frame) => {
      for (const run of actions) run(frame);
    };
  };

  const statement = (s: Stmt): Action => {
    switch (s.kind) {
      case "let":
      case "set": {
        if (s.kind === "let" && s.value.type === "ptr") roots.set(s.name, root(s.value));
        const value = expr(s.value);
        const at = slot(s.name);
        return (frame) => {
          frame.slots[at] = value(frame);
        };
      }
      case "store": {
        const store = storer(s.memory, s.offset, func.name);
        const window = root(s.ptr);
        const [ptr, value] = [expr(s.ptr), expr(s.value)];
        return (frame) => store(frame.windows[window]!, ptr(frame) as number, value(frame));
      }
      case "for": {
        const [from, to] = [expr(s.from), expr(s.to)];
        const at = slot(s.name);
        const body = block(s.body);
        const step = s.step;
        return (frame) => {
          const end = to(frame) as number;
          for (let i = from(frame) as number; i < end; i += step) {
            spend();
            frame.slots[at] = i;
            body(frame);
          }
        };
      }
      case "repeat": {
        const body = block(s.body);
        const again = expr(s.again);
        return (frame) => {
          do {
            spend();
            body(frame);
          } while (again(frame));
        };
      }
      case "while": {
        const cond = expr(s.cond);
        const body = block(s.body);
        return (frame) => {
          while (cond(frame)) {
            spend();
            body(frame);
          }
        };
      }
      case "if": {
        const cond = expr(s.cond);
        const [then, otherwise] = [block(s.then), block(s.else)];
        return (frame) => (cond(frame) ? then(frame) : otherwise(frame));
      }
      case "call": {
        const run = call(s.name, s.args);
        return (frame) => {
          run(frame);
        };
      }
      case "assert": {
        const cond = expr(s.cond);
        const fault: Fault = { fault: s.fault };
        return (frame) => {
          if (!cond(frame)) throw fault;
        };
      }
      case "swap":
      case "barrier":
        return () => {};
    }
  };

  const meets = (body: readonly Stmt[]): boolean => {
    let found = false;
    visitStatements(body, (s) => {
      found ||= s.kind === "barrier" || s.kind === "swap" || (s.kind === "call" && functions.get(s.name)!.meets);
    });
    return found;
  };

  /** What steers a team past barriers is the same for every thread. */
  const agreed = (frames: readonly Frame[], e: Evaluator): KernelValue => {
    const [first, ...others] = frames.map(e);
    if (others.some((x) => x !== first)) throw errors.badKernel(func.name, "leads the threads of a team apart where they are to meet");
    return first!;
  };

  const everyone = (body: readonly Stmt[]): TeamAction => {
    const actions = body.map(together);
    return (frames, races) => {
      for (const run of actions) run(frames, races);
    };
  };

  /** A statement for all threads of a team: one after the other, unless there is a barrier in it. */
  const together = (s: Stmt): TeamAction => {
    if (!meets([s])) {
      const run = statement(s);
      return (frames) => frames.forEach(run);
    }
    switch (s.kind) {
      case "for": {
        const [from, to] = [expr(s.from), expr(s.to)];
        const at = slot(s.name);
        const body = everyone(s.body);
        return (frames, races) => {
          const end = agreed(frames, to) as number;
          for (let i = agreed(frames, from) as number; i < end; i += s.step) {
            for (const f of frames) f.slots[at] = i;
            body(frames, races);
          }
        };
      }
      case "repeat": {
        const body = everyone(s.body);
        const again = expr(s.again);
        return (frames, races) => {
          do body(frames, races);
          while (agreed(frames, again));
        };
      }
      case "while": {
        const cond = expr(s.cond);
        const body = everyone(s.body);
        return (frames, races) => {
          while (agreed(frames, cond)) body(frames, races);
        };
      }
      case "if": {
        const cond = expr(s.cond);
        const [then, otherwise] = [everyone(s.then), everyone(s.else)];
        return (frames, races) => (agreed(frames, cond) ? then : otherwise)(frames, races);
      }
      case "call": {
        const give = giving(s.name, s.args);
        const callee = functions.get(s.name)!;
        return (frames, races) => callee.together(frames.map(give), races);
      }
      case "swap": {
        const by = expr(s.by);
        const at = slot(s.name);
        return (frames) => {
          const distance = agreed(frames, by) as number;
          if (distance < 1 || distance >= frames[0]!.member.lanes)
            fail(func.name, `swaps '${s.name}' over ${distance} lanes of ${frames[0]!.member.lanes}`);
          const held = frames.map((f) => f.slots[at]!);
          for (const f of frames) f.slots[at] = held[f.member.rank ^ distance]!;
        };
      }
      default:
        return (_, races) => races.meet();
    }
  };

  const frameOf = ({ args, windows, member }: Given): Frame => ({ slots: [...args, ...shared.map(() => 0)], windows, member });
  const run = block(func.body);
  const result = func.result ? expr(func.result) : undefined;
  let runAll: TeamAction | undefined;
  const { grid } = func;
  if (grid) {
    const all = everyone(func.body);
    const dispatch: Invoke = (args, windows) => {
      runGrid(grid, windows, counts, lanes, (own, member, races) =>
        all(
          member.map((m, rank) => frameOf({ args, windows: own(rank), member: m })),
          races,
        ),
      );
      return undefined;
    };
    return { func, invoke: dispatch, together: () => fail(func.name, "has a grid and is called by a team"), meets: false };
  }
  return {
    func,
    invoke: (args, windows, member) => {
      const frame = frameOf({ args, windows, member });
      run(frame);
      return result?.(frame);
    },
    together: (calls, races) => {
      runAll ??= everyone(func.body);
      runAll(calls.map(frameOf), races);
    },
    meets: meets(func.body),
  };
}

function fail(func: string, why: string): never {
  throw errors.badKernel(func, why);
}
