// Reads the text form of a graph back. `parse(print(g))` prints the same text.

import { errors } from "./diagnostics.ts";
import { type DType, isDType } from "./dtype.ts";
import { type Graph, GraphBuilder, type Value } from "./graph.ts";
import type { Attr, OpSet } from "./op.ts";
import { toF16 } from "./scalar/f16.ts";
import { elementCount, tensorOf } from "./tensor.ts";
import { type Dim, type TensorType, typeToString } from "./types.ts";
import { type WeightStore, weightStore } from "./weights.ts";

const TOKEN =
  /\s+|\/\/[^\n]*|("(?:[^"\\]|\\.)*")|(%[\w.]+)|(@[\w.]+)|(-?(?:inf|nan)\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?n?)|([A-Za-z_][\w.-]*)|(<=|[(){}[\],:=])/gy;

interface Token {
  readonly text: string;
  readonly line: number;
  readonly kind: "string" | "value" | "name" | "number" | "word" | "mark" | "end";
}
const KINDS = ["string", "value", "name", "number", "word", "mark"] as const;

function tokenize(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const m = TOKEN.exec(text);
    if (!m) throw errors.parse(`unexpected '${text[at]}'`, { file, name: "", line });
    const group = m.slice(1).findIndex((g) => g !== undefined);
    if (group >= 0) tokens.push({ text: m[0], line, kind: KINDS[group]! });
    line += m[0].split("\n").length - 1;
  }
  tokens.push({ text: "the end", line, kind: "end" });
  return tokens;
}

const number = (text: string): number | bigint => {
  if (text.endsWith("n") && !text.endsWith("nan")) return BigInt(text.slice(0, -1));
  if (text.endsWith("inf")) return text.startsWith("-") ? -Infinity : Infinity;
  return text.endsWith("nan") ? Number.NaN : Number(text);
};

class Parser {
  readonly #tokens: readonly Token[];
  readonly #file: string;
  readonly #ops: OpSet;
  readonly #weights: WeightStore;
  #at = 0;

  constructor(text: string, ops: OpSet, weights: WeightStore, file: string) {
    this.#tokens = tokenize(text, file);
    this.#file = file;
    this.#ops = ops;
    this.#weights = weights;
  }

