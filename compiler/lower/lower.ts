// Lowers a graph to steps: gives every value a place, every node a kernel, and moves data where layouts meet.

import { errors as irErrors, SparsecError } from "../../ir/diagnostics.ts";
import { DTYPES } from "../../ir/dtype.ts";
import { type Graph, type Node, topological, type Value } from "../../ir/graph.ts";
import { isKernel, type KernelOp } from "../../ir/op.ts";
import { elementCount, type Tensor } from "../../ir/tensor.ts";
import { isStatic, maxShape, type TensorType, tensor } from "../../ir/types.ts";
import type { Capabilities } from "../backend.ts";
import { errors } from "../diagnostics.ts";
import { type Assignment, assignStorage } from "./assign-layout.ts";
import { bytesReading } from "./assign-pixels.ts";
import { type Attention, attentionsOf, lowerAttention, resultOf } from "./device/attention.ts";
import { lowerForDevice } from "./device/lower.ts";
import { moveElements } from "./device/move.ts";
import { narrowF64 } from "./device/narrow-f64.ts";
import { type GenericContext, lowerGeneric } from "./generic/kernel.ts";
import { lowerRows } from "./generic/rows.ts";
import { spareMargins } from "./margins.ts";
import { readingOf } from "./reading.ts";
import { lowerRelayout, relaidConstant } from "./relayout.ts";
import type { Buffer, LoweredGraph, Place, Step } from "./step.ts";
import { flat, type Storage, sameStorage } from "./storage.ts";
import { chainOf, lowerStripes } from "./stripes.ts";
import type { Lowered } from "./template.ts";
import { templateFor } from "./templates.ts";
import { isGeneric, type Unit, unitOf } from "./unit.ts";
import { isView, viewOf } from "./views.ts";

type Env = Map<Value, Place>;

const bytesOf = (t: TensorType): number => elementCount(maxShape(t)) * DTYPES[t.dtype].bytes;

/** A kernel-form operator as a kernel of its own: operands, results and scratch, all flat. */
function lowerKernelOp(op: KernelOp, node: Node): Lowered {
  if (![...node.inputs, ...node.results].every((v) => isStatic(v.type))) {
    throw irErrors.dynamicShape(node.op, "extents that hang on data are not supported here", node.locs[0]);
  }
  const meaning = op.kernel({ types: node.inputs.map((v) => v.type), results: node.results.map((v) => v.type), attrs: node.attrs });
  return {
    kernel: `${node.op}_${node.results[0]!.type.dtype}`,
    functions: meaning.functions,
    entry: meaning.entry,
    faults: meaning.faults.map((f) => `${node.op}: ${f}`),
    bindings: [
      ...node.inputs.map((_, operand) => ({ kind: "operand", operand }) as const),
      ...node.results.map((_, result) => ({ kind: "result", result }) as const),
      ...(meaning.scratch > 0 ? [{ kind: "scratch", bytes: meaning.scratch } as const] : []),
    ],
    why: "the operator's own kernel",
  };
}

/** Throws where a node, or one fused in it, has an operand or a result of f64. What is f64 within an operator's meaning alone is narrowed. */
function refuseF64(node: Node): void {
  const { nodes } = unitOf(node);
  const wide = [node, ...nodes].find((n) => [...n.inputs, ...n.results].some((v) => v.type.dtype === "f64"));
  if (wide) throw errors.noF64(wide.op === "fused" ? (nodes[0]?.op ?? wide.op) : wide.op, (wide.locs[0] ? wide : node).locs[0]);
}

/** Buffers that the kernel of a unit binds: constants lie in one; and the word of a failed assert may come to them. */
function buffersOf(u: Unit, constantOf: (v: Value) => Tensor | undefined): number {
  const constants = u.operands.filter((v) => constantOf(v)).length;
  return u.operands.length - constants + Math.min(1, constants) + u.roots.length + 1;
}

class GraphLowering {
  readonly #graph: Graph;
  readonly #can: Capabilities;
  readonly #env: Env;
  readonly #layout: Assignment;
  readonly steps: Step[] = [];
  /** Padded buffers whose margins were cleared. */
  readonly #cleared = new Set<Buffer>();
  /** Attentions that a device may compute whole, by their last node; the others wait for it. */
  readonly #attentions: ReadonlyMap<Node, Attention>;
  readonly #waiting: ReadonlySet<Node>;
  /** Where values lie besides their own place. */
  readonly #moved = new Map<Value, readonly Place[]>();

