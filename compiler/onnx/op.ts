// What the import of one ONNX operator is: a value in a table, from a node and its operands to values of the tensor IR.

import type { Loc } from "../../ir/diagnostics.ts";
import type { DType } from "../../ir/dtype.ts";
import type { Graph, GraphBuilder, Value } from "../../ir/graph.ts";
import type { Tensor } from "../../ir/tensor.ts";
import type { TensorType } from "../../ir/types.ts";
import type { OnnxAttribute, OnnxNode } from "./proto/model.ts";

/** A subgraph closed over its surroundings. */
export interface Region {
  /** Its parameters: those asked for, then one for each of `captures`. */
  readonly graph: Graph;
  /** The outer values that it uses. */
  readonly captures: readonly Value[];
}

/** What an operator's import sees. Every failure is a coded error that names file, node and operator. */
export interface ImportContext {
  readonly b: GraphBuilder;
  readonly node: OnnxNode;
  /** Version of the node's operator set. */
  readonly opset: number;
  readonly loc: Loc;
  /** Operands; undefined where an optional one is absent. */
  readonly inputs: readonly (Value | undefined)[];
  /** How many outputs the node names (trailing absent ones not counted); `wants(k)` whether output k is named. */
  readonly outputs: number;
  wants(k: number): boolean;
  /** Operand `k`, or the error `bad-model` when it is absent. */
  input(k: number): Value;
  attribute(name: string): OnnxAttribute | undefined;
  int(name: string, otherwise?: number): number;
  float(name: string, otherwise?: number): number;
  string(name: string, otherwise?: string): string;
  ints(name: string, otherwise?: readonly number[]): readonly number[];
  floats(name: string, otherwise?: readonly number[]): readonly number[];
  tensor(name: string): Tensor | undefined;
  /** Imports a graph attribute as a closed region: `captures` are the outer values that it uses, appended to its parameters. */
  region(name: string, params: readonly TensorType[]): Region;
  /** Imports a graph attribute in place, with values for its inputs; gives its outputs. */
  inline(name: string, inputs: readonly Value[]): readonly Value[];
  /** The value's tensor when it hangs on constants only (evaluated now), else undefined. */
  constantOf(v: Value | undefined): Tensor | undefined;
  /** Operand `k` as a tensor known now; else `needs-constant`, which lists all the inputs to bind. */
  known(k: number): Tensor;
  /** Elements of operand `k`, known now, as numbers; `otherwise` when it is absent. */
  numbers(k: number, otherwise?: readonly number[]): readonly number[];
  /**
   * Notes that the value of `v` decides shapes and must be bound: the import goes on, to find all such values, and then ends in
   * `needs-constant`. Raises `dynamic-shape` with `why` where `v` hangs on no input.
   */
  needs(v: Value, why: string): void;
  constant(t: Tensor): Value;
  /** A scalar constant of rank 0. */
  scalar(dtype: DType, value: number | bigint): Value;
  /** Shorthand for `b.value(op, inputs, attrs, loc)`. */
  add(op: string, inputs: readonly Value[], attrs?: Parameters<GraphBuilder["add"]>[2]): Value;
  /** Tells the user something, once. */
  note(what: string): void;
  /** Raises `unsupported`: the operator's use is legal, but not built here; says what and why. */
  unsupported(why: string): never;
  /** Raises `bad-model`: the node is not legal ONNX. */
  bad(why: string): never;
}

export interface OnnxOp {
  /** `Conv`, or `domain:Name` outside the default domain. */
  readonly name: string;
  /** Operands that decide shapes: their values must be known when compiling. */
  readonly shapeOperands?: readonly number[];
  /** One value per output, or one for a single output; undefined for outputs that the node does not want. */
  import(c: ImportContext): Value | readonly (Value | undefined)[];
}

/** Identity at run time; checks at compile time. */
export const defineOnnxOp = (op: OnnxOp): OnnxOp => op;
