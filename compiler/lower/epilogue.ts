// The elementwise operators after a template's anchor, as code at its store.

import type { Node, Value } from "../../ir/graph.ts";
import { add, let_, pointer, variable } from "../../ir/kernel/build.ts";
import type { Expr, Stmt } from "../../ir/kernel/types.ts";
import { rewriter } from "../../ir/kernel/walk.ts";
import { elementOf, isCompute, type OpSet } from "../../ir/op.ts";
import { some } from "../../ir/scalar/scalar.ts";
import type { Tensor } from "../../ir/tensor.ts";
import { boundOf } from "./generic/bounds.ts";
import { ElementLowering } from "./generic/element.ts";
import type { Source } from "./generic/element-options.ts";
import { Emitter, keyOf } from "./generic/emitter.ts";
import { type GenericContext, isImmediate } from "./generic/kernel.ts";
import { NotVectorizable } from "./generic/lanes.ts";
import { isTame, LARGEST } from "./generic/round.ts";
import { sameStorage } from "./storage.ts";
import type { Epilogue, EpilogueScope } from "./template.ts";
import type { Unit } from "./unit.ts";

const LANE = "lane";

/** Functions that take more than a few instructions. */
const MATHS: ReadonlySet<string> = new Set(["exp", "log", "sin", "cos", "tan", "tanh", "erf", "pow"]);

function isHeavy(n: Node, ops: OpSet): boolean {
  const op = ops.get(n.op)!;
  if (!isCompute(op)) return false;
  const types = [n.inputs.map((v) => v.type), n.results.map((v) => v.type)] as const;
  return some(elementOf(op, ...types, n.attrs, 0), (s) => (s.kind === "unary" || s.kind === "binary") && MATHS.has(s.op));
}

/** The unit's last node, where it quantizes values so moderate that rounding needs no bounds; `largest`: a bound of the anchor's. */
function saturatedOf(u: Unit, anchor: Value, largest: number | undefined, c: GenericContext): Node | undefined {
  const { node } = u.roots[0]!;
  if (largest === undefined || node.op !== "quantize" || (node.attrs.to !== "u8" && node.attrs.to !== "i8")) return undefined;
  const constantOf = (v: Value): Tensor | undefined => c.constantOf(u.outside.get(v) ?? v);
  const [x, scale] = node.inputs.slice(0, 2).map((v) => boundOf(v, (w) => (w === anchor ? largest : undefined), constantOf));
  return x !== undefined && constantOf(node.inputs[1]!)?.data.length === 1 && x <= LARGEST * scale! ? node : undefined;
}

/** Nodes of the unit that its result needs besides `anchor`. */
function nodesBeside(u: Unit, anchor: Value): ReadonlySet<Node> {
  const inside = new Set(u.nodes);
  const found = new Set<Node>();
  const visit = (v: Value): void => {
    if (v === anchor || !inside.has(v.node) || found.has(v.node)) return;
    found.add(v.node);
    v.node.inputs.forEach(visit);
  };
  u.roots.forEach(visit);
  return found;
}

/**
 * Everything in the unit that follows `anchor`, whose magnitude is at most `largest`. Applying it raises NotVectorizable where it cannot be
 * done lane by lane.
 */
export function epilogueOf(u: Unit, anchor: Value, c: GenericContext, largest?: number): Epilogue {
  const inside = new Set(u.nodes);
  const beside = nodesBeside(u, anchor);
  const root = u.roots[0]!;
  const out = c.storageOf(u.node.results[0]!);
  const outer = (v: Value): Value => u.outside.get(v) ?? v;
  const used = new Set([...beside].flatMap((n) => n.inputs.filter((v) => !inside.has(v.node)).map(outer)));
  const operands = [...used].filter((v) => !isImmediate(c.constantOf(v)));
  const names = new Map(operands.map((v, k) => [v, `e${k}`]));

  const tame = c.vectors && isTame(u.nodes, u.operands, c.constantOf);
  const readers = [...beside].filter((n) => n.inputs.includes(anchor));
  const saturated = tame ? saturatedOf(u, anchor, largest, c) : undefined;
  const apply: Epilogue["apply"] = (acc, site, keep, scope) => {
    const em = new Emitter();
    const along = site.axis ?? site.coords.length - 1;
    const coords = site.lanes === 4 ? site.coords.map((x, axis) => (axis === along ? add(x, variable(LANE)) : x)) : [...site.coords];
    const here = coords.map(keyOf).join();
    const source = (v: Value): Source => {
      if (v === anchor) return { kind: "given", value: acc };
      if (inside.has(v.node)) return { kind: "node", node: v.node };
      const o = outer(v);
      const t = c.constantOf(o);
      return isImmediate(t)
        ? { kind: "number", tensor: t }
        : { kind: "memory", ptr: variable(names.get(o)!, "ptr"), storage: c.storageOf(o) };
    };
    const lowering = new ElementLowering(em, {
      ops: c.ops,
      source,
      tame,
      loose: c.loose,
      saturated,
      ...(site.lanes === 4 ? { lane: LANE } : {}),
      fault: () => {
        throw new NotVectorizable();
      },
      // What lies as the result does is found where the result goes.
      sameAddress: (storage, at) =>
        sameStorage(storage, out) && at.map(keyOf).join() === here
          ? { ptr: (base) => ({ kind: "advance", type: "ptr", ptr: base, bytes: site.offset }), offset: site.displacement }
          : undefined,
    });
    const value = lowering.value(root, coords);
    return replay(em, value, keep, scope);
  };
  return {
    saturated: saturated !== undefined,
    wholes: readers.length > 0 && readers.every((n) => n.op === "cast" && n.attrs.to === "f32"),
    heavy: [...beside].some((n) => isHeavy(n, c.ops)),
    params: operands.map((v) => pointer(names.get(v)!, "read", c.storageOf(v).bytes) as Epilogue["params"][number]),
    bindings: operands.map((v) => ({ kind: "operand", operand: u.operands.indexOf(v) })),
    apply,
  };
}

/** Hands the emitter's variables to `keep`, which names them anew, and to `scope` what is no variable; the lane counter is 0 by now. */
function replay(em: Emitter, value: Expr, keep: (value: Expr) => Expr, scope: EpilogueScope | undefined): Expr {
  const names = new Map<string, Expr>([[LANE, { kind: "const", type: "i32", value: 0 }]]);
  const renamed = (e: Expr): Expr => rewriter((x) => (x.kind === "var" ? (names.get(x.name) ?? x) : x))(e);
  const nameOf = (name: string): string => (names.get(name) as Expr & { kind: "var" }).name;
  /** Statements of a block of its own. */
  const block = (body: readonly Stmt[], inner: EpilogueScope): readonly Stmt[] =>
    body.map((s) => {
      if (s.kind !== "let") return other(s, inner);
      const name = inner.name("t");
      const own = let_(name, renamed(s.value));
      names.set(s.name, variable(name, s.value.type));
      return own;
    });
  const other = (s: Stmt, inner: EpilogueScope): Stmt => {
    if (s.kind === "set") return { ...s, name: nameOf(s.name), value: renamed(s.value) };
    if (s.kind !== "if") throw new NotVectorizable();
    return { ...s, cond: renamed(s.cond), then: block(s.then, inner), else: block(s.else, inner) };
  };
  for (const s of em.body) {
    if (s.kind === "let") names.set(s.name, keep(renamed(s.value)));
    else if (scope) scope.emit(other(s, scope));
    else throw new NotVectorizable();
  }
  return renamed(value);
}
