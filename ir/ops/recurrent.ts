// Recurrent layers as loops over time: rnn, gru, lstm.

import type { Loc } from "../diagnostics.ts";
import type { GraphBuilder, Value } from "../graph.ts";
import { type Attrs, defineOp, type InferContext } from "../op.ts";
import { maxShape, type TensorType, tensor, typeToString } from "../types.ts";
import { type Composer, composer } from "./compose.ts";
import { iterate } from "./iterate.ts";
import { staticShape } from "./static-shape.ts";

/** `[name, alpha, beta]`. */
type Activation = readonly [string, number, number];

/** An activation of ONNX's recurrent operators. */
function activate(c: Composer, [name, alpha, beta]: Activation, x: Value): Value {
  switch (name) {
    case "sigmoid":
    case "tanh":
    case "relu":
    case "softplus":
    case "softsign":
      return c.op(name, [x]);
    case "leakyrelu":
      return c.op("leaky_relu", [x], { alpha });
    case "thresholdedrelu":
      return c.op("thresholded_relu", [x], { alpha });
    case "elu":
      return c.op("elu", [x], { alpha });
    case "hardsigmoid":
      return c.op("hard_sigmoid", [x], { alpha, beta });
    case "affine":
      return c.op("add", [c.op("mul", [x, alpha]), beta]);
    case "scaledtanh":
      return c.op("mul", [c.op("tanh", [c.op("mul", [x, beta])]), alpha]);
    default:
      throw new TypeError(`no activation '${name}'`);
  }
}

/** What one step of a cell sees; every tensor is [batch, hidden] or broadcasts to it. */
interface Cell {
  readonly c: Composer;
  /** The input's share of gate g: x W + bias. */
  readonly input: (g: number) => Value;
  /** The state's share of gate g: h R, without bias. */
  readonly recurrent: (g: number, h: Value) => Value;
  /** The recurrent bias of gate g. */
  readonly bias: (g: number) => Value;
  readonly peephole: (g: number) => Value;
  readonly act: (k: number, x: Value) => Value;
  readonly attrs: Attrs;
}

interface CellKind {
  readonly gates: number;
  readonly states: 1 | 2;
  /** Operands after x, w, r, bias and before the lengths. */
  readonly doc: string;
  step(cell: Cell, state: readonly Value[]): readonly Value[];
}

const rnnCell: CellKind = {
  gates: 1,
  states: 1,
  doc: "h = f(x W' + h R' + b).",
  step: ({ c, input, recurrent, bias, act }, [h]) => [act(0, c.op("add", [c.op("add", [input(0), recurrent(0, h!)]), bias(0)]))],
};

const gruCell: CellKind = {
  gates: 3,
  states: 1,
  doc: "z, r = f(x W' + h R' + b); n = g(x Wh' + (r * h) Rh' + b), or g(x Wh' + r * (h Rh' + Rb) + Wb) where `linear_before_reset`; h = (1 - z) n + z h.",
  step({ c, input, recurrent, bias, act, attrs }, [h]) {
    const gate = (g: number): Value => act(0, c.op("add", [c.op("add", [input(g), recurrent(g, h!)]), bias(g)]));
    const [z, r] = [gate(0), gate(1)];
    const reset = attrs["linear_before_reset"]
      ? c.op("mul", [r, c.op("add", [recurrent(2, h!), bias(2)])])
      : c.op("add", [recurrent(2, c.op("mul", [r, h!])), bias(2)]);
    const fresh = act(1, c.op("add", [input(2), reset]));
    return [c.op("add", [c.op("mul", [c.op("sub", [1, z]), fresh]), c.op("mul", [z, h!])])];
  },
};

