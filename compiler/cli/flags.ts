// Reads a command's flags strictly: an unknown flag, or one value too many, is wrong usage. citty describes them; it forgives too much.

import { parseArgs } from "node:util";
import type { ArgsDef } from "citty";
import { SparsecError } from "../../ir/diagnostics.ts";

export interface Flags {
  readonly positionals: readonly string[];
  /** The value of a flag that is given once at most. */
  one(name: string): string | undefined;
  /** All values of a flag, in order. */
  all(name: string): readonly string[];
  /** All values of a flag, each a comma-separated list. */
  list(name: string): readonly string[];
  /** Whether a switch is on, or undefined where it is not given. */
  is(name: string): boolean | undefined;
}

/** Wrong usage: the command line, not the model, is at fault. */
export const usage = (why: string, hint?: string): SparsecError => new SparsecError("usage", why, undefined, hint);

const aliases = (a: ArgsDef[string]): readonly string[] => ("alias" in a && a.alias !== undefined ? [a.alias].flat() : []);

/** The values of a command's flags. Errors: `usage`. */
export function parseFlags(args: ArgsDef, raw: readonly string[]): Flags {
  const named = Object.entries(args).filter(([, a]) => a.type !== "positional");
  const positional = Object.keys(args).filter((name) => args[name]!.type === "positional");
  const options = Object.fromEntries(
    named.map(([name, a]) => {
      const short = aliases(a).find((s) => s.length === 1);
      return [name, { type: a.type === "boolean" ? "boolean" : "string", multiple: true, ...(short ? { short } : {}) } as const];
    }),
  );
  let values: Readonly<Record<string, readonly (string | boolean)[] | undefined>>;
  let positionals: readonly string[];
  try {
    const parsed = parseArgs({ args: [...raw], options, allowPositionals: true, allowNegative: true, strict: true });
    ({ positionals } = parsed);
    values = parsed.values as typeof values;
  } catch (e) {
    const why = (e as Error).message.split(". To specify")[0]!.replace(/\.$/, "");
    throw usage(why, `flags: ${named.map(([name]) => `--${name}`).join(", ")}`);
  }
  for (const [k, name] of positional.entries())
    if (positionals[k] === undefined && args[name]!.required !== false) throw usage(`no ${name} was given: ${args[name]!.description}`);
  // One that may be absent, the last, takes any number.
  const open = args[positional.at(-1) ?? ""]?.required === false;
  if (!open && positionals.length > positional.length)
    throw usage(`'${positionals[positional.length]}' is one argument too many`, `expected: ${positional.join(" ") || "none"}`);
  const strings = (name: string): readonly string[] => (values[name] ?? []) as readonly string[];
  for (const [name, a] of named) {
    const wrong = "options" in a && a.options ? strings(name).find((v) => !a.options!.includes(v)) : undefined;
    if (wrong !== undefined) throw usage(`--${name} is '${wrong}'`, `one of ${(a as { options: string[] }).options.join(", ")}`);
  }
  return {
    positionals,
    one(name) {
      const given = strings(name);
      if (given.length > 1) throw usage(`--${name} was given ${given.length} times`);
      return given[0];
    },
    all: strings,
    list: (name) =>
      strings(name)
        .flatMap((s) => s.split(","))
        .filter((s) => s !== ""),
    is: (name) => values[name]?.at(-1) as boolean | undefined,
  };
}

/** `name=value`, split at the first `=` that leaves a name; names of models may hold anything else. */
export function pair(flag: string, text: string): readonly [name: string, value: string] {
  const at = text.lastIndexOf("=");
  if (at < 1) throw usage(`--${flag} is '${text}', and name=value is expected`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/** An integer of at least `least`. */
export function integer(flag: string, text: string, least = 0): number {
  const n = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(n) || n < least)
    throw usage(`--${flag} is '${text}', and an integer >= ${least} is expected`);
  return n;
}

/** A number of threads, or as many as there are cores. */
export function threadsOf(flags: Flags): number | "auto" {
  const text = flags.one("threads") ?? "1";
  return text === "auto" ? text : integer("threads", text, 1);
}

/** `1x3x224x224` or `1,3,224,224`; nothing for a scalar. */
export const shape = (flag: string, text: string): readonly number[] =>
  text === "" ? [] : text.split(/[x,]/).map((d) => integer(flag, d));
