// Exact identities of operators that move elements: views collapse, copies of copies become one, what moves nothing goes.

import type { GraphBuilder, Value } from "../../ir/graph.ts";
import { any, constant, op, type Rule, rule } from "../../ir/rewrite.ts";
import { elementCount } from "../../ir/tensor.ts";
import { broadcast, isStatic, rank, sameShape, sameType, sizeOf, type TensorType } from "../../ir/types.ts";
import { isConstant, isSplat, reshaped, splatOf } from "./constants.ts";

const ints = (v: Value, name: string): readonly number[] => v.node.attrs[name] as readonly number[];
const fixed = (v: Value): boolean => isStatic(v.type);
const extents = (t: TensorType): readonly number[] => t.shape as readonly number[];

const views: readonly Rule[] = [
  rule("reshape, expand to the same shape -> x", op(["reshape", "expand"], any("x")), ({ x }, _, root) =>
    sameType(x.type, root.type) ? x : undefined,
  ),
  rule("reshape(reshape(x)) -> reshape(x)", op("reshape", op("reshape", any("x", fixed))), ({ x }, b, root) =>
    fixed(root) ? reshaped(b, x, extents(root.type)) : undefined,
  ),
  rule("expand by axes of extent 1 -> reshape", op("expand", any("x", fixed)), ({ x }, b, root) =>
    fixed(root) && sizeOf(x.type) === sizeOf(root.type) ? reshaped(b, x, extents(root.type)) : undefined,
  ),
  rule("expand(expand(x)) -> expand(x)", op("expand", op("expand", any("x", fixed))), ({ x }, b, root) =>
    fixed(root) ? b.value("expand", [x], { shape: extents(root.type) }, root.node.locs) : undefined,
  ),
  rule("tile of extents 1 -> expand", op("tile", any("x", fixed)), ({ x }, b, root) =>
    fixed(root) && extents(x.type).every((d, axis) => d === 1 || ints(root, "repeats")[axis] === 1)
      ? b.value("expand", [x], { shape: extents(root.type) }, root.node.locs)
      : undefined,
  ),
  rule("tile once -> x", op("tile", any("x")), ({ x }, _, root) => (ints(root, "repeats").every((n) => n === 1) ? x : undefined)),
];

const transposes: readonly Rule[] = [
  rule("transpose that keeps the order of axes longer than 1 -> reshape", op("transpose", any("x", fixed)), ({ x }, b, root) => {
    const long = ints(root, "perm").filter((axis) => x.type.shape[axis] !== 1);
    return long.every((axis, i) => i === 0 || axis > long[i - 1]!) ? reshaped(b, x, extents(root.type)) : undefined;
  }),
  rule("transpose(x) by 0, 1, 2.. -> x", op("transpose", any("x")), ({ x }, _, root) =>
    ints(root, "perm").every((p, axis) => p === axis) ? x : undefined,
  ),
  rule("transpose(transpose(x)) -> transpose(x)", op("transpose", op("transpose", any("x"))), ({ x }, b, root) => {
    const inner = ints(root.node.inputs[0]!, "perm");
    return b.value("transpose", [x], { perm: ints(root, "perm").map((p) => inner[p]!) }, root.node.locs);
  }),
];

const sliceOf = (
  b: GraphBuilder,
  x: Value,
  starts: readonly number[],
  steps: readonly number[],
  shape: readonly number[],
  root: Value,
): Value => b.value("slice", [x], { starts, steps, shape }, root.node.locs);

