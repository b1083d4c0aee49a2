// Cases for the operators that are not elementwise, family by family.

import type { DType } from "../../ir/dtype.ts";
import type { Value } from "../../ir/graph.ts";
import type { ConformanceCase, Sketch } from "./sketch.ts";

const same = (...names: readonly string[]): readonly ConformanceCase[] =>
  names.map((op) => ({
    name: `composite ${op}`,
    build: (s) => [s.op(op, [s.input("f32", [2, 3, 9])], { axis: 2 }), s.op(op, [s.input("f32", [4, 5])], { axis: 0 })],
  }));

const reduce = (s: Sketch, op: string, dtype: DType) => [
  s.op("reduce", [s.input(dtype, [3, 5, 9])], { op, axes: [2], keepdims: false }),
  s.op("reduce", [s.input(dtype, [3, 5, 6])], { op, axes: [0, 2], keepdims: true }),
  s.op("reduce", [s.input(dtype, [21])], { op, axes: [0], keepdims: false }),
];

const reductions: readonly ConformanceCase[] = [
  ...(["f32", "f64", "f16", "i32", "u32", "i64", "u8"] as const).map((dtype) => ({
    name: `reduce ${dtype}`,
    dtype,
    build: (s: Sketch) => ["sum", "prod", "min", "max"].flatMap((op) => reduce(s, op, dtype)),
  })),
  { name: "reduce bool", build: (s) => ["and", "or"].flatMap((op) => reduce(s, op, "bool")) },
  {
    name: "arg_reduce",
    build: (s) =>
      ["argmin", "argmax", "argmin_last", "argmax_last"].flatMap((op) => [
        s.op("arg_reduce", [s.input("f32", [4, 11])], { op, axis: 1, keepdims: false }),
        s.op("arg_reduce", [s.input("i32", [7, 3])], { op, axis: 0, keepdims: true }),
      ]),
  },
];

const window = { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] };

