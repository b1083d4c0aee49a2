// ONNX's recurrent layers (RNN, GRU, LSTM) and Scan.

import type { Graph, GraphBuilder, Value } from "../../../ir/graph.ts";
import { composer } from "../../../ir/ops/compose.ts";
import { inlineGraph } from "../../../ir/ops/core.ts";
import { iterate } from "../../../ir/ops/iterate.ts";
import { tensor } from "../../../ir/types.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";

/** Which of alpha and beta an activation takes, and their defaults. */
const ACTIVATIONS: ReadonlyMap<string, readonly [number?, number?]> = new Map([
  ["sigmoid", []],
  ["tanh", []],
  ["relu", []],
  ["softplus", []],
  ["softsign", []],
  ["leakyrelu", [0.01]],
  ["thresholdedrelu", [1]],
  ["elu", [1]],
  ["hardsigmoid", [0.2, 0.5]],
  ["affine", [1, 0]],
  ["scaledtanh", [1, 1]],
] as [string, [number?, number?]][]);

/** Triples (name, alpha, beta): the given activations, which take their parameters from the lists in turn, or the defaults. */
function activationsOf(c: ImportContext, defaults: readonly string[], directions: number): readonly (readonly [string, number, number])[] {
  const given = c.attribute("activations");
  const names = given?.kind === "strings" ? given.value : Array.from({ length: directions }, () => defaults).flat();
  if (names.length !== defaults.length * directions)
    c.bad(`${names.length} activations for ${directions} directions of ${defaults.length}`);
  const [alphas, betas] = [[...c.floats("activation_alpha", [])], [...c.floats("activation_beta", [])]];
  return names.map((raw) => {
    const name = raw.toLowerCase();
    const parameters = ACTIVATIONS.get(name) ?? c.bad(`activation '${raw}'`);
    const take = (list: number[], otherwise: number | undefined): number => (otherwise === undefined ? 0 : (list.shift() ?? otherwise));
    return [name, take(alphas, parameters[0]), take(betas, parameters[1])];
  });
}

const recurrent = (name: string, op: string, gates: number, defaults: readonly string[]): OnnxOp =>
  defineOnnxOp({
    name,
    import(c) {
      const e = composer(c.b, c.loc);
      const batchFirst = c.int("layout", 0) === 1;
      const x = batchFirst ? e.transpose(c.input(0), [1, 0, 2]) : c.input(0);
      const { dtype } = x.type;
      const [steps, batch] = shapeOf(c, x) as [number, number];
      const [directions, , hidden] = shapeOf(c, c.input(2)) as [number, number, number];
      if (steps === 0) c.unsupported("an empty sequence");
      const lstm = op === "lstm";
      const initial = (k: number): Value => {
        const given = c.inputs[k];
        if (!given) return e.fill(dtype, [directions, batch, hidden], 0);
        return batchFirst ? e.transpose(given, [1, 0, 2]) : given;
      };
      const bias = c.inputs[3] ?? e.fill(dtype, [directions, 2 * gates * hidden], 0);
      const peepholes = lstm ? [c.inputs[7] ?? e.fill(dtype, [directions, 3 * hidden], 0)] : [];
      const lengths = c.inputs[4];
      const direction = c.string("direction", "forward");
      const clip = c.attribute("clip") ? { clip: c.float("clip") } : {};
      const attrs = {
        direction,
        activations: activationsOf(c, defaults, directions),
        linear_before_reset: c.int("linear_before_reset", 0) !== 0,
        input_forget: c.int("input_forget", 0) !== 0,
        peepholes: c.inputs[7] !== undefined,
        ...clip,
      };
      const inputs = [
        x,
        c.input(1),
        c.input(2),
        bias,
        initial(5),
        ...(lstm ? [initial(6)] : []),
        ...peepholes,
        ...(lengths ? [lengths] : []),
      ];
      const { results } = c.b.add(op, inputs, attrs, c.loc);
      if (!batchFirst) return results;
      return results.map((r, k) => e.transpose(r, k === 0 ? [2, 0, 1, 3] : [1, 0, 2]));
    },
  });

/** Moves `axis` to the front, or the front to `axis`. */
const toFront = (rank: number, axis: number): number[] => [axis, ...Array.from({ length: rank }, (_, a) => a).filter((a) => a !== axis)];
const fromFront = (rank: number, axis: number): number[] => {
  const to = toFront(rank, axis);
  return to.map((_, a) => to.indexOf(a));
};

