// How commands end when they fail: exit codes, the JSON document of an error, and what to attach to a report of an internal one.

import { SparsecError } from "../../ir/diagnostics.ts";
import type { Terminal } from "./terminal.ts";

/** Codes of errors in the command line itself. */
const USAGE: ReadonlySet<string> = new Set(["usage", "unknown-backend", "unknown-device", "unknown-pass"]);
/** Codes of errors that no model should be able to cause. */
const INTERNAL: ReadonlySet<string> = new Set(["internal", "bad-kernel"]);

const REPORT =
  "this is a fault of sparsec, or of a plugin that your config names, not of your model: please report it, with the text below";

/** The message with its place, without code and hint. */
function messageOf(e: SparsecError): string {
  const end = e.message.lastIndexOf(` [${e.code}]`);
  return end < 0 ? e.message : e.message.slice(0, end);
}

/** What a report of an internal error needs. */
const circumstances = (version: string, thrown: unknown) => ({
  version: `sparsec ${version}`,
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
  command: ["sparsec", ...process.argv.slice(2)].join(" "),
  stack: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
});

/** Reports a failure and gives the exit code: 1 the input or model is at fault, 2 wrong usage, 3 an internal error. */
export function fail(thrown: unknown, terminal: Terminal, version: string): number {
  terminal.done();
  if (thrown instanceof SparsecError && !INTERNAL.has(thrown.code)) {
    const { code, hint = null, inputs } = thrown;
    if (terminal.json) terminal.document({ error: { code, message: messageOf(thrown), hint, ...(inputs ? { inputs } : {}) } });
    else terminal.note(`error: ${thrown.message}`);
    return USAGE.has(code) ? 2 : 1;
  }
  const message = thrown instanceof SparsecError ? messageOf(thrown) : thrown instanceof Error ? thrown.message : String(thrown);
  const attach = circumstances(version, thrown);
  if (terminal.json) terminal.document({ error: { code: "internal", message, hint: REPORT, attach } });
  else
    terminal.note(
      [`internal error: ${message}`, "", REPORT, "", ...Object.entries(attach).map(([key, value]) => `${key}: ${value}`)].join("\n"),
    );
  return 3;
}
