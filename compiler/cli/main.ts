#!/usr/bin/env node
// The `sparsec` command: finds the command that is asked for, reads its flags, runs it, and turns what it throws into an exit code.

import { readFileSync } from "node:fs";
import { stripVTControlCharacters } from "node:util";
import { type CommandDef, defineCommand, renderUsage } from "citty";
import { type Command, commands } from "./commands.ts";
import { fail } from "./failure.ts";
import { parseFlags, usage } from "./flags.ts";
import { createTerminal, type Terminal } from "./terminal.ts";

/** The package's version: package.json lies above both compiler/cli and dist/compiler/cli. */
function packageVersion(): string {
  for (const up of ["../../package.json", "../../../package.json"]) {
    try {
      return (JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8")) as { readonly version: string }).version;
    } catch {
      // The next one.
    }
  }
  return "unknown";
}

const version = packageVersion();
const root = defineCommand({
  meta: { name: "sparsec", version, description: "Compiles neural networks and skips their zeros: ONNX in, WebAssembly or JavaScript out" },
  subCommands: Object.fromEntries([...commands].map(([name, c]) => [name, c.definition])),
});

const EXIT_CODES = "Exit codes: 0 done, 1 the input or model is at fault, 2 wrong usage, 3 an internal error.";

/** Help, as plain text where nobody sees colours. */
async function help(terminal: Terminal, command: Command | undefined): Promise<void> {
  // The field `any` of citty's types would make this call untyped.
  const text = await renderUsage((command?.definition ?? root) as CommandDef, command ? (root as CommandDef) : undefined);
  const more = command ? ["EXAMPLES", "", ...command.examples.map((e) => `  ${e}`)] : [EXIT_CODES];
  const all = `${text.trimEnd()}\n\n${more.join("\n")}`;
  terminal.out(terminal.colors.isColorSupported ? all : stripVTControlCharacters(all));
}

const isHelp = (arg: string | undefined): boolean => arg === "--help" || arg === "-h";

async function main(raw: readonly string[]): Promise<number> {
  const terminal = createTerminal(raw.includes("--json"));
  try {
    const [name, ...rest] = raw;
    if (name === "--version" || name === "-v") {
      if (terminal.json) terminal.document({ version });
      else terminal.out(version);
      return 0;
    }
    if (isHelp(name) || (name === "help" && rest.length === 0)) {
      await help(terminal, undefined);
      return 0;
    }
    const known = [...commands.keys()].join(", ");
    if (name === undefined || name.startsWith("-")) throw usage("no command was given", `commands: ${known}; see sparsec --help`);
    const command = commands.get(name === "help" ? rest[0]! : name);
    if (!command) throw usage(`there is no command '${name === "help" ? rest[0] : name}'`, `commands: ${known}`);
    if (name === "help" || rest.some(isHelp)) {
      await help(terminal, command);
      return 0;
    }
    const flags = parseFlags(command.args, rest);
    const { run } = await command.load();
    const code = (await run(flags, terminal)) ?? 0;
    terminal.done();
    return code;
  } catch (thrown) {
    return fail(thrown, terminal, version);
  }
}

// `sparsec explain ... | head` closes the pipe early: that is no failure.
process.stdout.on("error", (e: NodeJS.ErrnoException) => {
  if (e.code !== "EPIPE") throw e;
  process.exit(0);
});
process.exitCode = await main(process.argv.slice(2));