const slices: readonly Rule[] = [
  rule("slice of everything -> x", op("slice", any("x")), ({ x }, _, root) =>
    sameType(x.type, root.type) &&
    ints(root, "steps").every((s, axis) => s === 1 || x.type.shape[axis] === 1) &&
    ints(root, "starts").every((s) => s === 0)
      ? x
      : undefined,
  ),
  rule("slice(slice(x)) -> slice(x)", op("slice", op("slice", any("x", fixed))), ({ x }, b, root) => {
    const inner = root.node.inputs[0]!;
    const [starts, steps] = [ints(root, "starts"), ints(root, "steps")];
    const [innerStarts, innerSteps] = [ints(inner, "starts"), ints(inner, "steps")];
    return sliceOf(
      b,
      x,
      starts.map((s, axis) => (root.type.shape[axis] === 0 ? 0 : innerStarts[axis]! + s * innerSteps[axis]!)),
      steps.map((s, axis) => s * innerSteps[axis]!),
      extents(root.type),
      root,
    );
  }),
  rule("slice(concat(.., x, ..)) inside x -> slice(x)", op("slice", op("concat")), (_, b, root) => {
    const whole = root.node.inputs[0]!;
    const axis = whole.node.attrs.axis as number;
    const count = root.type.shape[axis]!;
    if (!fixed(root) || typeof count !== "number" || count === 0) return undefined;
    const first = ints(root, "starts")[axis]!;
    const last = first + (count - 1) * ints(root, "steps")[axis]!;
    let begin = 0;
    for (const x of whole.node.inputs) {
      const end = begin + (x.type.shape[axis] as number);
      if (Math.min(first, last) >= begin && Math.max(first, last) < end) {
        return sliceOf(b, x, ints(root, "starts").with(axis, first - begin), ints(root, "steps"), extents(root.type), root);
      }
      begin = end;
    }
    return undefined;
  }),
  rule("gather at evenly spaced constant indices -> slice", op("gather", any("x", fixed), constant("i")), ({ x, i }, b, root) => {
    const axis = root.node.attrs.axis as number;
    const extent = x.type.shape[axis] as number;
    const raw = Array.from(b.constantOf(i)!.data as ArrayLike<number | bigint>, Number);
    const at = raw.map((p) => (p < 0 ? p + extent : p));
    const step = at.length > 1 ? at[1]! - at[0]! : 1;
    if (at.length === 0 || rank(i.type) > 1 || step === 0 || at.some((p, k) => p < 0 || p >= extent || p !== at[0]! + k * step))
      return undefined;
    const shape = extents(x.type).with(axis, at.length);
    const piece = sliceOf(
      b,
      x,
      shape.map((_, k) => (k === axis ? at[0]! : 0)),
      shape.map((_, k) => (k === axis ? step : 1)),
      shape,
      root,
    );
    return reshaped(b, piece, extents(root.type));
  }),
];

const concats: readonly Rule[] = [
  rule("concat(x) -> x", op("concat", any("x")), ({ x }) => x),
  rule("concat(.., concat(xs), ..) -> concat(.., xs, ..)", op("concat"), (_, b, root) => {
    const { axis } = root.node.attrs;
    const nested = (v: Value) => v.node.op === "concat" && v.node.attrs.axis === axis;
    if (!root.node.inputs.some(nested)) return undefined;
    return b.value(
      "concat",
      root.node.inputs.flatMap((v) => (nested(v) ? v.node.inputs : [v])),
      { axis: axis! },
      root.node.locs,
    );
  }),
  rule("concat with empty pieces -> concat without", op("concat"), (_, b, root) => {
    const axis = root.node.attrs.axis as number;
    const kept = root.node.inputs.filter((v) => v.type.shape[axis] !== 0);
    return kept.length === 0 || kept.length === root.node.inputs.length ? undefined : b.value("concat", kept, { axis }, root.node.locs);
  }),
  rule("concat of neighbouring slices of x -> slice of x", op("concat"), (_, b, root) => {
    const axis = root.node.attrs.axis as number;
    const [first] = root.node.inputs;
    if (first?.node.op !== "slice" || root.node.inputs.length < 2) return undefined;
    const x = first.node.inputs[0]!;
    let next = ints(first, "starts")[axis]!;
    for (const v of root.node.inputs) {
      if (v.node.op !== "slice" || v.node.inputs[0] !== x || ints(v, "steps").some((s) => s !== 1) || !fixed(v)) return undefined;
      if (!ints(v, "starts").every((s, k) => s === (k === axis ? next : ints(first, "starts")[k]))) return undefined;
      next += v.type.shape[axis] as number;
    }
    return sliceOf(b, x, ints(first, "starts"), ints(first, "steps"), extents(root.type), root);
  }),
];

