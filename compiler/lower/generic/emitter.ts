// Emits kernel statements into nested scopes; whatever does not hang on an inner loop is computed outside of it, once.

import { advance, div, for_, i32, if_, let_, rem, set, variable } from "../../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../../ir/kernel/types.ts";
import { operands } from "../../../ir/kernel/walk.ts";
import { type Affine, affineOf } from "./affine.ts";
import { type Range, rangeOf } from "./range.ts";

interface Scope {
  readonly stmts: Stmt[];
  /** Values known here and in every scope within, by key. */
  readonly known: Map<string, Expr>;
  /** Statements may move out of this scope only if it is sure to run: a loop that is never empty. */
  readonly certain: boolean;
}

export class Emitter {
  #scopes: Scope[] = [{ stmts: [], known: new Map(), certain: true }];
  /** Depth of the scope that declares a variable; `mutable` ones bind whatever reads them to the current scope. */
  readonly #depths = new Map<string, number>();
  readonly #mutable = new Set<string>();
  readonly #levels = new WeakMap<Expr, number>();
  readonly #ranges = new Map<string, Range>();
  readonly #ids = new Map<object, number>();
  #fresh = 0;

  /** The statements of the outermost scope. */
  get body(): readonly Stmt[] {
    return this.#scopes[0]!.stmts;
  }

  /** Whether statements go to the outermost scope, which is sure to run, and once. */
  get isOutermost(): boolean {
    return this.#scopes.length === 1;
  }

  name(hint: string): string {
    return `${hint}${this.#fresh++}`;
  }

  /** A number for an object, for keys. */
  idOf(o: object): number {
    const known = this.#ids.get(o) ?? this.#ids.size;
    this.#ids.set(o, known);
    return known;
  }

  /** Parameters are known everywhere. */
  parameter(name: string, type: Expr["type"]): Expr {
    this.#depths.set(name, 0);
    return variable(name, type);
  }

  emit(s: Stmt): void {
    this.#scopes.at(-1)!.stmts.push(s);
  }

  /** The innermost scope that an expression needs; deeper ones need not compute it again. */
  #level(e: Expr): number {
    const known = this.#levels.get(e);
    if (known !== undefined) return known;
    let level = 0;
    if (e.kind === "var")
      level = this.#mutable.has(e.name) ? Number.POSITIVE_INFINITY : (this.#depths.get(e.name) ?? Number.POSITIVE_INFINITY);
    else for (const o of operands(e)) level = Math.max(level, this.#level(o));
    if (Number.isFinite(level)) this.#levels.set(e, level);
    return level;
  }

  /** The values that an i32 expression can take, where the loops around it tell. */
  range(e: Expr): Range | undefined {
    return rangeOf(e, (name) => this.#ranges.get(name));
  }

  /** Where a computation without effect belongs: it may run even where its value is not wanted, unless it reads memory. */
  #place(e: Expr): number {
    const level = this.#level(e);
    const current = this.#scopes.length - 1;
    return readsMemory(e) ? this.#home(level) : Math.min(level, current);
  }

  /** The outermost scope where what needs `level` may be computed without running anything that might not run. */
  #home(level: number): number {
    let depth = this.#scopes.length - 1;
    while (depth > level && this.#scopes[depth]!.certain) depth--;
    return depth;
  }

  /** Depth of the scope where a computation from these expressions belongs. */
  home(needs: readonly Expr[]): number {
    return this.#home(Math.max(0, ...needs.map((e) => this.#level(e))));
  }

  /** Runs `f` with statements going to the scope at `depth`, as if the scopes within were not open yet. */
  at<T>(depth: number, f: () => T): T {
    const all = this.#scopes;
    this.#scopes = all.slice(0, depth + 1);
    try {
      return f();
    } finally {
      this.#scopes = all;
    }
  }

  /** A value known under `key`, or made by `make` in the outermost scope that `needs` allow. */
  once(key: string, needs: readonly Expr[], make: () => Expr): Expr {
    for (let d = this.#scopes.length - 1; d >= 0; d--) {
      const known = this.#scopes[d]!.known.get(key);
      if (known) return known;
    }
    const depth = this.home(needs);
    return this.at(depth, () => {
      const value = this.keep(make());
      this.#scopes.at(-1)!.known.set(key, value);
      return value;
    });
  }

  /** A variable that holds the value, declared as far out as it can be. */
  keep(value: Expr, hint = "t"): Expr {
    if (value.kind === "var" || value.kind === "const") return value;
    const depth = this.#place(value);
    const name = this.name(hint);
    this.#scopes[depth]!.stmts.push(let_(name, value));
    this.#depths.set(name, depth);
    return variable(name, value.type);
  }

  /** A variable of the current scope for a value, even a constant one. */
  named(hint: string, value: Expr): Expr {
    const name = this.name(hint);
    this.emit(let_(name, value));
    this.#depths.set(name, this.#scopes.length - 1);
    return variable(name, value.type);
  }