const products: readonly ConformanceCase[] = [
  {
    name: "matmul",
    build: (s) => [
      s.op("matmul", [s.input("f32", [5, 6]), s.input("f32", [6, 7])]),
      s.op("matmul", [s.input("f32", [2, 1, 3, 8]), s.input("f32", [4, 8, 16])]),
      ...(s.types.includes("f64") ? [s.op("matmul", [s.input("f64", [3, 4]), s.input("f64", [4, 5])])] : []),
      s.op("matmul", [s.input("i32", [3, 4]), s.input("i32", [4, 5])]),
    ],
  },
  {
    name: "matmul with weights, bias and activation",
    build(s) {
      const product = s.op("matmul", [s.input("f32", [9, 24]), s.weight("f32", [24, 20])]);
      return [s.op("relu", [s.op("add", [product, s.weight("f32", [20])])])];
    },
  },
  {
    name: "conv",
    build: (s) => [
      s.op("conv", [s.input("f32", [2, 3, 9, 10]), s.weight("f32", [8, 3, 3, 3]), s.weight("f32", [8])], {
        ...window,
        group: 1,
        pads: [1, 1, 1, 1],
      }),
      s.op("conv", [s.input("f32", [1, 8, 6, 6]), s.weight("f32", [12, 8, 1, 1])], { ...window, group: 1 }),
    ],
  },
  {
    name: "conv strided and dilated",
    build: (s) => [
      s.op("conv", [s.input("f32", [1, 4, 11, 10]), s.weight("f32", [6, 4, 3, 3])], {
        ...window,
        group: 1,
        strides: [2, 2],
        pads: [1, 0, 0, 1],
      }),
      s.op("conv", [s.input("f32", [1, 4, 11, 10]), s.weight("f32", [6, 4, 3, 2])], { ...window, group: 1, dilations: [2, 3] }),
    ],
  },
  {
    name: "conv grouped",
    build: (s) => [
      s.op("conv", [s.input("f32", [1, 6, 7, 7]), s.weight("f32", [4, 3, 3, 3])], { ...window, group: 2 }),
      s.op("conv", [s.input("f32", [1, 8, 7, 9]), s.weight("f32", [8, 1, 3, 3])], { ...window, group: 8, pads: [1, 1, 1, 1] }),
    ],
  },
  {
    name: "conv of one and three spatial axes",
    build: (s) => [
      s.op("conv", [s.input("f32", [2, 3, 13]), s.weight("f32", [4, 3, 5])], { group: 1, strides: [2], dilations: [1], pads: [2, 2] }),
      s.op("conv", [s.input("f32", [1, 2, 4, 5, 6]), s.weight("f32", [3, 2, 2, 2, 2])], {
        group: 1,
        strides: [1, 1, 1],
        dilations: [1, 1, 1],
        pads: [0, 0, 0, 0, 0, 0],
      }),
    ],
  },
  {
    name: "conv with weights known at run time",
    build: (s) => [s.op("conv", [s.input("f32", [1, 3, 6, 7]), s.input("f32", [5, 3, 3, 3])], { ...window, group: 1 })],
  },
  {
    name: "conv_transpose",
    build: (s) => [
      s.op("conv_transpose", [s.input("f32", [1, 4, 5, 6]), s.weight("f32", [4, 3, 3, 3])], {
        ...window,
        group: 1,
        strides: [2, 2],
        pads: [1, 1, 1, 1],
        output_padding: [1, 0],
      }),
    ],
  },
  {
    name: "einsum",
    build: (s) => [s.op("einsum", [s.input("f32", [2, 3, 4]), s.input("f32", [4, 5])], { inputs: ["bij", "jk"], output: "bik" })],
  },
  {
    name: "pool",
    build: (s) =>
      ["max", "avg"].flatMap((op) => [
        s.op("pool", [s.input("f32", [1, 3, 8, 9])], {
          ...window,
          op,
          kernel: [2, 2],
          strides: [2, 2],
          shape: [4, 4],
          count_include_pad: false,
        }),
        s.op("pool", [s.input("f32", [2, 2, 7, 7])], {
          ...window,
          op,
          kernel: [3, 3],
          pads: [1, 1, 1, 1],
          shape: [7, 7],
          count_include_pad: false,
        }),
      ]),
  },
];

const movement: readonly ConformanceCase[] = [
  {
    name: "reshape, transpose, slice",
    build(s) {
      const t = s.op("transpose", [s.input("f32", [3, 4, 5])], { perm: [2, 0, 1] });
      return [
        s.op("reshape", [t], { shape: [15, 4] }),
        s.op("slice", [s.input("i64", [5, 7])], { starts: [4, 1], steps: [-2, 3], shape: [3, 2] }),
        s.op("transpose", [s.input("u8", [4, 6])], { perm: [1, 0] }),
      ];
    },
  },
  {
    name: "concat, tile, expand, range",
    build: (s) => [
      s.op("concat", [s.input("f32", [2, 3]), s.input("f32", [2, 5]), s.input("f32", [2, 1])], { axis: 1 }),
      s.op("concat", [s.input("bool", [2, 3]), s.input("bool", [1, 3])], { axis: 0 }),
      s.op("tile", [s.input("i16", [2, 3])], { repeats: [2, 3] }),
      s.op("expand", [s.input("f16", [3, 1])], { shape: [2, 3, 4] }),
      s.op("range", [s.input("f32", []), s.input("f32", [])], { count: 9 }),
    ],
  },
  {
    name: "pad",
    build: (s) =>
      ["constant", "reflect", "edge", "wrap"].map((mode) => s.op("pad", [s.input("f32", [3, 5])], { mode, begins: [1, 2], ends: [0, 1] })),
  },
  {
    name: "gather",
    build: (s) => [
      s.op("gather", [s.input("f32", [5, 3]), s.input("i64", [4], [0, -1, 3, 2])], { axis: 0 }),
      s.op("gather", [s.input("f32", [2, 6]), s.input("i32", [2, 2], [5, 0, -2, 1])], { axis: 1 }),
      s.op("gather_elements", [s.input("f32", [3, 4]), s.input("i64", [3, 2], [0, 3, -1, 1, 2, 2])], { axis: 1 }),
      s.op("gather_nd", [s.input("f32", [3, 4, 2]), s.input("i64", [3, 2], [0, 1, 2, 3, 1, -1])], { batch_dims: 0 }),
    ],
  },
  {
    name: "gather outside is a fault",
    faults: true,
    build: (s) => [s.op("gather", [s.input("f32", [5, 3]), s.input("i64", [2], [0, 5])], { axis: 0 })],
  },
  {
    name: "scatter",
    build: (s) => [
      s.op("scatter_elements", [s.input("f32", [3, 4]), s.input("i64", [2, 2], [1, 3, 0, 2]), s.input("f32", [2, 2])], {
        axis: 1,
        reduction: "none",
      }),
      s.op("scatter_nd", [s.input("i32", [5, 2]), s.input("i64", [2, 1], [4, 1]), s.input("i32", [2, 2])], { reduction: "add" }),
    ],
  },
];