const pads: readonly Rule[] = [
  rule("pad by nothing -> x", op("pad"), (_, __, root) =>
    [...ints(root, "begins"), ...ints(root, "ends")].every((n) => n === 0) ? root.node.inputs[0]! : undefined,
  ),
  rule("pad that only crops -> slice", op("pad"), (_, b, root) => {
    const [begins, ends] = [ints(root, "begins"), ints(root, "ends")];
    const x = root.node.inputs[0]!;
    if (!fixed(x) || [...begins, ...ends].some((n) => n > 0)) return undefined;
    const empty = sizeOf(root.type) === 0;
    return empty
      ? undefined
      : sliceOf(
          b,
          x,
          begins.map((n) => 0 - n),
          begins.map(() => 1),
          extents(root.type),
          root,
        );
  }),
  rule("pad(pad(x)) with one value -> pad(x)", op("pad"), (_, b, root) => {
    const inner = root.node.inputs[0]!;
    if (inner.node.op !== "pad" || root.node.attrs.mode !== "constant" || inner.node.attrs.mode !== "constant") return undefined;
    const value = (v: Value) => (v.node.inputs[1] ? splatOf(b, v.node.inputs[1]) : 0);
    const grows = (v: Value) => [...ints(v, "begins"), ...ints(v, "ends")].every((n) => n >= 0);
    if (value(root) === undefined || !Object.is(value(root), value(inner)) || !grows(root) || !grows(inner)) return undefined;
    const sum = (name: string) => ints(root, name).map((n, axis) => n + ints(inner, name)[axis]!);
    return b.value("pad", inner.node.inputs, { mode: "constant", begins: sum("begins"), ends: sum("ends") }, root.node.locs);
  }),
  rule("pad with 0 -> pad", op("pad"), (_, b, root) => {
    const [x, value] = root.node.inputs;
    return value && isSplat(b, value, 0) ? b.value("pad", [x!], root.node.attrs, root.node.locs) : undefined;
  }),
];

const elementwise = (b: GraphBuilder, v: Value): boolean => {
  const def = b.ops.get(v.node.op);
  // One scale and one zero point for all.
  if (v.node.op === "quantize") return v.node.inputs.slice(1).every((s) => rank(s.type) === 0);
  return def !== undefined && "elementwise" in def && def.elementwise === true;
};

/** Where the axes of `few` lie among those of `many`, which has further axes of extent 1 between them; undefined if it is not so. */
function placesOf(few: readonly number[], many: readonly number[]): readonly number[] | undefined {
  const places: number[] = [];
  many.forEach((d, axis) => {
    if (d === few[places.length]) places.push(axis);
  });
  const rest = many.filter((_, axis) => !places.includes(axis));
  return places.length === few.length && rest.every((d) => d === 1) ? places : undefined;
}

/** A shape that broadcasts to `outer`, as one that broadcasts likewise to `inner`, of which `outer` is a view. */
function carried(own: readonly number[], outer: readonly number[], inner: readonly number[]): readonly number[] | undefined {
  if (own.every((d) => d === 1) && own.length <= inner.length) return own;
  let suffix = 0;
  while (suffix < Math.min(outer.length, inner.length) && outer.at(-1 - suffix) === inner.at(-1 - suffix)) suffix++;
  if (own.slice(0, Math.max(0, own.length - suffix)).every((d) => d === 1)) return own.slice(-suffix || own.length);
  const head = outer.length - suffix;
  // As many elements before the axes that both share: the same in other shapes.
  if (suffix > 0 && own.length === outer.length && sameShape(own.slice(0, head), outer.slice(0, head)))
    return [...inner.slice(0, inner.length - suffix), ...own.slice(head)];
  const places = inner.length > outer.length ? placesOf(outer, inner) : undefined;
  if (!places) return undefined;
  const shape = inner.map(() => 1);
  own.forEach((d, axis) => {
    shape[places[outer.length - own.length + axis]!] = d;
  });
  return shape;
}

