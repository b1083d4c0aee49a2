// The operators that the interpreter and the lowering know by name: parameters, constants, regions, bounded extents.

import type { DType } from "../dtype.ts";
import { type Graph, type GraphBuilder, topological, type Value } from "../graph.ts";
import { defineOp, type InferContext } from "../op.ts";
import { sameType, scalarType, type TensorType, tensor, typeToString } from "../types.ts";

export const param = defineOp({
  name: "param",
  doc: "An input of the graph. `name` is what users call it.",
  operands: [],
  core: true,
  infer: ({ attrs }) => tensor(attrs.dtype as DType, attrs.shape as readonly number[]),
});

export const constant = defineOp({
  name: "const",
  doc: "A weight. `ref` names its bytes in the weight store; `layout`, how they will be packed.",
  operands: [],
  core: true,
  infer: ({ attrs }): TensorType => ({
    ...tensor(attrs.dtype as DType, attrs.shape as readonly number[]),
    ...(attrs.layout ? { layout: attrs.layout as string } : {}),
  }),
});

function checkParams(c: InferContext, body: Graph, types: readonly TensorType[], what: string): void {
  if (body.params.length !== types.length) c.fail(`${what} has ${body.params.length} parameters for ${types.length} operands`);
  body.params.forEach((p, i) => {
    if (!sameType(p.type, types[i]!))
      c.fail(`parameter ${i} of ${what} is ${typeToString(p.type)}, its operand ${typeToString(types[i]!)}`);
  });
}

/** Copies a region's nodes into `b`, with `inputs` for its parameters; gives the region's outputs. */
export function inlineGraph(b: GraphBuilder, body: Graph, inputs: readonly Value[]): readonly Value[] {
  const map = new Map<Value, Value>(body.params.map((p, i) => [p, inputs[i]!]));
  for (const n of topological(body.outputs)) {
    if (n.results.every((r) => map.has(r))) continue;
    const copy = b.add(
      n.op,
      n.inputs.map((v) => map.get(v)!),
      n.attrs,
      n.locs,
    );
    n.results.forEach((r, i) => map.set(r, copy.results[i]!));
  }
  return body.outputs.map((o) => map.get(o)!);
}

/** An operator whose meaning is that of its region `body`. */
const regionOp = (name: string, doc: string) =>
  defineOp({
    name,
    doc,
    operands: ["...xs"],
    infer(c) {
      const body = c.attrs.body as Graph;
      checkParams(c, body, c.types, "the body");
      return body.outputs.map((o) => o.type);
    },
    compose: (b, inputs, attrs) => inlineGraph(b, attrs.body as Graph, inputs),
  });

export const fused = regionOp("fused", "The region `body`, computed by one kernel. Its meaning is its body's.");

export const tiles = regionOp(
  "tiles",
  "The region `body`, a chain of convolutions, executed depth-first: `rows` rows of its result at a time. Its meaning is its body's.",
);

export const place = regionOp("place", "The region `body`, a program of its own for the backend `on`. Its meaning is its body's.");

export const if_ = defineOp({
  name: "if",
  doc: "The results of region `then` where the scalar `cond` holds, else of region `else`. The regions' parameters are `xs`.",
  operands: ["cond", "...xs"],
  core: true,
  infer(c) {
    const [cond, ...xs] = c.types;
    if (cond!.dtype !== "bool" || cond!.shape.length !== 0) c.fail(`the condition must be bool[], got ${typeToString(cond!)}`);
    const [yes, no] = [c.attrs.then as Graph, c.attrs.else as Graph];
    checkParams(c, yes, xs, "`then`");
    checkParams(c, no, xs, "`else`");
    if (yes.outputs.length !== no.outputs.length) c.fail(`the branches have ${yes.outputs.length} and ${no.outputs.length} results`);
    yes.outputs.forEach((o, i) => {
      if (!sameType(o.type, no.outputs[i]!.type))
        c.fail(`result ${i} is ${typeToString(o.type)} in \`then\`, ${typeToString(no.outputs[i]!.type)} in \`else\``);
    });
    return yes.outputs.map((o) => o.type);
  },
});

export const loop = defineOp({
  name: "loop",
  doc:
    "Runs region `body` while its condition holds, at most `trips` times. Operands: `trips` (i64[]), `cond` (bool[]), `state` carried values, " +
    "then captured ones. Body: (iteration i64[], cond, state..., captured...) -> (cond, state..., scanned...). " +
    "Results: the number of iterations (i64[]), the final state, and the scanned values stacked along a new first axis of extent `max`.",
  operands: ["trips", "cond", "...xs"],
  core: true,
  infer(c) {
    const [trips, cond, ...xs] = c.types;
    const [body, states, max] = [c.attrs.body as Graph, c.attrs.state as number, c.attrs.max as number];
    if (trips!.dtype !== "i64" || trips!.shape.length !== 0) c.fail(`the trip count must be i64[], got ${typeToString(trips!)}`);
    if (cond!.dtype !== "bool" || cond!.shape.length !== 0) c.fail(`the condition must be bool[], got ${typeToString(cond!)}`);
    checkParams(c, body, [scalarType("i64"), scalarType("bool"), ...xs], "the body");
    const [again, ...rest] = body.outputs;
    if (again?.type.dtype !== "bool" || again.type.shape.length !== 0) c.fail("the body's first result must be its condition, bool[]");
    rest.slice(0, states).forEach((o, i) => {
      if (!sameType(o.type, xs[i]!)) c.fail(`carried value ${i} enters as ${typeToString(xs[i]!)} and leaves as ${typeToString(o.type)}`);
    });
    return [
      scalarType("i64"),
      ...rest.slice(0, states).map((o) => o.type),
      ...rest.slice(states).map((o) => tensor(o.type.dtype, [max, ...o.type.shape])),
    ];
  },
});

export const bound = defineOp({
  name: "bound",
  doc: "`x`, of which only the first `n` (i64[], at most the extent) along `axis` count. No data moves.",
  operands: ["x", "n"],
  core: true,
  infer(c) {
    const [x, n] = c.types;
    const axis = c.attrs.axis as number;
    if (n!.dtype !== "i64" || n!.shape.length !== 0) c.fail(`the extent must be i64[], got ${typeToString(n!)}`);
    const d = x!.shape[axis];
    if (typeof d !== "number") c.fail(`axis ${axis} of ${typeToString(x!)} has no constant extent`);
    return { ...x!, shape: x!.shape.map((e, i) => (i === axis ? { max: d as number, value: c.inputs[1]! } : e)) };
  },
});

export const coreOps = [param, constant, fused, tiles, place, if_, loop, bound] as const;