const composites: readonly ConformanceCase[] = [
  ...same("softmax", "log_softmax"),
  {
    name: "composite layer_norm",
    build: (s) => [
      s.op("layer_norm", [s.input("f32", [2, 5, 12]), s.weight("f32", [12]), s.weight("f32", [12])], { axis: 2, epsilon: 1e-5 }),
    ],
  },
  {
    name: "composite rms_norm",
    build: (s) => [s.op("rms_norm", [s.input("f32", [3, 10]), s.weight("f32", [10])], { axis: 1, epsilon: 1e-5 })],
  },
  {
    name: "composite instance_norm",
    build: (s) => [s.op("instance_norm", [s.input("f32", [2, 3, 5, 4]), s.weight("f32", [3]), s.weight("f32", [3])], { epsilon: 1e-5 })],
  },
];

const sorting: readonly ConformanceCase[] = [
  {
    name: "topk",
    build: (s) => [
      ...s.ops("topk", [s.input("f32", [3, 10])], { axis: 1, k: 4, largest: true, sorted: true }),
      ...s.ops("topk", [s.input("i64", [6, 2])], { axis: 0, k: 3, largest: false, sorted: true }),
    ],
  },
  {
    name: "cumulative",
    build: (s) => [
      s.op("cumulative", [s.input("f32", [3, 7])], { axis: 1, op: "sum", reverse: false, exclusive: false }),
      s.op("cumulative", [s.input("i32", [5, 2])], { axis: 0, op: "prod", reverse: true, exclusive: true }),
    ],
  },
  {
    name: "bounded extents",
    build(s) {
      const [places, count] = s.ops("nonzero", [s.input("i32", [4, 5])]) as [never, never];
      const [kept, left] = s.ops("compress", [s.input("f32", [3, 8]), s.input("bool", [8])], { axis: 1 }) as [never, never];
      const cut = s.op("bound", [kept, left], { axis: 1 });
      return [s.op("bound", [places, count], { axis: 1 }), cut, s.op("relu", [cut])];
    },
  },
  {
    name: "unique",
    build(s) {
      const [values, , inverse, , count] = s.ops("unique", [s.input("i64", [17])], { axis: 0, sorted: true }) as never[];
      return [s.op("bound", [values!, count!], { axis: 0 }), inverse!];
    },
  },
];