const spreads: readonly Rule[] = [
  rule(
    "f(expand(x), y) -> f(x, y), where f broadcasts",
    op(["add", "sub", "mul", "div", "min", "max", "pow", "where", "and", "or", "eq", "ne", "lt", "le", "gt", "ge"]),
    (_, b, root) => {
      const inputs = root.node.inputs;
      const spread = inputs.findIndex((v) => v.node.op === "expand");
      if (spread < 0) return undefined;
      const narrow = inputs.with(spread, inputs[spread]!.node.inputs[0]!);
      const shape = narrow.reduce<ReturnType<typeof broadcast>>((s, v) => s && broadcast(s, v.type.shape), []);
      return shape && sameShape(shape, root.type.shape) ? b.value(root.node.op, narrow, root.node.attrs, root.node.locs) : undefined;
    },
  ),
];

const HEAVY: ReadonlySet<string> = new Set(["conv", "conv_transpose", "matmul"]);

/** Whether a value comes from a product, through a few elementwise operators at most: that is what is worth fusing with. */
const fromProduct = (b: GraphBuilder, v: Value, depth = 4): boolean =>
  HEAVY.has(v.node.op) || (depth > 0 && elementwise(b, v) && v.node.inputs.some((w) => fromProduct(b, w, depth - 1)));

/** Views end fusion: behind elementwise operators and reductions they do no harm. */
const sinking: readonly Rule[] = [
  rule(
    "reduce(reshape(x)) of last axes that are the last ones of x, too -> reshape(reduce(x))",
    op("reduce", op("reshape", any("x", fixed))),
    ({ x }, b, root) => {
      const [inner, outer] = [extents(x.type), extents(root.node.inputs[0]!.type)];
      const axes = ints(root, "axes");
      const first = Math.min(...axes);
      if (!fixed(root) || axes.length !== outer.length - first) return undefined;
      const rows = elementCount(outer.slice(0, first));
      const own = inner.findIndex((_, axis) => axis > 0 && elementCount(inner.slice(0, axis)) === rows);
      if (own < 0 || sizeOf(x.type) === 0) return undefined;
      const all = inner.map((_, axis) => axis).slice(own);
      return reshaped(b, b.value("reduce", [x], { ...root.node.attrs, axes: all }, root.node.locs), extents(root.type));
    },
  ),
  {
    name: "f(reshape(x), ys..) -> reshape(f(x, ys'..)), f elementwise",
    match: any("root"),
    rewrite(_, b, root) {
      if (!elementwise(b, root) || !fixed(root)) return undefined;
      const isView = (v: Value) => v.node.op === "reshape" && fixed(v.node.inputs[0]!) && sameShape(v.type.shape, root.type.shape);
      const view = root.node.inputs.find(isView);
      if (!view || !root.node.inputs.every(fixed)) return undefined;
      const x = view.node.inputs[0]!;
      const [inner, outer] = [extents(x.type), extents(root.type)];
      const follow = (v: Value): Value | undefined => {
        if (isView(v) && sameShape(v.node.inputs[0]!.type.shape, inner)) return v.node.inputs[0]!;
        if (sameShape(v.type.shape, outer) && sizeOf(v.type) > 1) {
          // The other way round the same would hold: only a product's result decides.
          return isConstant(v) || (fromProduct(b, x) && !fromProduct(b, v.node.op === "reshape" ? v.node.inputs[0]! : v))
            ? reshaped(b, v, inner)
            : undefined;
        }
        const shape = carried(extents(v.type), outer, inner);
        return shape && reshaped(b, v, shape);
      };
      const operands: Value[] = [];
      for (const v of root.node.inputs) {
        const moved = follow(v);
        if (!moved) return undefined;
        operands.push(moved);
      }
      const f = b.value(root.node.op, operands, root.node.attrs, root.node.locs);
      return sameShape(f.type.shape, inner) ? reshaped(b, f, outer) : undefined;
    },
  },
];

/** Identities of movement, in the order in which they are tried. */
export const shapeRules: readonly Rule[] = [...views, ...transposes, ...slices, ...concats, ...pads, ...spreads, ...sinking];