  /** The coordinates of element `number` of a shape, counted along axes in `order`, outermost first; variables of known ranges. */
  coordinates(number: Expr, shape: readonly number[], order: readonly number[]): Expr[] {
    const coords: Expr[] = shape.map(() => i32(0));
    let rest = 1;
    const count = shape.reduce((a, b) => a * b, 1);
    for (const axis of order.toReversed()) {
      const extent = shape[axis]!;
      if (extent > 1) {
        const whole = rest === 1 ? number : div(number, i32(rest));
        const coordinate = this.named("i", rest * extent === count ? whole : rem(whole, i32(extent)));
        this.#ranges.set((coordinate as Expr & { kind: "var" }).name, { low: 0, high: extent - 1 });
        coords[axis] = coordinate;
      }
      rest *= extent;
    }
    return coords;
  }

  /** A mutable variable of the current scope. */
  mutable(hint: string, start: Expr): { readonly read: Expr; assign(value: Expr): void } {
    const name = this.name(hint);
    this.emit(let_(name, start));
    this.#mutable.add(name);
    return { read: variable(name, start.type), assign: (value) => this.emit(set(name, value)) };
  }

  /** A mutable variable's value from here on, as an immutable one. */
  freeze(read: Expr): Expr {
    const name = this.name("r");
    const depth = this.#scopes.length - 1;
    this.emit(let_(name, read));
    this.#depths.set(name, depth);
    return variable(name, read.type);
  }

  #within(scope: Scope, f: () => void): readonly Stmt[] {
    this.#scopes = [...this.#scopes, scope];
    f();
    this.#scopes = this.#scopes.slice(0, -1);
    return scope.stmts;
  }

  /** A counted loop; `body` gets its variable. Loops of one round vanish, unless they have a `parallel` cost: they may be shared out. */
  loop(hint: string, from: Expr, to: Expr, step: number, body: (i: Expr) => void, parallel?: number): void {
    const count = from.kind === "const" && to.kind === "const" ? Math.ceil((Number(to.value) - Number(from.value)) / step) : undefined;
    if (count !== undefined && count <= 0) return;
    if (count === 1 && parallel === undefined) return body(from);
    const name = this.name(hint);
    this.#depths.set(name, this.#scopes.length);
    const [low, high] = [this.range(from), this.range(to)];
    if (low && high) this.#ranges.set(name, { low: low.low, high: high.high - 1 });
    const stmts = this.#within({ stmts: [], known: new Map(), certain: count !== undefined }, () =>
      body(count === 1 ? from : variable(name)),
    );
    this.emit(for_(name, from, to, stmts, step, parallel));
  }

  branch(cond: Expr, then: () => void, otherwise: () => void = () => {}): void {
    const yes = this.#within({ stmts: [], known: new Map(), certain: false }, then);
    const no = this.#within({ stmts: [], known: new Map(), certain: false }, otherwise);
    this.emit(if_(cond, yes, no));
  }

  /** A pointer to `base + bytes`: each loop adds its own part, so that the innermost address is a variable and a constant. */
  address(base: Expr, bytes: Expr): { readonly ptr: Expr; readonly offset: number } {
    const affine: Affine = affineOf(bytes);
    const parts = affine.terms
      .map(({ of, by }) => ({
        expr: by === 1 ? of : ({ kind: "binary", type: "i32", op: "mul", a: of, b: i32(by) } as Expr),
        level: this.#level(of),
      }))
      .sort((a, b) => a.level - b.level);
    // A displacement must not be negative, nor the pointer that it is added to: fold it into the pointer where either could be.
    const fold = affine.constant < 0 || affine.terms.some((t) => t.by < 0);
    let ptr = fold ? this.#pointer(advance(base, i32(affine.constant))) : base;
    for (const part of parts) ptr = this.#pointer(advance(ptr, part.expr));
    return { ptr, offset: fold ? 0 : affine.constant };
  }

  #pointer(e: Expr): Expr {
    return this.shared(e, "p");
  }

  /** `keep` for what does not read memory: equal expressions are one variable. */
  shared(e: Expr, hint: string): Expr {
    if (e.kind === "var" || e.kind === "const") return e;
    const key = `shared ${keyOf(e)}`;
    for (let d = this.#scopes.length - 1; d >= 0; d--) {
      const known = this.#scopes[d]!.known.get(key);
      if (known) return known;
    }
    const depth = this.#place(e);
    const value = this.at(depth, () => this.keep(e, hint));
    this.#scopes[depth]!.known.set(key, value);
    return value;
  }
}

function readsMemory(e: Expr): boolean {
  return e.kind === "load" || operands(e).some(readsMemory);
}

const keys = new WeakMap<Expr, string>();

/** A text that two expressions share exactly when they are the same. */
export function keyOf(e: Expr): string {
  let key = keys.get(e);
  if (key === undefined) {
    const own = Object.entries(e)
      .filter(([, v]) => typeof v !== "object")
      .map(([k, v]) => `${k}:${typeof v === "bigint" ? `${v}n` : Object.is(v, -0) ? "-0" : String(v)}`);
    key = `(${own.join(" ")} ${operands(e).map(keyOf).join(" ")})`;
    keys.set(e, key);
  }
  return key;
}
