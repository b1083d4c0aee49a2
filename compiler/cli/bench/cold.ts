// A process of its own that loads an artifact and runs it: what starting costs, and how much memory it takes, without a compiler beside it.

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Inputs } from "../../../runtime/index.ts";

/** Milliseconds and bytes. */
export interface ColdStart {
  /** Reading the runtime and the artifact. */
  readonly load: number;
  readonly first: number;
  readonly second: number;
  /** The process's largest resident memory. */
  readonly peak: number;
}

export interface Job {
  readonly folder: string;
  readonly device: string | undefined;
  readonly turbo: boolean;
  readonly inputs: Inputs;
}

/** What a message of the child says. */
export type Answer = ColdStart | { readonly error: string };

/** Measures in a fresh process; a sentence where it could not. */
export function coldStart(job: Job): Promise<ColdStart | string> {
  const program = fileURLToPath(new URL(`./cold-child${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url));
  return new Promise((resolve) => {
    const child = fork(program, [], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      execArgv: process.execArgv,
    });
    child.once("error", (e) => resolve(`the process did not start: ${e.message}`));
    child.once("exit", (code) => resolve(`the process ended with code ${code}`));
    child.once("message", (answer: Answer) => resolve("error" in answer ? answer.error : answer));
    child.send(job);
  });
}
