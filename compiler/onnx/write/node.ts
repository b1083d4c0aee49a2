// What a writer of one of our operators is given, and what it may say in ONNX.

import type { Node } from "../../../ir/graph.ts";
import type { Tensor } from "../../../ir/tensor.ts";
import type { AttributeInit } from "../proto/encode.ts";

export interface WriteContext {
  readonly node: Node;
  /** Names of its operands. */
  readonly inputs: readonly string[];
  /** Version of the default operator set that is written. */
  readonly opset: number;
  /** A node with one result, which it names: the result of the operator where it is the last. */
  add(op: string, inputs: readonly string[], attributes?: Readonly<Record<string, AttributeInit>>): string;
  /** The name of a constant. */
  constant(t: Tensor): string;
  /** Raises `unsupported`. */
  unsupported(why: string): never;
}

/** How an operator is written. */
export interface Writer {
  /** The first version of the default operator set that can say it. */
  readonly since: (node: Node) => number;
  write(c: WriteContext): void;
}

export const numbers = (c: WriteContext, name: string): readonly number[] => c.node.attrs[name] as readonly number[];
export const number = (c: WriteContext, name: string): number => c.node.attrs[name] as number;

/** Integers as a constant operand: shapes, axes. */
export const integers = (c: WriteContext, values: readonly number[]): string =>
  c.constant({ dtype: "i64", shape: [values.length], data: BigInt64Array.from(values, BigInt) });
