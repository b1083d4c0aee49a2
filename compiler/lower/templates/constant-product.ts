// Multiplies vectors by a constant matrix, as code: zeros cost nothing, ones no product, and what two rows or two columns share is computed once.

import { add, f32, fma, let_, mul, splat, sub, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import type { Names } from "./store-tile.ts";
import type { Matrix } from "./winograd-matrices.ts";

const constant = (x: number): Expr => splat("f32x4", f32(x));

interface Term {
  readonly factor: number;
  readonly value: Expr;
}

/** How two lists of factors relate, where all of them are the same or opposite. */
interface Mirrored {
  readonly same: readonly number[];
  readonly opposite: readonly number[];
}

function mirrored(a: readonly number[], b: readonly number[]): Mirrored | undefined {
  const used = a.flatMap((x, k) => (x !== 0 || b[k] !== 0 ? [k] : []));
  const same = used.filter((k) => a[k] === b[k]);
  const opposite = used.filter((k) => a[k] === -b[k]!);
  return same.length > 0 && opposite.length > 0 && same.length + opposite.length === used.length ? { same, opposite } : undefined;
}

/** For each list the partner that mirrors it, if any. */
function partners(lists: Matrix): Map<number, { readonly other: number; readonly how: Mirrored }> {
  const found = new Map<number, { other: number; how: Mirrored }>();
  for (let i = 0; i < lists.length; i++)
    for (let j = i + 1; j < lists.length; j++) {
      const how = mirrored(lists[i]!, lists[j]!);
      if (!how || found.has(i) || found.has(j)) continue;
      found.set(i, { other: j, how });
      found.set(j, { other: i, how });
    }
  return found;
}

/** `matrix` x `given`, one f32x4 for each row. `fused`: multiply-adds are one instruction. */
export function constantProduct(
  matrix: Matrix,
  given: readonly Expr[],
  scope: Names,
  fused: boolean,
): { readonly body: readonly Stmt[]; readonly values: readonly Expr[] } {
  const body: Stmt[] = [];
  const keep = (value: Expr): Expr => {
    if (value.kind === "var") return value;
    const name = scope.fresh("k");
    body.push(let_(name, value));
    return variable(name, "f32x4");
  };
  const inputs = given.map(keep);
  /** The sum of some terms; a term whose factor is 1 comes first. */
  const sum = (terms: readonly Term[]): Expr => {
    const first = Math.max(
      0,
      terms.findIndex((t) => t.factor === 1),
    );
    const start = terms[first]!;
    return terms
      .toSpliced(first, 1)
      .reduce<Expr>(
        (acc, { factor, value }) =>
          keep(factor === 1 ? add(acc, value) : factor === -1 ? sub(acc, value) : fma(constant(factor), value, acc)),
        start.factor === 1 ? start.value : keep(mul(constant(start.factor), start.value)),
      );
  };

  // Columns: sum and difference of two inputs take their places.
  const transposed = inputs.map((_, k) => matrix.map((row) => row[k]!));
  const columns = partners(transposed);
  const rows: Term[][] = matrix.map(() => []);
  transposed.forEach((column, k) => {
    const pair = columns.get(k);
    if (!pair) column.forEach((factor, r) => rows[r]!.push({ factor, value: inputs[k]! }));
    else if (k < pair.other) {
      const [x, y] = [inputs[k]!, inputs[pair.other]!];
      const [both, apart] = [keep(add(x, y)), keep(sub(x, y))];
      column.forEach((factor, r) => rows[r]!.push({ factor, value: pair.how.same.includes(r) ? both : apart }));
    }
  });
  const termsOf = (r: number): Term[] => rows[r]!.filter((t) => t.factor !== 0);

  // Rows: two that differ in signs are a sum and a difference of two parts.
  const values = new Map<number, Expr>();
  const mirrors = columns.size > 0 ? new Map<number, never>() : partners(matrix);
  matrix.forEach((_, r) => {
    const pair = mirrors.get(r);
    if (values.has(r)) return;
    if (!pair) return void values.set(r, sum(termsOf(r)));
    const part = (of: readonly number[]): Term[] => of.map((k) => rows[r]![k]!);
    const even = sum(part(pair.how.same));
    const lead = part(pair.how.opposite).at(-1)!.factor;
    const rest = sum(part(pair.how.opposite).map((t) => ({ ...t, factor: Math.fround(t.factor / lead) })));
    const [odd, scale] = fused || Math.abs(lead) === 1 ? [rest, lead] : [keep(mul(constant(lead), rest)), 1];
    const plus = (factor: number): Expr =>
      sum([
        { factor: 1, value: even },
        { factor, value: odd },
      ]);
    values.set(r, plus(scale));
    values.set(pair.other, plus(-scale));
  });
  return { body, values: matrix.map((_, r) => values.get(r)!) };
}
