// The generic text form of a graph, one for every operator. `parse` reads it back to the same text.

import type { Graph, Value } from "./graph.ts";
import { topological } from "./graph.ts";
import type { Attr, Attrs } from "./op.ts";
import { fromF16 } from "./scalar/f16.ts";
import { elementCount, type Tensor } from "./tensor.ts";
import { typeToString } from "./types.ts";

export interface PrintOptions {
  /** Adds where each node came from as a comment. */
  readonly locs?: boolean;
}

/** Constants up to this many elements are spelled out; larger ones are a reference into the weight store. */
const INLINE = 16;

const number = (x: number): string =>
  Object.is(x, -0) ? "-0" : Number.isNaN(x) ? "nan" : x === Infinity ? "inf" : x === -Infinity ? "-inf" : String(x);

function data(t: Tensor): string {
  const values = Array.from(t.data as ArrayLike<number | bigint>, (x) =>
    typeof x === "bigint" ? (Number.isSafeInteger(Number(x)) ? String(x) : `${x}n`) : number(t.dtype === "f16" ? fromF16(x) : x),
  );
  return `[${values.join(", ")}]`;
}

/** Only the NaN that arithmetic makes can be spelled; other NaN payloads stay references. */
const spellable = (t: Tensor): boolean =>
  elementCount(t.shape) <= INLINE && !(t.dtype === "f16" && Array.from(t.data as Uint16Array).some((h) => (h & 0x7fff) > 0x7c00));

class Printer {
  readonly #names = new Map<Value, string>();
  readonly #options: PrintOptions;
  #next = 0;

  constructor(options: PrintOptions) {
    this.#options = options;
  }

  #name(v: Value): string {
    return this.#names.get(v) ?? "%?";
  }

  #attr(a: Attr, indent: string): string {
    if (typeof a === "number") return number(a);
    if (typeof a === "bigint") return `${a}n`;
    if (typeof a === "string") return JSON.stringify(a);
    if (typeof a === "boolean") return String(a);
    if (Array.isArray(a)) return `[${(a as readonly Attr[]).map((x) => this.#attr(x, indent)).join(", ")}]`;
    return new Printer(this.#options).graph(a as Graph, `${indent}  `, false);
  }

  #attrs(op: string, attrs: Attrs, g: Graph, indent: string): string {
    const parts: string[] = [];
    for (const key of Object.keys(attrs).sort()) {
      if (op === "const" && (key === "dtype" || key === "shape" || key === "layout")) continue;
      if (op === "const" && key === "ref") {
        const t = g.weights.get(attrs.ref as string);
        parts.push(spellable(t) ? `data: ${data(t)}` : `ref: ${JSON.stringify(attrs.ref)}`);
      } else parts.push(`${key}: ${this.#attr(attrs[key]!, indent)}`);
    }
    return parts.length === 0 ? "" : ` {${parts.join(", ")}}`;
  }

  graph(g: Graph, indent = "", top = true): string {
    const type = (v: Value) => typeToString(v.type, (n) => this.#name(n));
    const taken = new Set<string>();
    for (const p of g.params) {
      let name = `%${String(p.node.attrs.name).replace(/[^A-Za-z0-9_.]/g, "_") || "arg"}`;
      if (/^%\d/.test(name) || taken.has(name)) name = `%arg${taken.size}`;
      taken.add(name);
      this.#names.set(p, name);
    }
    const lines: string[] = [];
    for (const n of topological(g.outputs)) {
      if (n.op === "param") continue;
      for (const r of n.results) this.#names.set(r, `%${this.#next++}`);
      const names = n.results.map((r) => this.#name(r)).join(", ");
      const args = n.inputs.map((v) => this.#name(v)).join(", ");
      const loc = this.#options.locs && n.locs.length > 0 ? `  // ${n.locs.map((l) => l.name).join(", ")}` : "";
      lines.push(
        `${indent}  ${names} = ${n.op}(${args})${this.#attrs(n.op, n.attrs, g, `${indent}  `)} : ${n.results.map(type).join(", ")}${loc}`,
      );
    }
    const params = g.params.map((p) => {
      const [name, label] = [this.#name(p), String(p.node.attrs.name)];
      return `${name}${name === `%${label}` ? "" : ` ${JSON.stringify(label)}`}: ${type(p)}`;
    });
    const head = top ? `graph @${g.name.replace(/[^\w.]/g, "_") || "main"}` : "graph ";
    return [
      `${head}(${params.join(", ")}) {`,
      ...lines,
      `${indent}  return ${g.outputs.map((o) => this.#name(o)).join(", ")}`,
      `${indent}}`,
    ].join("\n");
  }
}

export const print = (g: Graph, options: PrintOptions = {}): string => `${new Printer(options).graph(g)}\n`;
