// Prints one kernel with its bindings as a WGSL module of its own.

import type { Expr, Func, MemoryType, Param, SharedArray, Stmt } from "../../ir/kernel/types.ts";
import { visitExpressions, visitStatements } from "../../ir/kernel/walk.ts";
import { errors } from "./diagnostics.ts";
import { divided, type Printer, pointerText, printExpression, typeText } from "./expression.ts";
import { directivesOf, type Feature } from "./features.ts";
import { elementOf, type Root, storeText, unitOf, variablesOf, type Windows } from "./memory.ts";
import { preludeOf, TAKEN } from "./prelude.ts";

/** What a binding holds: pointer parameters of the kernel, each so many bytes after the binding's start. */
export interface Binding {
  readonly access: "read" | "readwrite";
  readonly params: readonly { readonly name: string; readonly offset: number }[];
  /** Where it takes several: they come one after the other. */
  readonly windows?: Windows | undefined;
}

/** A kernel and how its parameters are bound. */
export interface BoundKernel {
  readonly func: Func;
  readonly bindings: readonly Binding[];
}

/** Workgroups along the first axis of a dispatch; beyond, they are folded into rows. */
export const MOST_WORKGROUPS = 65535;

/** Where a pointer of the kernel's entry starts. */
interface Start {
  readonly root: Root;
  readonly offset: number;
}
type Roots = ReadonlyMap<string, Start>;

const newRoot = (name: string, space: Root["space"], windows?: Windows): Root => ({
  name,
  space,
  windows,
  loads: new Set(),
  stores: new Set(),
  divisor: 16,
  accessors: new Map(),
});

/** The pointers of a function, declared ones too, by the buffers that they point into. */
function rootsIn(func: Func, given: Roots): (ptr: Expr) => Root {
  const known = new Map([...given].map(([name, s]) => [name, s.root]));
  const find = (ptr: Expr): Root => {
    if (ptr.kind === "advance") return find(ptr.ptr);
    if (ptr.kind === "select") return find(ptr.a);
    return known.get((ptr as Expr & { kind: "var" }).name)!;
  };
  visitStatements(func.body, (s) => {
    if (s.kind === "let" && s.value.type === "ptr") known.set(s.name, find(s.value));
  });
  return find;
}

const isPointer = (p: Param): boolean => p.type === "ptr";

/** How the threads of a workgroup are told apart where they swap: by rank alone nothing is known of who runs in step with whom. */
const SUBGROUPS = [
  "@builtin(subgroup_size) subgroup_size: u32",
  "@builtin(num_subgroups) subgroups: u32",
  "@builtin(subgroup_id) subgroup: u32",
  "@builtin(subgroup_invocation_id) lane: u32",
] as const;

class Module {
  readonly #functions: ReadonlyMap<string, Func>;
  readonly #used = new Set<string>();
  readonly #printed = new Map<string, { readonly name: string; readonly text: string }>();
  readonly #names = new Set<string>();
  /** Whether a function besides the entry asks for its place in the team. */
  #asksTeam = false;
  asserts = false;
  readonly features = new Set<Feature>();

  constructor(functions: ReadonlyMap<string, Func>) {
    this.#functions = functions;
  }

  /** Gathers what is loaded and stored through each root, and by which distances pointers move. */
  census(func: Func, roots: Roots, seen = new Set<string>()): void {
    const key = keyOf(func, roots);
    if (seen.has(key)) return;
    seen.add(key);
    const find = rootsIn(func, roots);
    const divide = (root: Root, test: (by: number) => boolean): void => {
      while (root.divisor > 1 && !test(root.divisor)) root.divisor /= 2;
    };
    const call = (name: string, args: readonly Expr[]): void => {
      const callee = this.#functions.get(name)!;
      this.census(callee, given(callee, args, find), seen);
    };
    for (const { root, offset } of roots.values()) divide(root, (by) => offset % by === 0);
    visitExpressions(func, (e) => {
      if (e.kind === "load") {
        const root = find(e.ptr);
        root.loads.add(e.memory);
        divide(root, (by) => e.offset % by === 0);
      } else if (e.kind === "advance") divide(find(e), (by) => divided(e.bytes, by) !== undefined);
      else if (e.kind === "call") call(e.name, e.args);
    });
    visitStatements(func.body, (s) => {
      if (s.kind === "store") {
        const root = find(s.ptr);
        root.stores.add(s.memory);
        divide(root, (by) => s.offset % by === 0);
      } else if (s.kind === "call") call(s.name, s.args);
      else if (s.kind === "assert") this.asserts = true;
    });
  }

  /** The name of a function for these buffers; printed when first asked for. */
  #nameOf(func: Func, roots: Roots): string {
    const key = keyOf(func, roots);
    const known = this.#printed.get(key);
    if (known) return known.name;
    // Without the number that tells it from the program's others: kernels that differ in nothing else are one.
    const base = safe(func.name.replace(/_\d+$/, ""));
    let name = base;
    for (let n = 2; this.#names.has(name); n++) name = `${base}_${n}`;
    this.#names.add(name);
    const text = this.#function(func, roots, name);
    this.#printed.set(key, { name, text });
    return name;
  }

