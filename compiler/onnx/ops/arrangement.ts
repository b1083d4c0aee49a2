// ONNX operators that arrange elements: blocks and depth, cropping, triangles, sequences, caches.

import { composer } from "../../../ir/ops/compose.ts";
import { axisOf, shapeOf } from "../axis.ts";
import { defineOnnxOp } from "../op.ts";
import { dtypeNumbered } from "./convert.ts";

const depthToSpace = defineOnnxOp({
  name: "DepthToSpace",
  import(c) {
    const e = composer(c.b, c.loc);
    const [n, depth, h, w] = shapeOf(c, c.input(0)) as [number, number, number, number];
    const b = c.int("blocksize");
    const channels = depth / (b * b);
    if (b < 1 || w === undefined || !Number.isInteger(channels)) c.bad(`blocks of ${b} from shape [${shapeOf(c, c.input(0))}]`);
    const mode = c.string("mode", "DCR");
    if (mode !== "DCR" && mode !== "CRD") c.bad(`mode '${mode}'`);
    const [split, perm] =
      mode === "DCR"
        ? [
            [n, b, b, channels, h, w],
            [0, 3, 4, 1, 5, 2],
          ]
        : [
            [n, channels, b, b, h, w],
            [0, 1, 4, 2, 5, 3],
          ];
    return e.reshape(e.transpose(e.reshape(c.input(0), split!), perm!), [n, channels, h * b, w * b]);
  },
});

const spaceToDepth = defineOnnxOp({
  name: "SpaceToDepth",
  import(c) {
    const e = composer(c.b, c.loc);
    const [n, channels, h, w] = shapeOf(c, c.input(0)) as [number, number, number, number];
    const b = c.int("blocksize");
    if (b < 1 || w === undefined || h % b !== 0 || w % b !== 0) c.bad(`blocks of ${b} from shape [${shapeOf(c, c.input(0))}]`);
    const split = e.reshape(c.input(0), [n, channels, h / b, b, w / b, b]);
    return e.reshape(e.transpose(split, [0, 3, 5, 1, 2, 4]), [n, channels * b * b, h / b, w / b]);
  },
});

const centerCropPad = defineOnnxOp({
  name: "CenterCropPad",
  shapeOperands: [1],
  import(c) {
    const e = composer(c.b, c.loc);
    const shape = shapeOf(c, c.input(0));
    const axes = c.attribute("axes") ? c.ints("axes").map((a) => axisOf(c, a, shape.length)) : shape.map((_, a) => a);
    const wanted = c.numbers(1);
    if (wanted.length !== axes.length) c.bad(`${wanted.length} extents for ${axes.length} axes`);
    const out = shape.map((d, a) => (axes.includes(a) ? wanted[axes.indexOf(a)]! : d));
    const kept = shape.map((d, a) => Math.min(d, out[a]!));
    const starts = shape.map((d, a) => Math.floor((d - kept[a]!) / 2));
    const cropped = kept.every((d, a) => d === shape[a])
      ? c.input(0)
      : e.op("slice", [c.input(0)], { starts, steps: shape.map(() => 1), shape: kept });
    if (kept.every((d, a) => d === out[a])) return cropped;
    const begins = kept.map((d, a) => Math.floor((out[a]! - d) / 2));
    return e.op("pad", [cropped], { mode: "constant", begins, ends: kept.map((d, a) => out[a]! - d - begins[a]!) });
  },
});

const trilu = defineOnnxOp({
  name: "Trilu",
  import(c) {
    const e = composer(c.b, c.loc);
    const k = c.inputs[1] ? e.reshape(c.inputs[1], []) : c.scalar("i64", 0);
    return c.add("trilu", [c.input(0), k], { upper: c.int("upper", 1) !== 0 });
  },
});

const eyeLike = defineOnnxOp({
  name: "EyeLike",
  import(c) {
    const [rows, columns] = shapeOf(c, c.input(0)) as [number, number];
    if (columns === undefined || shapeOf(c, c.input(0)).length !== 2) c.bad(`shape [${shapeOf(c, c.input(0))}], expected a matrix`);
    const type = c.attribute("dtype") ? c.int("dtype") : undefined;
    const dtype = type === undefined ? c.input(0).type.dtype : dtypeNumbered(c, type);
    const k = c.int("k", 0);
    const e = composer(c.b, c.loc);
    return e.cast(e.op("eq", [e.op("add", [e.positions(rows, 0, 2), k]), e.positions(columns, 1, 2)]), dtype);
  },
});

const reverseSequence = defineOnnxOp({
  name: "ReverseSequence",
  import: (c) => c.add("reverse_sequence", [c.input(0), c.input(1)], { batch: c.int("batch_axis", 1), time: c.int("time_axis", 0) }),
});

const tensorScatter = defineOnnxOp({
  name: "TensorScatter",
  import(c) {
    const shape = shapeOf(c, c.input(0));
    const mode = c.string("mode", "linear");
    if (mode !== "linear" && mode !== "circular") c.bad(`mode '${mode}'`);
    const at = c.inputs[2] ?? composer(c.b, c.loc).fill("i64", [shape[0]!], 0);
    return c.add("tensor_scatter", [c.input(0), c.input(1), at], {
      axis: axisOf(c, c.int("axis", -2), shape.length),
      circular: mode === "circular",
    });
  },
});

export const arrangementTable = [depthToSpace, spaceToDepth, centerCropPad, trilu, eyeLike, reverseSequence, tensorScatter] as const;
