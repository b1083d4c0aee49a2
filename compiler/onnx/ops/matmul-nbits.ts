// onnxruntime's product with weights of 4 or 8 bits in blocks along what is summed over: as a dequantized constant, like any other.

import type { Value } from "../../../ir/graph.ts";
import { elementCount } from "../../../ir/tensor.ts";
import { isStatic, typeToString } from "../../../ir/types.ts";
import { fitsBlocks } from "../../rules/block-products.ts";
import { ROW_BLOCK, ROW_LIMITS, roundedRows } from "../../rules/row-blocks.ts";
import { shapeOf } from "../axis.ts";
import { defineOnnxOp, type ImportContext, type OnnxOp } from "../op.ts";
import { scaleOf } from "../steps.ts";
import { castTo } from "../widen.ts";

interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly block: number;
  /** Blocks of a row. */
  readonly blocks: number;
}

function layoutOf(c: ImportContext): Layout {
  const [columns, rows, bits, block] = [c.int("K"), c.int("N"), c.int("bits", 4), c.int("block_size")];
  if (bits !== 4 && bits !== 8) c.unsupported(`weights of ${bits} bits; 4 and 8 are supported`);
  // onnxruntime's own rule: blocks fill whole bytes, and shifts find them.
  if (!(block >= 16) || (block & (block - 1)) !== 0) c.bad(`attribute 'block_size' is ${block}, and a power of two from 16 on is expected`);
  if (!(columns > 0 && rows > 0)) c.bad(`attributes 'K' and 'N' are ${columns} and ${rows}`);
  return { rows, columns, bits: bits as 4 | 8, block, blocks: Math.ceil(columns / block) };
}

/** The bytes of operand `k`, of which there must be `count`. Errors: `bad-model`, `unsupported` where they are not known yet. */
function bytesOf(c: ImportContext, k: number, count: number): Uint8Array {
  const v = c.input(k);
  const what = `operand ${k} (${JSON.stringify(c.node.inputs[k])}) is ${typeToString(v.type)}`;
  const t = c.constantOf(v) ?? c.unsupported(`${what}, and a constant is expected`);
  if (t.dtype !== "u8") return c.unsupported(`${what}, and u8 is expected`);
  if (t.data.length !== count) c.bad(`${what}, and K, N, bits and block_size make ${count} elements of it`);
  return t.data as Uint8Array;
}

/** Integer `i` of packed ones, the lowest bits first. */
const unpacked = (bytes: Uint8Array, i: number, bits: 4 | 8): number => (bits === 8 ? bytes[i]! : (bytes[i >> 1]! >> (4 * (i & 1))) & 15);

/** Zero points by row and block; undefined where all are the middle of the levels. */
function zerosOf(c: ImportContext, { rows, bits, blocks }: Layout): ((row: number, block: number) => number) | undefined {
  const given = c.inputs[3];
  if (!given) return undefined;
  const stride = Math.ceil((blocks * bits) / 8) * (8 / bits);
  const bytes = bytesOf(c, 3, (rows * stride * bits) / 8);
  const at = (row: number, block: number): number => unpacked(bytes, row * stride + block, bits);
  const middle = 2 ** (bits - 1);
  for (let r = 0; r < rows; r++) for (let b = 0; b < blocks; b++) if (at(r, b) !== middle) return at;
  return undefined;
}

/** The weights [K, N]: signed where zero is the middle of the levels, else unsigned with zero points. */
function weightsOf(c: ImportContext, layout: Layout): Value {
  const { rows, columns, bits, block, blocks } = layout;
  const bytes = bytesOf(c, 1, (rows * blocks * block * bits) / 8);
  const scale = scaleOf(c, 2);
  if (elementCount(shapeOf(c, scale)) !== rows * blocks)
    c.bad(`scale ${JSON.stringify(c.node.inputs[2])} is ${typeToString(scale.type)}, and there are ${rows} rows of ${blocks} blocks`);
  const scales = c.add("transpose", [c.add("reshape", [scale], { shape: [rows, blocks] })], { perm: [1, 0] });
  const zeros = zerosOf(c, layout);
  const middle = zeros ? 0 : 2 ** (bits - 1);
  const data = zeros ? new Uint8Array(rows * columns) : new Int8Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let k = 0; k < columns; k++) data[k * rows + r] = unpacked(bytes, r * blocks * block + k, bits) - middle;
  const dtype = zeros ? (bits === 4 ? "u4" : "u8") : bits === 4 ? "i4" : "i8";
  const operands = [c.constant({ dtype, shape: [columns, rows], data }), scales];
  if (zeros) {
    const points = Uint8Array.from({ length: rows * blocks }, (_, i) => zeros(i % rows, Math.floor(i / rows)));
    operands.push(c.constant({ dtype, shape: [blocks, rows], data: points }));
  }
  return c.add("dequantize", operands, { axis: 0, block });
}

/** Whether the columns are in order, as `g_idx` says of which block each is. */
function inOrder(c: ImportContext, { columns, block }: Layout): boolean {
  const order = c.inputs[4] && c.constantOf(c.inputs[4]);
  if (!c.inputs[4]) return true;
  return order?.data.length === columns && order.data.every((g: number | bigint, k: number) => Number(g) === Math.floor(k / block));
}

/** What `accuracy_level` says where activations may be rounded to 8 bits. */
const ROUNDED = 4;

/** The product; of few rows by 4 bits, with activations rounded in blocks where the model allows it. 8 bits would take fewer of theirs. */
function productOf(c: ImportContext, x: Value, w: Value, { rows, columns, bits }: Layout): Value {
  const extents = isStatic(x.type) ? (x.type.shape as readonly number[]) : undefined;
  const count = extents ? elementCount(extents) / columns : 0;
  if (bits !== 4 || c.int("accuracy_level", 0) !== ROUNDED || x.type.dtype !== "f32" || !extents || !fitsBlocks(count, columns, rows))
    return c.add("matmul", [x, w]);
  const flat = roundedRows(c.b, c.add("reshape", [x], { shape: [count, columns] }), { block: ROW_BLOCK, limit: ROW_LIMITS[bits] });
  return c.add("reshape", [c.add("matmul", [flat, w])], { shape: [...extents.slice(0, -1), rows] });
}

const matMulNBits = defineOnnxOp({
  name: "com.microsoft:MatMulNBits",
  import(c) {
    const layout = layoutOf(c);
    const x = c.input(0);
    if (x.type.shape.at(-1) !== layout.columns) c.bad(`the activation is ${typeToString(x.type)}, and K is ${layout.columns}`);
    if (!inOrder(c, layout)) c.unsupported("columns in an order of their own (g_idx)");
    const product = productOf(c, x, castTo(c, weightsOf(c, layout), x.type.dtype), layout);
    return c.inputs[5] ? c.add("add", [product, c.inputs[5]]) : product;
  },
});

export const matMulNBitsTable: readonly OnnxOp[] = [matMulNBits];
