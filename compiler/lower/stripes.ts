// Lowers a chain of convolutions to steps that compute it a few rows at a time: each member on slices of its operands, its result in a window
// of few rows that the next member reads while it is in the cache.

import type { Graph, Node, Value } from "../../ir/graph.ts";
import { topological } from "../../ir/graph.ts";
import type { OpSet } from "../../ir/op.ts";
import type { Capabilities } from "../backend.ts";
import type { GenericContext } from "./generic/kernel.ts";
import { convInput, lowerConv, type RowPads, rowReachOf, wantsRows } from "./match-conv.ts";
import type { Buffer, Place, Step } from "./step.ts";
import { rows, type Storage } from "./storage.ts";
import { type Part, planStripes, type RowReach } from "./stripe-plan.ts";
import type { Lowered } from "./template.ts";
import { marginOf } from "./templates/conv-input.ts";
import { unitOf } from "./unit.ts";

type KernelStep = Step & { readonly kind: "kernel" };

/** The members of a `tiles` node, first to last. */
export const chainOf = (node: Node): readonly Node[] =>
  topological((node.attrs.body as Graph).outputs).filter((n) => n.op !== "param" && n.op !== "const");

/** As `wantsRows`, for a chain: what its first member reads. */
export function tilesWantRows(node: Node, ops: OpSet): ReturnType<typeof wantsRows> {
  if (node.op !== "tiles") return undefined;
  const want = wantsRows(chainOf(node)[0]!, ops);
  const outer = (v: Value): Value => node.inputs[(node.attrs.body as Graph).params.indexOf(v)]!;
  return want && { ...want, input: want.input && outer(want.input) };
}

const ROW = 2;

/** `count` rows of one image of a storage [N, C, H, W] with the same strides; the part's place says which rows. */
function sliceRows(s: Storage, count: number): Storage {
  const [, c, h, w] = s.shape as [number, number, number, number];
  const margin = marginOf(s).rows;
  const strides = [(count + 2 * margin) * s.strides[ROW]!, ...s.strides.slice(1)];
  const bytes = s.bytes - (s.shape[0]! - 1) * s.strides[0]! - (h - count) * s.strides[ROW]!;
  return { ...s, name: `${s.name}, ${count} rows`, shape: [1, c, count, w], strides, bytes };
}

/** Rows from `from` on of a whole value that lies at `place`. */
function partOf(place: Place, from: number, count: number): Place {
  const { buffer, storage, shift = { bytes: 0, image: 0 } } = place;
  const image = storage.shape[0] === 1 ? 0 : storage.strides[0]!;
  return {
    buffer,
    storage: sliceRows(storage, count),
    shift: { bytes: shift.bytes + from * storage.strides[ROW]!, image: shift.image + image },
  };
}

/** The memory of an intermediate: `count` rows of one image, with the columns of zeros that `reader` needs. */
export function windowStorage(member: Node, reader: Node, count: number, ops: OpSet): Storage {
  const { dtype, shape } = member.results[0]!.type;
  const { columns } = wantsRows(reader, ops)!.margin;
  return rows({ dtype, shape: [1, shape[1]!, count, shape[3]!] }, { rows: 0, columns });
}

function windowPlace(storage: Storage): Place {
  const buffer: Buffer = { bytes: storage.bytes, hint: "window" };
  return { buffer, storage };
}

/** What a chain's lowering needs of the graph's: places of values outside, and of the result. */
export interface StripeContext extends GenericContext {
  place(v: Value): Place;
  readonly result: Place;
}