  #printer(func: Func, roots: Roots, starts: ReadonlyMap<string, string>): Printer {
    const find = rootsIn(func, roots);
    const isEntry = func.grid !== undefined;
    return {
      func: func.name,
      variable: safe,
      root: find,
      start: (name) => starts.get(name),
      call: (name, args) => {
        const callee = this.#functions.get(name)!;
        const own = this.#nameOf(callee, given(callee, args, find));
        return `${own}(${args.map((a) => printExpression(a, this.#printer(func, roots, starts))).join(", ")})`;
      },
      use: (name) => {
        this.#used.add(name);
        return name;
      },
      need: (feature) => void this.features.add(feature),
      team: (of) => {
        if (of === "size" && isEntry) return String(func.grid!.size);
        if (!isEntry && of === "lanes") throw errors.notLegal(func.name, "the lanes of a kernel that calls it");
        if (!isEntry) this.#asksTeam = true;
        return of;
      },
    };
  }

  #function(func: Func, roots: Roots, name: string): string {
    const p = this.#printer(func, roots, new Map());
    const params = func.params.map((x) => `${safe(x.name)}: ${typeText(x.type, func.name)}`).join(", ");
    const result = func.result ? ` -> ${typeText(func.result.type, func.name)}` : "";
    const body = printBody(func, func.body, p, "  ");
    const last = func.result ? `  return ${printExpression(func.result, p)};\n` : "";
    return `fn ${name}(${params})${result} {\n${body}${last}}\n`;
  }

  entry(func: Func, roots: Roots, declared: string): string {
    const grid = func.grid!;
    const starts = new Map([...roots].map(([name, s]) => [name, String(s.offset / unitOf(s.root))]));
    const p = this.#printer(func, roots, starts);
    const body = printBody(func, func.body, p, "  ");
    const folded = grid.workgroups > MOST_WORKGROUPS;
    const uses = { group: false, rank: false, lanes: false };
    visitExpressions(func, (e) => {
      if (e.kind === "team" && e.of !== "size") uses[e.of] = true;
    });
    if (uses.lanes) for (const feature of ["subgroups", "subgroup_id"] as const) this.features.add(feature);
    if (this.#asksTeam) uses.group = uses.rank = true;
    const number = folded ? `i32(workgroup.x + workgroup.y * ${MOST_WORKGROUPS}u)` : "i32(workgroup.x)";
    const own = this.#asksTeam ? "" : "let ";
    const builtins = [
      ...(uses.group || folded ? ["@builtin(workgroup_id) workgroup: vec3u"] : []),
      ...(uses.rank || uses.lanes ? ["@builtin(local_invocation_index) thread: u32"] : []),
      ...(uses.lanes ? SUBGROUPS : []),
    ].join(", ");
    const ids = [
      ...(uses.group || folded ? [`  ${own}group = ${number};\n`] : []),
      ...(folded ? [`  if (group >= ${grid.workgroups}) { return; }\n`] : []),
      ...(uses.lanes
        ? [`  let whole = subgroups * subgroup_size == ${grid.size}u;\n  let lanes = select(1, i32(subgroup_size), whole);\n`]
        : []),
      ...(uses.lanes || uses.rank
        ? [`  ${own}rank = i32(${uses.lanes ? "select(thread, subgroup * subgroup_size + lane, whole)" : "thread"});\n`]
        : []),
      ...(this.#asksTeam ? [`  size = ${grid.size};\n`] : []),
    ].join("");
    const team = this.#asksTeam ? "var<private> group: i32;\nvar<private> rank: i32;\nvar<private> size: i32;\n" : "";
    const accessors = [...new Set([...roots.values()].map((s) => s.root))]
      .flatMap((r) => [...r.accessors.values()].map((text) => `${text}\n`))
      .join("");
    const helpers = [...this.#printed.values()].map((f) => f.text).join("");
    const prelude = preludeOf(this.#used);
    const doc = func.doc ? `// ${func.doc}\n` : "";
    return `${directivesOf(this.features)}${declared}${team}${prelude}${accessors}${helpers}${doc}@compute @workgroup_size(${grid.size})\nfn main(${builtins}) {\n${ids}${body}}\n`;
  }
}

/** IR names may be words of WGSL. */
const safe = (name: string): string => (TAKEN.has(name) || name.startsWith("__") || name === "_" ? `v_${name}` : name);

const keyOf = (func: Func, roots: Roots): string => `${func.name}(${[...roots.values()].map((s) => s.root.name).join()})`;

/** The buffers of a callee's pointer parameters. */
const given = (callee: Func, args: readonly Expr[], find: (ptr: Expr) => Root): Roots =>
  new Map(callee.params.flatMap((p, i) => (isPointer(p) ? [[p.name, { root: find(args[i]!), offset: 0 }] as const] : [])));

/** Whether a kernel reads again what its threads write: then barriers order buffers, too. */
const meetsInBuffers = (func: Func): boolean => func.params.some((p) => "access" in p && p.access === "readwrite");

function printBody(func: Func, body: readonly Stmt[], p: Printer, indent: string): string {
  const set = new Set<string>();
  visitStatements(func.body, (s) => {
    if (s.kind === "set" || s.kind === "swap") set.add(s.name);
  });
  const print = (block: readonly Stmt[], inner: string): string => block.map((s) => statement(s, inner)).join("");
  const nested = (block: readonly Stmt[], inner: string): string => `{\n${print(block, `${inner}  `)}${inner}}`;
  const statement = (s: Stmt, inner: string): string => {
    const line = (text: string): string => `${inner}${text}\n`;
    const text = (e: Expr): string => printExpression(e, p);
    switch (s.kind) {
      case "let":
        return line(`${set.has(s.name) ? "var" : "let"} ${safe(s.name)} = ${text(s.value)};`);
      case "set":
        return line(`${safe(s.name)} = ${text(s.value)};`);
      case "store":
        if (s.memory === "f16") p.need("shader-f16");
        return line(storeText(p.root(s.ptr), s.memory, pointerText(s.ptr, p), s.offset, text(s.value), func.name));
      case "for": {
        const i = safe(s.name);
        const step = s.step === 1 ? `${i}++` : `${i} += ${s.step}`;
        // Bounds are read once.
        const fixed = s.to.kind === "const" || (s.to.kind === "var" && !set.has(s.to.name));
        const end = fixed ? text(s.to) : `end_${s.name}`;
        const before = fixed ? "" : line(`let ${end} = ${text(s.to)};`);
        return `${before}${line(`for (var ${i} = ${text(s.from)}; ${i} < ${end}; ${step}) ${nested(s.body, inner)}`)}`;
      }
      case "repeat":
        return line(`loop {\n${print(s.body, `${inner}  `)}${inner}  continuing { break if !(${text(s.again)}); }\n${inner}}`);
      case "while":
        return line(`while (${text(s.cond)}) ${nested(s.body, inner)}`);
      case "if": {
        const otherwise = s.else.length > 0 ? ` else ${nested(s.else, inner)}` : "";
        return line(`if (${text(s.cond)}) ${nested(s.then, inner)}${otherwise}`);
      }
      case "call":
        return line(`${p.call(s.name, s.args)};`);
      case "assert": {
        if (func.result) throw errors.notLegal(func.name, "an assert in a function with a result");
        return line(`if (!(${text(s.cond)})) { atomicMin(&fault[0], ${s.fault}u); return; }`);
      }
      case "swap": {
        const name = safe(s.name);
        return line(`${name} = subgroupShuffleXor(${name}, u32(${text(s.by)}));`);
      }
      case "barrier":
        return line(meetsInBuffers(func) ? "storageBarrier(); workgroupBarrier();" : "workgroupBarrier();");
    }
  };
  return print(body, indent);
}

const SHARED: Readonly<Record<SharedArray["memory"], string>> = { f32: "f32", i32: "i32", u32: "u32", f32x4: "vec4f", i32x4: "vec4i" };

/** A binding's variable: the parameter's own name where it has one. */
const bindingName = (b: Binding, k: number): string => (b.params.length === 1 ? `b${k}_${b.params[0]!.name}` : `b${k}`);

export interface PrintedKernel {
  readonly text: string;
  /** How each binding is declared; the last is the fault word, where it asserts. */
  readonly access: readonly Binding["access"][];
  readonly features: ReadonlySet<Feature>;
}

export function printKernel({ func, bindings }: BoundKernel, functions: ReadonlyMap<string, Func>): PrintedKernel {
  const roots = new Map<string, Start>();
  const own = bindings.map((b, k) => {
    const root = newRoot(bindingName(b, k), "storage", b.windows);
    for (const { name, offset } of b.params) roots.set(name, { root, offset });
    return root;
  });
  const shared = (func.grid?.shared ?? []).map((a) => {
    const root = newRoot(`s_${a.name}`, "workgroup");
    root.loads.add(a.memory as MemoryType);
    roots.set(a.name, { root, offset: 0 });
    return { root, a };
  });
  const module = new Module(functions);
  module.census(func, roots);
  for (const { root, a } of shared)
    if (SHARED[a.memory] !== elementOf(root)) throw errors.notLegal(func.name, `a shared array of ${a.memory} used as ${elementOf(root)}`);
  const variables = own.flatMap((root, k) => {
    const element = elementOf(root);
    const access = element.startsWith("atomic") ? "readwrite" : bindings[k]!.access;
    return variablesOf(root).map((name) => ({ name, element, access }));
  });
  if (module.asserts) variables.push({ name: "fault", element: "atomic<u32>", access: "readwrite" });
  const declared = [
    ...variables.map(
      ({ name, element, access }, k) =>
        `@group(0) @binding(${k}) var<storage, ${access === "read" ? "read" : "read_write"}> ${name}: array<${element}>;\n`,
    ),
    ...shared.map(({ root, a }) => `var<workgroup> ${root.name}: array<${elementOf(root)}, ${a.length}>;\n`),
  ].join("");
  return { text: module.entry(func, roots, declared), access: variables.map((v) => v.access), features: module.features };
}