/** One scan over the first axis of `scans` after their axes were moved there; reversed ones read from the end. */
function scanOver(
  c: ImportContext,
  states: readonly Value[],
  scans: readonly Value[],
  reversed: readonly boolean[],
): { readonly state: readonly Value[]; readonly scanned: readonly Value[] } {
  const steps = shapeOf(c, scans[0]!)[0]!;
  if (scans.some((s) => shapeOf(c, s)[0] !== steps)) c.bad("the scanned operands differ in length");
  if (steps === 0) c.unsupported("an empty scan");
  const elements = scans.map((s) => tensor(s.type.dtype, shapeOf(c, s).slice(1)));
  const { graph, captures } = c.region("body", [...states.map((s) => s.type), ...elements]);
  const body: Graph = graph;
  return iterate(
    c.b,
    { trips: steps, state: states, captured: [...scans, ...captures], loc: c.loc },
    (b: GraphBuilder, i, state, outer) => {
      const e = composer(b, c.loc);
      const slices = scans.map((_, k) => e.op("gather", [outer[k]!, reversed[k] ? e.op("sub", [steps - 1, i]) : i], { axis: 0 }));
      const results = inlineGraph(b, body, [...state, ...slices, ...outer.slice(scans.length)]);
      return { state: results.slice(0, state.length), scanned: results.slice(state.length) };
    },
  );
}

const scan = defineOnnxOp({
  name: "Scan",
  import(c) {
    const e = composer(c.b, c.loc);
    const count = c.int("num_scan_inputs");
    if (count < 1 || count > c.inputs.length) c.bad(`num_scan_inputs ${count} of ${c.inputs.length} operands`);
    if (c.opset < 9) return scanWithBatch(c, count);
    const operands = c.inputs.map((_, k) => c.input(k));
    const states = operands.slice(0, operands.length - count);
    const axes = c.ints("scan_input_axes", []);
    const scans = operands
      .slice(states.length)
      .map((v, k) => e.transpose(v, toFront(v.type.shape.length, axisOf(c, axes[k] ?? 0, v.type.shape.length))));
    const directions = c.ints("scan_input_directions", []);
    const { state, scanned } = scanOver(
      c,
      states,
      scans,
      scans.map((_, k) => directions[k] === 1),
    );
    const [outAxes, outDirections] = [c.ints("scan_output_axes", []), c.ints("scan_output_directions", [])];
    return [
      ...state,
      ...scanned.map((v, k) => {
        const shape = shapeOf(c, v);
        const back = { starts: shape.map((d, a) => (a === 0 ? d - 1 : 0)), steps: shape.map((_, a) => (a === 0 ? -1 : 1)), shape };
        const ordered = outDirections[k] === 1 ? e.op("slice", [v], back) : v;
        return e.transpose(ordered, fromFront(shape.length, axisOf(c, outAxes[k] ?? 0, shape.length)));
      }),
    ];
  },
});

/** Scan of opset 8: operand 0 holds sequence lengths, axis 0 of all others is a batch, and axis 1 is scanned. */
function scanWithBatch(c: ImportContext, count: number): readonly Value[] {
  if (c.inputs[0]) c.unsupported("sequence lengths in the Scan of opset 8");
  const e = composer(c.b, c.loc);
  const operands = c.inputs.slice(1).map((_, k) => c.input(k + 1));
  const states = operands.length - count;
  const batch = shapeOf(c, operands[0]!)[0]!;
  const directions = c.ints("directions", []);
  const one = (v: Value, n: number): Value => e.reshape(e.part(v, 0, n, 1), shapeOf(c, v).slice(1));
  const runs = Array.from({ length: batch }, (_, n) => {
    const { state, scanned } = scanOver(
      c,
      operands.slice(0, states).map((v) => one(v, n)),
      operands.slice(states).map((v) => one(v, n)),
      operands.slice(states).map((_v, k) => directions[k] === 1),
    );
    return [...state, ...scanned];
  });
  return runs[0]!.map((first, k) =>
    e.concat(
      runs.map((r) => e.reshape(r[k]!, [1, ...shapeOf(c, first)])),
      0,
    ),
  );
}

export const recurrentTable = [
  recurrent("RNN", "rnn", 1, ["Tanh"]),
  recurrent("GRU", "gru", 3, ["Sigmoid", "Tanh"]),
  recurrent("LSTM", "lstm", 4, ["Sigmoid", "Tanh", "Tanh"]),
  scan,
] as const;
