// Gives each thread of a team its share of parallel loops, where the target has threads; elsewhere one thread runs all of them.

import { add, div, i32, let_, max, min, mul, team, variable } from "../../ir/kernel/build.ts";
import { type Expr, type Func, isVector, type Stmt } from "../../ir/kernel/types.ts";
import { mapFunc, mapStmt } from "../../ir/kernel/walk.ts";
import type { KernelPass } from "./legalize.ts";

export const shareOut: KernelPass = {
  name: "share-out",
  establishes: "no parallel loops; neither barriers nor `team` unless the target has threads",
  run: (program, can) => ({
    ...program,
    functions: program.functions.map((f) => (f.grid ? f : can.threads ? shareFunc(f) : aloneFunc(f))),
  }),
};

type For = Stmt & { readonly kind: "for" };
const isParallel = (s: Stmt): s is For => s.kind === "for" && s.parallel !== undefined;
const isFixed = (s: For): boolean => s.from.kind === "const" && s.to.kind === "const";

/** Products with the size of a team stay within 31 bits. */
const MOST_COST = 2 ** 24;

/** Loops that stand together are one piece of work, cut where the costs up to there come closest to a thread's share. */
function shareFunc(func: Func): Func {
  let fresh = 0;

  const share = (loops: readonly For[]): readonly Stmt[] => {
    const id = fresh++;
    const counts = loops.map((s): number => (isFixed(s) ? Math.max(0, Math.ceil((fixed(s.to) - fixed(s.from)) / s.step)) : 0));
    const total = loops.reduce((sum, s, i) => sum + counts[i]! * s.parallel!, 0);
    const scale = Math.max(1, total / MOST_COST);
    const costs = loops.map((s) => Math.max(1, Math.round(s.parallel! / scale)));
    const whole = counts.reduce((sum, n, i) => sum + n * costs[i]!, 0);
    const [low, high] = [`share${id}_low`, `share${id}_high`];
    let before = 0;
    const cut = loops.flatMap((s, i): Stmt[] => {
      const [count, cost] = [counts[i]!, costs[i]!];
      const at = (name: string): Expr => {
        const index = div(add(variable(name), i32(Math.floor(cost / 2) - before)), i32(cost));
        const within = loops.length === 1 ? index : min(max(index, i32(0)), i32(count));
        return add(s.from, mul(within, i32(s.step)));
      };
      const { parallel: _, ...loop } = s;
      const exact = (fixed(s.to) - fixed(s.from)) % s.step === 0;
      const cutLoop = { ...loop, from: at(low), to: exact ? at(high) : min(at(high), s.to), body: block(s.body) };
      before += count * cost;
      return [cutLoop];
    });
    return [...bounds(id, i32(whole)), ...cut];
  };

  /** The costs where a thread's share begins and ends. */
  const bounds = (id: number, whole: Expr): readonly Stmt[] => [
    let_(`share${id}_low`, div(mul(whole, team("rank")), team("size"))),
    let_(`share${id}_high`, div(mul(whole, add(team("rank"), i32(1))), team("size"))),
  ];

  /** A loop whose number of rounds is not known before. */
  const shareDynamic = (s: For): readonly Stmt[] => {
    const id = fresh++;
    const { parallel: _, ...loop } = s;
    const [from, to, count] = ["from", "to", "count"].map((name) => variable(`share${id}_${name}`)) as [Expr, Expr, Expr];
    const rounds = max(div(add(add(to, i32(s.step - 1)), mul(from, i32(-1))), i32(s.step)), i32(0));
    const at = (name: string): Expr => add(from, mul(variable(`share${id}_${name}`), i32(s.step)));
    return [
      let_(`share${id}_from`, s.from),
      let_(`share${id}_to`, s.to),
      let_(`share${id}_count`, rounds),
      ...bounds(id, count),
      { ...loop, from: at("low"), to: min(at("high"), to), body: block(s.body) },
    ];
  };

  const block = (body: readonly Stmt[]): readonly Stmt[] => {
    const result: Stmt[] = [];
    for (let i = 0; i < body.length; ) {
      const s = body[i]!;
      if (!isParallel(s)) {
        result.push(mapStmt(s, (e) => e, block));
        i++;
      } else if (!isFixed(s)) {
        result.push(...shareDynamic(s));
        i++;
      } else {
        let end = i + 1;
        while (end < body.length && isParallel(body[end]!) && isFixed(body[end] as For)) end++;
        result.push(...share(body.slice(i, end) as For[]));
        i = end;
      }
    }
    return result;
  };
  return { ...func, body: block(func.body) };
}

const fixed = (e: Expr): number => (e.kind === "const" && !isVector(e.type) ? Number(e.value) : 0);

/** The same function for one thread. */
function aloneFunc(func: Func): Func {
  const block = (body: readonly Stmt[]): readonly Stmt[] =>
    body.flatMap((s): readonly Stmt[] => {
      if (s.kind === "barrier") return [];
      if (!isParallel(s)) return [mapStmt(s, (e) => e, block)];
      const { parallel: _, ...loop } = s;
      return [{ ...loop, body: block(s.body) }];
    });
  return mapFunc({ ...func, body: block(func.body) }, (e) => (e.kind === "team" ? i32(e.of === "rank" ? 0 : 1) : e));
}
