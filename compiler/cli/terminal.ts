// Where a command writes: results to stdout, everything else to stderr, colours only for people.

import picocolors from "picocolors";

export type Colors = ReturnType<typeof picocolors.createColors>;

export interface Terminal {
  /** Results are one JSON document. */
  readonly json: boolean;
  /** For text of `out`. */
  readonly colors: Colors;
  /** Columns of stdout, or undefined where it is no terminal. */
  readonly columns: number | undefined;
  /** A line, or several, of the result. */
  out(text: string): void;
  /** The result as JSON. */
  document(value: unknown): void;
  /** A line for whoever watches. */
  note(text: string): void;
  /** What begins now, for progress: shown once a command takes longer than a second. */
  stage(what: string): void;
  /** Ends the progress line. */
  done(): void;
}

const SLOW = 1000;

/** JSON has no words for these. */
const encode = (_: string, value: unknown): unknown =>
  typeof value === "bigint"
    ? Number.isSafeInteger(Number(value))
      ? Number(value)
      : String(value)
    : typeof value === "number" && !Number.isFinite(value)
      ? String(value)
      : value;

const colorful = (stream: NodeJS.WriteStream): boolean =>
  Boolean(stream.isTTY) && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb";

export function createTerminal(json: boolean): Terminal {
  const { stdout, stderr } = process;
  const colors = picocolors.createColors(colorful(stdout));
  const dim = picocolors.createColors(colorful(stderr)).dim;
  const start = performance.now();
  let current: { readonly what: string; readonly since: number; readonly shown: boolean } | undefined;
  let line = false;

  const clear = (): void => {
    if (line) stderr.write("\r\u001b[2K");
    line = false;
  };
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  /** Work is synchronous: a stage that turned out slow can be told of only when it ends. */
  const end = (): void => {
    const now = performance.now();
    if (current && !current.shown && !stderr.isTTY && now - current.since > SLOW)
      stderr.write(`${current.what}: ${seconds(now - current.since)}\n`);
    current = undefined;
  };
  return {
    json,
    colors,
    columns: stdout.isTTY ? stdout.columns : undefined,
    out(text) {
      clear();
      stdout.write(`${text}\n`);
    },
    document: (value) => void stdout.write(`${JSON.stringify(value, encode, 2)}\n`),
    note(text) {
      clear();
      stderr.write(`${text}\n`);
    },
    stage(what) {
      end();
      const now = performance.now();
      const shown = stderr.isTTY || now - start > SLOW;
      current = { what, since: now, shown };
      if (stderr.isTTY) {
        clear();
        stderr.write(dim(`${seconds(now - start)}  ${what} ...`));
        line = true;
      } else if (shown) stderr.write(`${what} ...\n`);
    },
    done() {
      end();
      clear();
    },
  };
}
