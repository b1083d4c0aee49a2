// A child process that compiles or loads one thing at a time, ended when it takes too long, and replaced when it is gone.

import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { projectRoot } from "../support/shared.ts";

export interface Reply {
  /** "run", an error's code, "uncoded", "uncaught", "timeout" or "died". */
  readonly outcome: string;
  /** What must not happen, in words. */
  readonly problem?: string;
  readonly ms: number;
  /** The most bytes of memory that the process ever held. */
  readonly peak: number;
}

export interface Watchdog {
  /** Sends a job; without a reply within `limit` ms the child is killed. */
  ask(job: unknown, limit: number): Promise<Reply>;
  /** Ends the child; the next job starts a new one. */
  restart(): void;
}

export function watchdog(bundleFolder: string): Watchdog {
  let child: ChildProcess | undefined;
  const script = join(projectRoot, "tests/fuzz/child.mjs");

  const start = (): Promise<ChildProcess> =>
    new Promise((resolve, reject) => {
      const started = fork(script, [bundleFolder], {
        serialization: "advanced",
        execArgv: ["--max-old-space-size=768"],
        stdio: ["ignore", "ignore", "ignore", "ipc"],
      });
      started.once("message", () => resolve(started));
      started.once("exit", (code) => reject(new Error(`the child ends at once, with ${code}`)));
    });
  const restart = (): void => {
    child?.removeAllListeners();
    child?.kill("SIGKILL");
    child = undefined;
  };

  return {
    restart,
    ask: async (job, limit) => {
      child ??= await start();
      const current = child;
      current.removeAllListeners();
      const began = performance.now();
      const end = (outcome: string, problem: string): Reply => {
        restart();
        return { outcome, problem, ms: performance.now() - began, peak: 0 };
      };
      return new Promise<Reply>((resolve) => {
        const timer = setTimeout(() => resolve(end("timeout", `no reply within ${Math.round(limit)} ms`)), limit);
        const settle = (reply: Reply): void => {
          clearTimeout(timer);
          resolve(reply);
        };
        current.once("message", (reply) => settle(reply as Reply));
        current.once("exit", (code, signal) => settle(end("died", `the process ended with ${code ?? signal}`)));
        current.send(job as object);
      });
    },
  };
}