const lstmCell: CellKind = {
  gates: 4,
  states: 2,
  doc:
    "i = f(x W' + h R' + p c + b), forget likewise (1 - i where `input_forget`), candidate g(...), c = forget c + i candidate, " +
    "o = f(x W' + h R' + p c + b), h = o h(c). Gates in the order i, o, f, c; peepholes i, o, f.",
  step({ c, input, recurrent, bias, peephole, act, attrs }, [h, cell]) {
    const sum = (g: number): Value => c.op("add", [c.op("add", [input(g), recurrent(g, h!)]), bias(g)]);
    const peeping = (g: number, at: Value): Value => (attrs["peepholes"] ? c.op("add", [sum(g), c.op("mul", [peephole(g), at])]) : sum(g));
    const i = act(0, peeping(0, cell!));
    const forget = attrs["input_forget"] ? c.op("sub", [1, i]) : act(0, peeping(2, cell!));
    const next = c.op("add", [c.op("mul", [forget, cell!]), c.op("mul", [i, act(1, sum(3))])]);
    const o = act(0, peeping(1, next));
    return [c.op("mul", [o, act(2, next)]), next];
  },
};

/** Runs one direction: gives y [steps, batch, hidden] and the last state. */
function direction(
  c: Composer,
  kind: CellKind,
  d: number,
  inputs: readonly Value[],
  attrs: Attrs,
  loc: Loc | undefined,
): { y: Value; last: readonly Value[] } {
  const [x, w, r, bias, ...rest] = inputs as readonly [Value, Value, Value, Value, ...Value[]];
  const [steps, batch, width] = maxShape(x.type) as [number, number, number];
  const hidden = maxShape(r.type)[2]!;
  const all = kind.gates * hidden;
  const of = (v: Value, shape: readonly number[]): Value => c.reshape(c.part(v, 0, d, 1), shape);
  const initial = rest.slice(0, kind.states).map((v) => of(v, [batch, hidden]));
  const lengths = rest[kind.states + (kind === lstmCell ? 1 : 0)];
  const peepholes = kind === lstmCell ? of(rest[2]!, [3 * hidden]) : undefined;
  const both = of(bias, [2 * all]);
  const reverse = attrs["direction"] === "reverse" || d === 1;
  // The input's share of every gate at every step is one product, outside the loop.
  const shares = c.op("add", [
    c.op("matmul", [c.reshape(x, [steps * batch, width]), c.transpose(of(w, [all, width]), [1, 0])]),
    c.part(both, 0, 0, all),
  ]);
  const activations = (attrs["activations"] as readonly Activation[]).slice(d * (kind.gates === 1 ? 1 : kind.gates - 1));
  const clip = attrs["clip"] as number | undefined;
  const captured = [
    c.reshape(shares, [steps, batch, all]),
    c.transpose(of(r, [all, hidden]), [1, 0]),
    c.part(both, 0, all, all),
    ...(peepholes ? [peepholes] : []),
    ...(lengths ? [lengths] : []),
  ];
  const { state, scanned } = iterate(c.b, { trips: steps, state: initial, captured, loc }, (b, i, state, outer) => {
    const e = composer(b, loc);
    const [xs, weights, recurrentBias] = outer as readonly [Value, Value, Value];
    const t = reverse ? e.op("sub", [steps - 1, i]) : i;
    const share = e.op("gather", [xs, t], { axis: 0 });
    const gate = (v: Value, g: number): Value => e.part(v, v.type.shape.length - 1, g * hidden, hidden);
    // Gates that read the state as it is share one product.
    const [h] = state as readonly [Value, ...Value[]];
    let product: Value | undefined;
    const cell: Cell = {
      c: e,
      attrs,
      input: (g) => gate(share, g),
      recurrent(g, at) {
        if (at !== h) return e.op("matmul", [at, gate(weights, g)]);
        product ??= e.op("matmul", [h, weights]);
        return gate(product, g);
      },
      bias: (g) => gate(recurrentBias, g),
      peephole: (g) => e.part(outer[3]!, 0, g * hidden, hidden),
      act: (k, v) => activate(e, activations[k]!, clip === undefined ? v : e.op("clip", [v, -clip, clip])),
    };
    const next = kind.step(cell, state);
    if (!lengths) return { state: next, scanned: [next[0]!] };
    // Past a sequence's end the state stays and the output is 0.
    const going = e.reshape(e.op("lt", [e.cast(t, "i32"), outer.at(-1)!]), [batch, 1]);
    return {
      state: next.map((v, k) => e.op("where", [going, v, state[k]!])),
      scanned: [e.op("where", [going, next[0]!, e.scalar(next[0]!.type.dtype, 0)])],
    };
  });
  const y = scanned[0]!;
  const flipped = { starts: [steps - 1, 0, 0], steps: [-1, 1, 1], shape: [steps, batch, hidden] };
  return { y: reverse && steps > 1 ? c.op("slice", [y], flipped) : y, last: state };
}