  #peek = (): Token => this.#tokens[this.#at]!;
  #next = (): Token => this.#tokens[this.#at++]!;
  #fail(why: string, token = this.#peek()): never {
    throw errors.parse(why, { file: this.#file, name: token.text, line: token.line });
  }
  #accept(text: string): boolean {
    if (this.#peek().text !== text || this.#peek().kind === "string") return false;
    this.#at++;
    return true;
  }
  #expect(text: string): void {
    if (!this.#accept(text)) this.#fail(`expected '${text}', found '${this.#peek().text}'`);
  }
  #kind(kind: Token["kind"]): string {
    if (this.#peek().kind !== kind) this.#fail(`expected a ${kind}, found '${this.#peek().text}'`);
    return this.#next().text;
  }
  #list<T>(end: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.#accept(end)) {
      if (items.length > 0) this.#expect(",");
      items.push(item());
    }
    return items;
  }

  #type(scope: ReadonlyMap<string, Value>): TensorType {
    const dtype = this.#kind("word");
    if (!isDType(dtype)) this.#fail(`'${dtype}' is not an element type`);
    this.#expect("[");
    const shape = this.#list("]", (): Dim => {
      if (this.#peek().kind !== "value") return Number(this.#kind("number"));
      const value = this.#use(scope);
      this.#expect("<=");
      return { value, max: Number(this.#kind("number")) };
    });
    return this.#accept("as") ? { dtype, shape, layout: this.#kind("word") } : { dtype, shape };
  }

  #use(scope: ReadonlyMap<string, Value>): Value {
    const token = this.#peek();
    return scope.get(this.#kind("value")) ?? this.#fail(`'${token.text}' is not defined`, token);
  }

  #attr(): Attr {
    const token = this.#peek();
    if (this.#accept("[")) return this.#list("]", () => this.#attr());
    if (token.text === "graph") return this.graph(false);
    this.#at++;
    if (token.kind === "string") return JSON.parse(token.text) as string;
    if (token.kind === "number") return number(token.text);
    if (token.text === "true" || token.text === "false") return token.text === "true";
    return this.#fail(`'${token.text}' is not an attribute value`, token);
  }

  #attrs(): Record<string, Attr> {
    const attrs = Object.create(null) as Record<string, Attr>;
    if (!this.#accept("{")) return attrs;
    this.#list("}", () => {
      const key = this.#kind("word");
      this.#expect(":");
      attrs[key] = this.#attr();
    });
    return attrs;
  }

  /** A constant's type is declared, not inferred: its bytes hold no shape. */
  #constant(attrs: Record<string, Attr>, type: TensorType): Record<string, Attr> {
    const shape = type.shape as readonly number[];
    const values = attrs.data as readonly number[] | undefined;
    if (!values && typeof attrs.ref !== "string") this.#fail("const needs `data` or `ref`");
    if (values && values.length !== elementCount(shape)) this.#fail(`${values.length} values for ${typeToString(type)}`);
    const ref = values ? this.#weights.put(tensorOf(type.dtype, shape, type.dtype === "f16" ? values.map(toF16) : values)) : attrs.ref!;
    return { ref, dtype: type.dtype, shape, ...(type.layout ? { layout: type.layout } : {}) };
  }

  #statement(b: GraphBuilder, scope: Map<string, Value>): void {
    const line = this.#peek().line;
    const names = [this.#kind("value")];
    while (this.#accept(",")) names.push(this.#kind("value"));
    this.#expect("=");
    const op = this.#kind("word");
    this.#expect("(");
    const inputs = this.#list(")", () => this.#use(scope));
    const attrs = this.#attrs();
    this.#expect(":");
    const types = [this.#type(scope)];
    while (this.#accept(",")) types.push(this.#type(scope));
    const loc = { file: this.#file, name: names[0]!, line };
    const node = b.add(op, inputs, op === "const" ? this.#constant(attrs, types[0]!) : attrs, loc);
    const show = (list: readonly TensorType[]) => list.map((t) => typeToString(t)).join(", ");
    if (show(types) !== show(node.results.map((r) => r.type))) {
      throw errors.parse(`declared ${show(types)}, inferred ${show(node.results.map((r) => r.type))}`, loc);
    }
    if (names.length !== node.results.length) throw errors.parse(`${names.length} names for ${node.results.length} results`, loc);
    names.forEach((name, i) => scope.set(name, node.results[i]!));
  }

  graph(top = true): Graph {
    this.#expect("graph");
    let name = "region";
    if (top)
      name =
        this.#peek().kind === "name" ? this.#next().text.slice(1) : this.#peek().kind === "mark" ? "main" : this.#fail("expected '@name'");
    const b = new GraphBuilder(this.#ops, this.#weights);
    const scope = new Map<string, Value>();
    this.#expect("(");
    const params = this.#list(")", () => {
      const variable = this.#kind("value");
      const label = this.#peek().kind === "string" ? (JSON.parse(this.#next().text) as string) : variable.slice(1);
      this.#expect(":");
      const type = this.#type(scope);
      const p = b.param(label, type.dtype as DType, type.shape as readonly number[]);
      scope.set(variable, p);
      return p;
    });
    this.#expect("{");
    while (!this.#accept("return")) this.#statement(b, scope);
    const outputs = [this.#use(scope)];
    while (this.#accept(",")) outputs.push(this.#use(scope));
    this.#expect("}");
    return { ops: this.#ops, name, params, outputs, weights: this.#weights };
  }

  end(): void {
    if (this.#peek().kind !== "end") this.#fail(`expected the end, found '${this.#peek().text}'`);
  }
}

/** Reads one graph. Errors: `parse` with file and line; whatever building a node raises. */
export function parse(text: string, ops: OpSet, options: { readonly file?: string; readonly weights?: WeightStore } = {}): Graph {
  const parser = new Parser(text, ops, options.weights ?? weightStore(), options.file ?? "<text>");
  const g = parser.graph();
  parser.end();
  return g;
}