const quantized: readonly ConformanceCase[] = [
  {
    name: "quantize and dequantize",
    build: (s) =>
      (["i8", "u8", "i16", "i4"] as const).flatMap((to) => {
        const q = s.op("quantize", [s.input("f32", [3, 10]), s.constant("f32", [], [0.037]), s.constant(to, [], [to === "i4" ? 1 : 3])], {
          to,
          axis: 0,
          block: 0,
        });
        return [q, s.op("dequantize", [q, s.input("f32", [3], [0.5, 0.25, 2])], { axis: 0, block: 0 })];
      }),
  },
  {
    name: "products of whole rows by signed bytes",
    build: (s) => {
      const [x, scales] = [s.input("i32", [2, 40]), s.input("f32", [2, 1], [0.5, 0.25])];
      return [s.op("block_product", [x, scales, s.weight("i8", [12, 40]), s.weight("f32", [12, 1])], { block: 40, zero: 0, limit: 9 })];
    },
  },
  {
    name: "products of blocks of small integers",
    build: (s) =>
      (["u4", "u8"] as const).flatMap((of) => {
        const [x, scales] = [s.input("i8", [2, 64]), s.input("f32", [2, 2], [0.5, 0.25, 2, 1])];
        const product = (wide: number, attrs: object, ...zeros: readonly Value[]): Value =>
          s.op("block_product", [x, scales, s.weight(of, [12, 64]), s.weight("f32", [12, wide]), ...zeros], {
            block: 32,
            zero: 0,
            limit: 9,
            ...attrs,
          });
        return [product(1, { zero: 8 }), product(2, {}, s.weight(of, [12, 2])), product(2, {}, s.weight(of, [12, 1]))];
      }),
  },
];

const regions: readonly ConformanceCase[] = [
  {
    name: "if",
    build: (s) =>
      [1, 0].map((cond) => {
        const type = [["f32", [3, 5]]] as const;
        const then = s.region(type, (r, [x]) => [r.op("neg", [x!])]);
        const otherwise = s.region(type, (r, [x]) => [r.op("mul", [x!, x!])]);
        return s.op("if", [s.input("bool", [], [cond]), s.input("f32", [3, 5])], { then, else: otherwise });
      }),
  },
  {
    name: "loop",
    build(s) {
      const body = s.region(
        [
          ["i64", []],
          ["bool", []],
          ["f32", [4]],
          ["f32", [4]],
        ],
        (r, [, cond, state, step]) => [cond!, r.op("add", [state!, step!]), state!],
      );
      const operands = [s.input("i64", [], [3]), s.constant("bool", [], [1]), s.input("f32", [4]), s.input("f32", [4])];
      return s.ops("loop", operands, { body, state: 1, max: 6 });
    },
  },
];

const unstructured = (i: number): boolean => (i * 7919) % 11 === 0;

const sparse: readonly ConformanceCase[] = [
  {
    name: "sparse conv",
    build: (s) => [
      s.op("conv", [s.input("f32", [1, 16, 9, 10]), s.weight("f32", [24, 16, 3, 3], unstructured), s.weight("f32", [24])], {
        ...window,
        group: 1,
        pads: [1, 1, 1, 1],
      }),
      s.op("conv", [s.input("f32", [1, 32, 7, 7]), s.weight("f32", [16, 32, 1, 1], unstructured)], {
        ...window,
        group: 1,
        strides: [2, 2],
      }),
    ],
  },
  {
    name: "sparse matmul",
    build: (s) => [
      s.op("matmul", [s.input("f32", [50, 64]), s.weight("f32", [64, 48], unstructured)]),
      s.op("matmul", [s.input("f32", [1, 64]), s.weight("f32", [64, 128], unstructured)]),
      s.op("matmul", [s.weight("f32", [64, 48], unstructured), s.input("f32", [48, 20])]),
    ],
  },
  {
    name: "sparse blocks, rows, and nothing but zeros",
    build: (s) => [
      s.op("matmul", [s.input("f32", [20, 64]), s.weight("f32", [64, 32], (i) => (Math.floor(i / 32 / 4) * 5 + (i % 32)) % 7 === 0)]),
      s.op("conv", [s.input("f32", [1, 16, 6, 6]), s.weight("f32", [16, 16, 1, 1], (i) => Math.floor(i / 16) % 3 === 0)], {
        ...window,
        group: 1,
      }),
      s.op("conv", [s.input("f32", [1, 8, 6, 6]), s.weight("f32", [8, 8, 1, 1], () => false)], { ...window, group: 1 }),
    ],
  },
];

export const familyCases: readonly ConformanceCase[] = [
  ...reductions,
  ...products,
  ...movement,
  ...composites,
  ...sorting,
  ...quantized,
  ...regions,
  ...sparse,
];