/** Undefined where a member has no template: the members are then lowered one by one. */
export function lowerStripes(node: Node, c: StripeContext, can: Capabilities): (Step & { readonly kind: "tiles" }) | undefined {
  const chain = chainOf(node);
  const reaches = chain.map((n) => rowReachOf(n, c.ops));
  if (reaches.some((r) => r === undefined)) return undefined;
  const plan = planStripes(reaches as RowReach[], node.attrs.rows as number);
  const outer = new Map((node.attrs.body as Graph).params.map((p, i) => [p, node.inputs[i]!]));
  const windows = plan.windows.map((n, j) => windowPlace(windowStorage(chain[j]!, chain[j + 1]!, n, c.ops)));
  const images = node.results[0]!.type.shape[0] as number;
  const cache = new Map<string, Lowered | undefined>();
  const body: Step[] = [];

  /** The kernel that computes `count` rows of a member: one for all parts of that many rows and pads. */
  const kernelFor = (j: number, count: number, pads: RowPads, places: ReadonlyMap<Value, Place>): Lowered | undefined => {
    const key = [j, count, pads.top, pads.bottom].join();
    if (!cache.has(key)) {
      const storageOf = (v: Value): Storage => places.get(v)!.storage;
      cache.set(key, lowerConv(unitOf(chain[j]!), { ...c, storageOf }, can, pads));
    }
    return cache.get(key);
  };

  const compute = (part: Part): KernelStep | undefined => {
    const [member, { stride, top, taps, inputHeight }] = [chain[part.member]!, reaches[part.member]!];
    const unit = unitOf(member);
    const count = part.to - part.from;
    const start = part.from * stride - top;
    const needed = (count - 1) * stride + taps;
    // A window holds the rows of zeros; at the borders of a whole value they are padding.
    const whole = part.member === 0;
    const pads = whole ? { top: Math.max(0, -start), bottom: Math.max(0, start + needed - inputHeight) } : { top: 0, bottom: 0 };
    const input = convInput(member, c.ops);
    const height = reaches[part.member]!.height;
    const places = new Map<Value, Place>();
    for (const v of unit.operands) {
      if (v === input)
        places.set(
          v,
          whole
            ? partOf(c.place(outer.get(v)!), Math.max(0, start), needed - pads.top - pads.bottom)
            : { ...windows[part.member - 1]!, storage: sliceRows(windows[part.member - 1]!.storage, needed) },
        );
      else {
        const place = c.place(outer.get(v) ?? v);
        const alike = place.storage.shape[ROW] === height;
        const image = place.storage.shape.length === 4;
        places.set(v, image ? partOf(place, alike ? part.from : 0, alike ? count : place.storage.shape[ROW]!) : place);
      }
    }
    const result =
      part.window === undefined ? partOf(c.result, part.from, count) : partOf(windows[part.member]!, part.from - part.window.base, count);
    places.set(member.results[0]!, result);
    const lowered = kernelFor(part.member, count, pads, places);
    return lowered && { kind: "kernel", node: member, lowered, operands: unit.operands.map((v) => places.get(v)!), results: [result] };
  };

  for (const [j, { storage, buffer }] of windows.entries()) {
    const { top } = reaches[j + 1]!;
    const [, ch, h, w] = storage.shape as [number, number, number, number];
    const below = { ...storage, shape: [1, ch, h - top, w], offset: storage.offset + top * storage.strides[ROW]! };
    body.push({ kind: "margins", place: { buffer, storage: below } });
  }
  const whole = new Map<number, KernelStep>();
  for (const part of plan.stripes.flat()) {
    if (part.window) {
      const { storage, buffer } = windows[part.member]!;
      const { base, keep } = part.window;
      const [row, { height }] = [storage.strides[ROW]!, reaches[part.member]!];
      const at = (bytes: number): Place => ({ buffer, storage, shift: { bytes: storage.offset + bytes, image: 0 } });
      if (keep) body.push({ kind: "copy", from: at(keep.by * row), to: at(0), bytes: keep.rows * row });
      if (base + part.window.rows > height)
        body.push({
          kind: "margins",
          place: { buffer, storage: { ...storage, shape: [1, storage.shape[1]!, Math.max(0, height - base), storage.shape[3]!] } },
        });
    }
    if (part.from === part.to) continue;
    const step = compute(part);
    if (!step) return undefined;
    body.push(step);
    const results = [part.window ? windows[part.member]! : c.result];
    if (!whole.has(part.member)) whole.set(part.member, { ...step, results });
  }
  return { kind: "tiles", node, images, body, whole: chain.map((_, j) => whole.get(j)!) };
}