const OPERANDS = ["x", "w", "r", "bias", "h0"] as const;

function inferRecurrent(c: InferContext, kind: CellKind): readonly TensorType[] {
  const [x, w, r, bias] = [0, 1, 2, 3].map((k) => staticShape(c, k)) as [
    readonly number[],
    readonly number[],
    readonly number[],
    readonly number[],
  ];
  const [steps, batch, width] = x as [number, number, number];
  const [directions, , hidden] = r as [number, number, number];
  const want = (k: number, shape: readonly number[]): void => {
    const found = staticShape(c, k);
    if (found.length !== shape.length || found.some((d, a) => d !== shape[a]))
      c.fail(`operand ${k} must be [${shape}], got ${typeToString(c.types[k]!)}`);
  };
  if (x.length !== 3 || w.length !== 3 || r.length !== 3 || bias.length !== 2)
    c.fail(`x ${typeToString(c.types[0]!)}, w ${typeToString(c.types[1]!)}, r ${typeToString(c.types[2]!)}`);
  if (directions !== (c.attrs["direction"] === "bidirectional" ? 2 : 1))
    c.fail(`weights for ${directions} directions, and the direction is ${c.attrs["direction"]}`);
  if (steps < 1) c.fail("an empty sequence");
  want(1, [directions, kind.gates * hidden, width]);
  want(2, [directions, kind.gates * hidden, hidden]);
  want(3, [directions, 2 * kind.gates * hidden]);
  for (let k = 0; k < kind.states; k++) want(4 + k, [directions, batch, hidden]);
  const after = 4 + kind.states + (kind.states === 2 ? 1 : 0);
  if (kind.states === 2) want(6, [directions, 3 * hidden]);
  if (c.types[after]) {
    want(after, [batch]);
    if (c.types[after].dtype !== "i32") c.fail(`the lengths must be i32, got ${typeToString(c.types[after])}`);
  }
  const { dtype } = c.types[0]!;
  const last = tensor(dtype, [directions, batch, hidden]);
  return [tensor(dtype, [steps, directions, batch, hidden]), last, ...(kind.states === 2 ? [last] : [])];
}

const recurrent = (name: string, kind: CellKind, more: readonly string[]) =>
  defineOp({
    name,
    doc:
      `${kind.doc} x [steps, batch, width], w [directions, gates, width], r [directions, gates, hidden], bias [directions, 2 gates] (of w, then r), ` +
      "initial states [directions, batch, hidden]; `lengths` i32[batch]. `activations`: (name, alpha, beta) per gate function and direction. " +
      "Results: y [steps, directions, batch, hidden] and the last states.",
    operands: [...OPERANDS, ...more, "lengths?"],
    infer: (c) => inferRecurrent(c, kind),
    compose(b: GraphBuilder, inputs: readonly Value[], attrs: Attrs, loc: Loc | undefined) {
      const c = composer(b, loc);
      const runs = Array.from({ length: maxShape(inputs[2]!.type)[0]! }, (_, d) => direction(c, kind, d, inputs, attrs, loc));
      const stack = (vs: readonly Value[], axis: number): Value =>
        c.concat(
          vs.map((v) => c.reshape(v, maxShape(v.type).toSpliced(axis, 0, 1))),
          axis,
        );
      return [
        stack(
          runs.map((r) => r.y),
          1,
        ),
        ...runs[0]!.last.map((_, k) =>
          stack(
            runs.map((r) => r.last[k]!),
            0,
          ),
        ),
      ];
    },
  });

export const recurrentOps = [
  recurrent("rnn", rnnCell, []),
  recurrent("gru", gruCell, []),
  recurrent("lstm", lstmCell, ["c0", "peepholes"]),
] as const;
