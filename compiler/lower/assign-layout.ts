// Chooses how activations lie in memory for a whole graph: the rows that convolutions want, features as rows of tokens, slices for what is
// concatenated, else flat.

import type { Graph, Node, Value } from "../../ir/graph.ts";
import { topological } from "../../ir/graph.ts";
import { isKernel } from "../../ir/op.ts";
import { isStatic } from "../../ir/types.ts";
import { assignFeatures } from "./assign-features.ts";
import { assignPixels } from "./assign-pixels.ts";
import { wantsRows } from "./match-conv.ts";
import { transposedWantsRows } from "./match-conv-transpose.ts";
import { poolWantsRows } from "./match-pool.ts";
import { flat, holdsPixels, type Margin, rows, type Storage } from "./storage.ts";
import { tilesWantRows } from "./stripes.ts";

export interface Assignment {
  /** Where a node's result is written. */
  storageOf(v: Value): Storage;
  /** Whether a value had better be brought to that storage, even where it could be a view of another. */
  isAssigned(v: Value): boolean;
  /** For a value that is produced inside another one: that value, and the slice's storage in its buffer. */
  sliceOf(v: Value): { readonly whole: Value; readonly storage: Storage } | undefined;
  /** Whether the node only brings slices together. */
  inPlace(node: Node): boolean;
  /** For such a node: each operand's slice of the result. */
  slicesFor(node: Node): readonly (readonly [Value, Storage])[];
}

const widest = (a: Margin | undefined, b: Margin): Margin => ({
  rows: Math.max(a?.rows ?? 0, b.rows),
  columns: Math.max(a?.columns ?? 0, b.columns),
});

/** The part of a storage from element `start` along `axis` on, for a value of the given shape. Slices of channels keep their padding. */
function slice(whole: Storage, axis: number, start: number, shape: readonly number[]): Storage {
  const offset = whole.offset + start * whole.strides[axis]!;
  return { ...whole, name: `${whole.name}[${start}..]`, shape, offset, zeroed: whole.zeroed && axis <= 1, part: true };
}

/** `plain`: every value lies flat, or in a slice of one that does; images of bytes pixel by pixel, without padding. */
export function assignStorage(graph: Graph, plain = false): Assignment {
  const margins = new Map<Value, Margin>();
  const order = topological(graph.outputs);
  for (const node of order) {
    const { ops } = graph;
    if (plain) break;
    const want = tilesWantRows(node, ops) ?? wantsRows(node, ops) ?? transposedWantsRows(node, ops) ?? poolWantsRows(node, ops);
    if (!want) continue;
    if (want.input) margins.set(want.input, widest(margins.get(want.input), want.margin));
    for (const r of node.results) margins.set(r, widest(margins.get(r), { rows: 0, columns: 0 }));
  }
  // A padded result spreads to what is concatenated into it, and to concatenations of padded operands.
  const concats = order.filter((n) => isConcat(n));
  const storages = new Map<Value, Storage>();
  const bytes: ReadonlyMap<Value, Storage> = assignPixels(graph, plain);
  const tokens: ReadonlyMap<Value, Storage> = plain ? new Map() : assignFeatures(graph, (v) => margins.has(v) || bytes.has(v));
  const pixelsOf = (v: Value): Storage | undefined => (isFree(graph, v.node) ? bytes.get(v) : undefined);
  const isAssigned = (v: Value): boolean => tokens.has(v) || pixelsOf(v) !== undefined || (margins.has(v) && isFree(graph, v.node));
  const storageOf = (v: Value): Storage => {
    let s = storages.get(v);
    if (!s) {
      const m = margins.get(v);
      storages.set(v, (s = tokens.get(v) ?? pixelsOf(v) ?? (m && isFree(graph, v.node) ? rows(v.type, m) : flat(v.type))));
    }
    return s;
  };
  const slices = new Map<Value, { whole: Value; storage: Storage }>();
  const parts = new Map<Node, (readonly [Value, Storage])[]>();
  for (const n of concats.reverse()) {
    const whole = n.results[0]!;
    const axis = n.attrs.axis as number;
    // A concatenation that is itself a slice hands its slice down.
    const storage = slices.get(whole)?.storage ?? storageOf(whole);
    let start = 0;
    parts.set(
      n,
      n.inputs.map((v) => {
        const s = slice(storage, axis, start, v.type.shape as readonly number[]);
        start += v.type.shape[axis] as number;
        if (isFree(graph, v.node) && !slices.has(v) && canLieIn(v, s, margins, bytes.get(v)))
          slices.set(v, { whole: slices.get(whole)?.whole ?? whole, storage: s });
        return [v, s] as const;
      }),
    );
  }
  return {
    storageOf,
    isAssigned,
    sliceOf: (v) => slices.get(v),
    inPlace: (node) => parts.has(node),
    slicesFor: (node) => parts.get(node) ?? [],
  };
}

/** Operators whose results lie where the interface, or another value, says. */
const FLAT: ReadonlySet<string> = new Set(["param", "const", "reshape", "bound", "if", "loop"]);

/** Whether a node's kernel can write its result in any arrangement. */
const isFree = (g: Graph, n: Node): boolean => !FLAT.has(n.op) && !isKernel(g.ops.get(n.op)!);

const isConcat = (n: Node): boolean => n.op === "concat" && [...n.inputs, ...n.results].every((v) => isStatic(v.type));

/** A value may be produced in a slice unless a convolution reads it with wider margins than the slice's neighbours give. */
function canLieIn(v: Value, whole: Storage, margins: ReadonlyMap<Value, Margin>, wanted: Storage | undefined): boolean {
  if (wanted)
    return wanted.margin === undefined || holdsPixels(whole, wanted.zeroed ? wanted.margin : { rows: 0, columns: 0 }, wanted.fill ?? 0);
  const own = margins.get(v);
  if (!own) return true;
  const [, r = 0, c = 0] = /^rows\+(\d+)\+(\d+)/.exec(whole.name) ?? [];
  return whole.name.startsWith("rows") && Number(r) >= own.rows && Number(c) >= own.columns;
}