  constructor(graph: Graph, can: Capabilities, params: ReadonlyMap<Value, Place>) {
    this.#graph = graph;
    this.#can = can;
    this.#env = new Map(params);
    this.#layout = assignStorage(graph, can.device !== undefined);
    this.#attentions = can.device ? attentionsOf(graph) : new Map();
    this.#waiting = new Set([...this.#attentions.values()].flatMap((a) => [a.scores.node, a.softmax]));
  }

  #tensorOf = (v: Value) => (v.node.op === "const" ? this.#graph.weights.get(v.node.attrs.ref as string) : undefined);

  place(v: Value): Place {
    let p = this.#env.get(v);
    if (!p) {
      const constant = this.#tensorOf(v);
      if (!constant) throw new SparsecError("internal", `value of ${v.node.op} has no place`, v.node.locs[0]);
      const storage = flat(v.type);
      p = { buffer: { bytes: storage.bytes, constant, hint: "weight" }, storage };
      this.#env.set(v, p);
    }
    return p;
  }

  /** The value's place, moved to the storage if it lies in another; once for all that want it there. */
  #in(v: Value, storage: Storage, node: Node): Place {
    const from = this.place(v);
    if (sameStorage(from.storage, storage)) return from;
    const moved = this.#moved.get(v) ?? [];
    const known = moved.find((p) => sameStorage(p.storage, storage));
    if (known) return known;
    const constant = from.buffer.constant && relaidConstant(from.buffer.constant, from.storage, storage);
    const to: Place = { buffer: { bytes: storage.bytes, hint: "relayout", ...(constant ? { constant } : {}) }, storage };
    if (!constant) this.#move(from, to, node);
    this.#moved.set(v, [...moved, to]);
    return to;
  }

  #move(from: Place, to: Place, node: Node): void {
    this.#clear(to);
    this.#relay(from, to, node);
  }

  #relay(from: Place, to: Place, node: Node): void {
    const lowered = (this.#can.device ? moveElements : lowerRelayout)(from.storage, to.storage);
    this.steps.push({ kind: "kernel", node, lowered, operands: [from], results: [to] });
  }

  #flat = (v: Value, node: Node): Place => this.#in(v, flat(v.type), node);

  #clear(p: Place): void {
    if (!p.storage.zeroed || this.#cleared.has(p.buffer)) return;
    this.#cleared.add(p.buffer);
    this.steps.push({ kind: "margins", place: p });
  }

  /** A place for a result: a slice of another value's buffer where the layout says so. */
  #result(v: Value): Place {
    const slice = this.#layout.sliceOf(v);
    if (slice) {
      const whole = this.#env.get(slice.whole) ?? this.#result(slice.whole);
      const p: Place = { buffer: whole.buffer, storage: slice.storage };
      this.#env.set(v, p);
      return p;
    }
    const storage = this.#layout.storageOf(v);
    const p: Place = { buffer: { bytes: storage.bytes, hint: v.node.op }, storage };
    this.#env.set(v, p);
    this.#clear(p);
    return p;
  }

  #kernel(node: Node, lowered: Lowered, operands: readonly Value[], own: ReadonlyMap<Value, Place> = new Map()): void {
    this.steps.push({
      kind: "kernel",
      node,
      lowered: this.#can.f64 === false ? narrowF64(lowered) : lowered,
      operands: operands.map((v) => own.get(v) ?? this.place(v)),
      results: node.results.map((r) => this.#env.get(r) ?? this.#result(r)),
    });
  }

  #unit(node: Node): void {
    if (this.#can.f64 === false) refuseF64(node);
    const op = this.#graph.ops.get(node.op);
    if (op && isKernel(op)) {
      node.results.forEach((r) => this.#result(r));
      const own = new Map(node.inputs.map((v) => [v, this.#flat(v, node)]));
      return this.#kernel(node, lowerKernelOp(op, node), node.inputs, own);
    }
    const unit = unitOf(node);
    if (!isGeneric(unit, this.#graph.ops)) {
      throw new SparsecError("unsupported", `${node.op} has no kernel: ${unit.nodes.map((n) => n.op).join(", ")}`, node.locs[0]);
    }
    node.results.forEach((r) => this.#env.get(r) ?? this.#result(r));
    if (this.#layout.inPlace(node)) return this.#concat(node);
    const { device } = this.#can;
    const own = new Map(
      unit.operands.flatMap((v) => {
        const own = this.place(v).storage;
        const result = this.#env.get(node.results[0]!)!.storage;
        const bytes = bytesReading(node, v, own, this.#graph.ops, device !== undefined);
        const storage = bytes ?? (device ? undefined : readingOf(unit, v, own, result, this.#graph.ops));
        return storage ? [[v, this.#in(v, storage, node)] as const] : [];
      }),
    );
    const context = this.#context(own);
    if (device) {
      if (node.op === "fused" && buffersOf(unit, this.#tensorOf) > device.buffers) return this.#unfused(node);
      for (const lowered of lowerForDevice(unit, context, this.#can)) this.#kernel(node, lowered, unit.operands, own);
      return;
    }
    const fast = templateFor(unit, context, this.#can) ?? lowerRows(unit, context);
    for (const lowered of fast ? [fast] : lowerGeneric(unit, context)) this.#kernel(node, lowered, unit.operands, own);
  }

  #context(own: ReadonlyMap<Value, Place> = new Map()): GenericContext {
    const storageOf = (v: Value): Storage => (own.get(v) ?? this.place(v)).storage;
    const vectors = this.#can.vectors.length > 0;
    return { ops: this.#graph.ops, storageOf, constantOf: this.#tensorOf, vectors, loose: this.#can.device !== undefined };
  }

  #attention(a: Attention): void {
    const y = a.values.results[0]!;
    const storage = resultOf(a);
    if (!this.#layout.sliceOf(y)) this.#env.set(y, { buffer: { bytes: storage.bytes, hint: "attention" }, storage });
    else this.#result(y);
    const whole = lowerAttention(a, this.#context(), this.#can);
    if (whole) return this.#kernel(a.values, whole.lowered, whole.operands);
    this.#env.delete(y);
    for (const node of [a.scores.node, a.softmax, a.values]) this.#unit(node);
  }

  /** A fused region node by node: its kernel would bind more buffers than there are places. */
  #unfused(node: Node): void {
    const body = node.attrs.body as Graph;
    body.params.forEach((p, i) => this.#env.set(p, this.place(node.inputs[i]!)));
    body.outputs.forEach((o, k) => this.#env.set(o, this.#env.get(node.results[k]!)!));
    for (const member of topological(body.outputs)) this.#node(member);
  }

  /** The operand's buffer seen another way, where strides can say it and no other place is wanted; else a copy. */
  #view(node: Node): void {
    const [x, y] = [node.inputs[0]!, node.results[0]!];
    if (!isView(node)) {
      // Extents that hang on data stay whole when reshaped; what moves them is computed.
      if (node.op !== "reshape") return this.#unit(node);
      this.#env.set(y, { buffer: this.#flat(x, node).buffer, storage: flat(y.type) });
      return;
    }
    const own = this.place(x);
    const whole = viewOf(node, own.storage) ? own : this.#flat(x, node);
    const storage = viewOf(node, whole.storage);
    if (!storage) return this.#unit(node);
    const view: Place = { buffer: whole.buffer, storage };
    const apart = this.#layout.sliceOf(y) !== undefined || (this.#layout.isAssigned(y) && !sameStorage(this.#layout.storageOf(y), storage));
    if (apart) this.#move(view, this.#result(y), node);
    else this.#env.set(y, view);
  }

  /** Operands that were not produced in their slice of the result are copied there. */
  #concat(node: Node): void {
    for (const [v, storage] of this.#layout.slicesFor(node)) {
      const from = this.place(v);
      const to: Place = { buffer: this.#env.get(node.results[0]!)!.buffer, storage };
      if (from.buffer === to.buffer && sameStorage(from.storage, to.storage)) continue;
      this.#relay(from, to, node);
    }
  }

  /** A new place that holds the same as `from`. */
  #copy(from: Place, type: TensorType): Place {
    const storage = flat(type);
    const to: Place = { buffer: { bytes: storage.bytes, hint: "copy" }, storage };
    this.steps.push({ kind: "copy", from, to, bytes: bytesOf(type) });
    return to;
  }

  #region(
    region: Graph,
    operands: readonly Place[],
  ): { readonly steps: readonly Step[]; readonly outputs: readonly Place[]; readonly fresh: (k: number) => boolean } {
    const inner = new GraphLowering(region, this.#can, new Map(region.params.map((p, i) => [p, operands[i]!])));
    inner.run();
    const outputs = region.outputs.map((o) => inner.flatOutput(o));
    const fresh = ({ buffer }: Place): boolean => !buffer.constant && !operands.some((p) => p.buffer === buffer);
    return { steps: inner.steps, outputs, fresh: (k) => fresh(outputs[k]!) };
  }

  flatOutput(v: Value): Place {
    return this.#in(v, flat(v.type), v.node);
  }

  #tiles(node: Node): void {
    const result = this.#result(node.results[0]!);
    const context = { ...this.#context(), place: (v: Value) => this.place(v), result };
    const tiles = this.#can.device ? undefined : lowerStripes(node, context, this.#can);
    if (tiles) {
      this.steps.push(tiles);
      return;
    }
    const { params } = node.attrs.body as Graph;
    params.forEach((p, i) => this.#env.set(p, this.place(node.inputs[i]!)));
    const chain = chainOf(node);
    this.#env.set(chain.at(-1)!.results[0]!, result);
    for (const member of chain) this.#unit(member);
  }

  #if(node: Node): void {
    const [cond, ...xs] = node.inputs.map((v) => this.#flat(v, node));
    const results = node.results.map((r) => this.#result(r));
    const branch = (region: Graph): Step[] => {
      const { steps, outputs } = this.#region(region, xs);
      return [...steps, ...results.map((to, k): Step => ({ kind: "copy", from: outputs[k]!, to, bytes: bytesOf(node.results[k]!.type) }))];
    };
    this.steps.push({ kind: "if", node, cond: cond!, then: branch(node.attrs.then as Graph), else: branch(node.attrs.else as Graph) });
  }

  #loop(node: Node): void {
    const states = node.attrs.state as number;
    const [trips, cond, ...xs] = node.inputs.map((v) => this.#flat(v, node));
    const [count, ...results] = node.results.map((r) => this.#result(r));
    const body = node.attrs.body as Graph;
    // The state lives in the results' places; the loop's own condition is a copy.
    const again = this.#copy(cond!, tensor("bool", []));
    this.steps.push(this.#zero(count!));
    xs.slice(0, states).forEach((from, k) => {
      this.steps.push({ kind: "copy", from, to: results[k]!, bytes: bytesOf(node.results[1 + k]!.type) });
    });
    const { steps, outputs, fresh } = this.#region(body, [count!, again, ...results.slice(0, states), ...xs.slice(states)]);
    const inside: Step[] = [...steps];
    // All of the new state is known before any of the old is overwritten.
    const next = outputs.map((from, k): Place => {
      if (fresh(k)) return from;
      const type = body.outputs[k]!.type;
      const storage = flat(type);
      const to: Place = { buffer: { bytes: storage.bytes, hint: "state" }, storage };
      inside.push({ kind: "copy", from, to, bytes: bytesOf(type) });
      return to;
    });
    next.forEach((from, k) => {
      const bytes = bytesOf(body.outputs[k]!.type);
      if (k === 0) inside.push({ kind: "copy", from, to: again, bytes });
      else if (k <= states) inside.push({ kind: "copy", from, to: results[k - 1]!, bytes });
      else inside.push({ kind: "copy", from, to: results[k - 1]!, bytes, at: count! });
    });
    this.steps.push({ kind: "loop", node, trips: trips!, cond: again, count: count!, body: inside });
  }

  /** Sets an i64 to 0. */
  #zero(to: Place): Step {
    const constant = { dtype: "i64", shape: [], data: new BigInt64Array(1) } as const;
    return { kind: "copy", from: { buffer: { bytes: 8, constant, hint: "zero" }, storage: to.storage }, to, bytes: 8 };
  }

  #node(node: Node): void {
    switch (node.op) {
      case "param":
      case "const":
        return;
      case "if":
        return this.#if(node);
      case "loop":
        return this.#loop(node);
      case "reshape":
      case "transpose":
      case "slice":
        return this.#view(node);
      case "tiles":
        return this.#tiles(node);
      case "bound": {
        this.#env.set(node.results[0]!, this.place(node.inputs[0]!));
        return;
      }
      default:
        return this.#unit(node);
    }
  }

  run(): void {
    for (const node of topological(this.#graph.outputs)) {
      const attention = this.#attentions.get(node);
      if (attention) this.#attention(attention);
      else if (!this.#waiting.has(node)) this.#node(node);
    }
  }
}

/** Lowers a whole graph. Errors: `unsupported`, `dynamic-shape`. */
export function lowerGraph(graph: Graph, can: Capabilities): LoweredGraph {
  const params = new Map(
    graph.params.map((p): [Value, Place] => [
      p,
      { buffer: { bytes: flat(p.type).bytes, pinned: true, hint: String(p.node.attrs.name) }, storage: flat(p.type) },
    ]),
  );
  const lowering = new GraphLowering(graph, can, params);
  lowering.run();
  const counts = new Map<Value, Place>();
  const outputs = graph.outputs.map((value) => {
    for (const d of value.type.shape) if (typeof d !== "number") counts.set(d.value, lowering.flatOutput(d.value));
    return { value, place: lowering.flatOutput(value) };
  });
  return {
    steps: spareMargins(lowering.steps),
    inputs: graph.params.map((value) => ({ value, place: params.get(value)! })),
    outputs,
    counts,
  };
}
