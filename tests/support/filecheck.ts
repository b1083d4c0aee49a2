// A pocket FileCheck: RUN, CHECK, CHECK-LABEL, CHECK-NEXT and CHECK-NOT in comments, with [[NAME:regex]], [[NAME]] and {{regex}}.

interface Directive {
  readonly kind: "" | "NEXT" | "NOT" | "LABEL";
  readonly pattern: string;
  readonly line: number;
}

const directives = (text: string): Directive[] =>
  text.split("\n").flatMap((line, i) => {
    const m = /\/\/ CHECK(?:-(NEXT|NOT|LABEL))?:\s*(.*?)\s*$/.exec(line);
    return m ? [{ kind: (m[1] ?? "") as Directive["kind"], pattern: m[2]!, line: i + 1 }] : [];
  });

/** The passes that a file asks for, in order. */
export const runLine = (text: string): readonly string[] => /\/\/ RUN:[ \t]*(.*)/.exec(text)?.[1]?.split(/\s+/).filter(Boolean) ?? [];

const literal = (s: string): string => s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+");

interface Compiled {
  readonly expression: RegExp;
  readonly captures: readonly string[];
}

/** `[[X:re]]` captures, `[[X]]` must be what was captured, `{{re}}` is a regular expression, all else is literal. */
function compile(pattern: string, captured: ReadonlyMap<string, string>): Compiled {
  const captures: string[] = [];
  const source = pattern
    .split(/(\[\[\w+(?::.*?)?\]\](?!\])|\{\{.*?\}\})/)
    .map((part) => {
      const m = /^\[\[(\w+)(?::(.*))?\]\]$/.exec(part);
      if (m?.[2] !== undefined) {
        captures.push(m[1]!);
        return `(${m[2]})`;
      }
      if (m) return `${literal(captured.get(m[1]!) ?? "\0never captured")}\\b`;
      return part.startsWith("{{") ? part.slice(2, -2) : literal(part);
    })
    .join("");
  return { expression: new RegExp(source), captures };
}

/** Throws, with the directive's line, when `output` is not what the directives in `source` ask for, or when there are none. */
export function filecheck(source: string, output: string): void {
  const lines = output.split("\n");
  const captured = new Map<string, string>();
  const all = directives(source);
  let at = 0;
  let absent: Directive[] = [];
  const fail = (d: Directive, why: string): never => {
    throw new Error(`line ${d.line}: CHECK${d.kind && `-${d.kind}`}: ${d.pattern}\n  ${why}\n--- output\n${output}`);
  };
  const checkAbsent = (end: number): void => {
    for (const d of absent) {
      const { expression } = compile(d.pattern, captured);
      const found = lines.slice(at, end).findIndex((l) => expression.test(l));
      if (found >= 0) fail(d, `is on output line ${at + found + 1}, and must be absent`);
    }
    absent = [];
  };
  if (!all.some((d) => d.kind !== "NOT")) throw new Error("no CHECK directive: the file tests nothing");
  for (const d of all) {
    if (d.kind === "NOT") {
      absent.push(d);
      continue;
    }
    const { expression, captures } = compile(d.pattern, captured);
    let i = at;
    while (i < lines.length && !expression.test(lines[i]!)) i++;
    if (i === lines.length) fail(d, `not found after output line ${at}`);
    if (d.kind === "NEXT" && i !== at) fail(d, `found on output line ${i + 1}, expected ${at + 1}`);
    checkAbsent(i);
    for (const [k, text] of expression.exec(lines[i]!)!.slice(1).entries()) captured.set(captures[k]!, text);
    at = i + 1;
  }
  checkAbsent(lines.length);
}
