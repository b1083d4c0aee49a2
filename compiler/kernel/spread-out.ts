// Gives kernels that know nothing of grids one, where they run on a device: a thread for each round of their parallel loops, else one thread.

import { add, binary, compare, i32, if_, let_, lt, mul, sub, team, variable } from "../../ir/kernel/build.ts";
import type { Func, Program, Stmt } from "../../ir/kernel/types.ts";
import { visitStatements } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

/** Threads of a workgroup that share nothing. */
const SIZE = 64;

export const spreadOut: KernelPass = {
  name: "spread-out",
  establishes: "what the entry calls has a grid, where the target is a device",
  run: (program, can) => (can.device ? spreadProgram(program) : program),
};

function spreadProgram(program: Program): Program {
  const called = new Set<string>();
  const elsewhere = new Set<string>();
  for (const f of program.functions)
    visitStatements(f.body, (s) => void (s.kind === "call" && (f.name === program.entry ? called : elsewhere).add(s.name)));
  const functions = program.functions.flatMap((f): readonly Func[] => {
    if (!called.has(f.name) || f.grid) return [f];
    const spread = spreadFunc(f);
    return elsewhere.has(f.name) ? [f, { ...spread, name: `${f.name}_grid` }] : [spread];
  });
  if (![...called].some((name) => elsewhere.has(name))) return { ...program, functions };
  const rename = (body: readonly Stmt[]): readonly Stmt[] =>
    body.map((s): Stmt => {
      if (s.kind === "call" && elsewhere.has(s.name)) return { ...s, name: `${s.name}_grid` };
      if (s.kind === "if") return { ...s, then: rename(s.then), else: rename(s.else) };
      return s.kind === "while" ? { ...s, body: rename(s.body) } : s;
    });
  return { ...program, functions: functions.map((f) => (f.name === program.entry ? { ...f, body: rename(f.body) } : f)) };
}

type For = Stmt & { readonly kind: "for" };
const isParallel = (s: Stmt): s is For => s.kind === "for" && s.parallel !== undefined;
const boundsOf = (s: For): readonly [number, number] | undefined =>
  s.from.kind === "const" && s.to.kind === "const" ? [Number(s.from.value), Number(s.to.value)] : undefined;
const roundsOf = (s: For): number => {
  const [from, to] = boundsOf(s)!;
  return Math.max(0, Math.ceil((to - from) / s.step));
};

function spreadFunc(f: Func): Func {
  const plain = f.body.every((s) => s.kind === "let" || (isParallel(s) && boundsOf(s)));
  const rounds = plain ? f.body.reduce((sum, s) => sum + (isParallel(s) ? roundsOf(s) : 0), 0) : 0;
  // Alone, it shares nothing out and waits for nobody: `share-out` leaves what has a grid as it is.
  if (rounds === 0) return { ...f, body: alone(f.body), grid: { workgroups: 1, size: 1, shared: [] } };
  const thread = "thread_number";
  let before = 0;
  const body = f.body.map((s): Stmt => {
    if (!isParallel(s)) return s;
    const [count, start] = [roundsOf(s), before];
    before += count;
    const round = sub(variable(thread), i32(start));
    const own = let_(s.name, add(s.from, mul(round, i32(s.step))));
    const inside = binary("and", compare("ge", variable(thread), i32(start)), lt(variable(thread), i32(start + count)));
    return if_(start === 0 ? lt(variable(thread), i32(count)) : inside, [own, ...s.body]);
  });
  const number = let_(thread, add(mul(team("group"), i32(SIZE)), team("rank")));
  return { ...f, body: [number, ...body], grid: { workgroups: Math.ceil(rounds / SIZE), size: SIZE, shared: [] } };
}

const alone = (body: readonly Stmt[]): readonly Stmt[] =>
  body.flatMap((s): readonly Stmt[] => {
    if (s.kind === "barrier") return [];
    if (s.kind === "for") {
      const { parallel: _, ...loop } = s;
      return [{ ...loop, body: alone(s.body) }];
    }
    if (s.kind === "if") return [{ ...s, then: alone(s.then), else: alone(s.else) }];
    return s.kind === "while" || s.kind === "repeat" ? [{ ...s, body: alone(s.body) }] : [s];
  });
