// The ten small models that are mutated, and the rule that every mutation's end is held to.

import { statSync } from "node:fs";
import { optionsOf } from "../support/model-options.ts";
import { sharedModels } from "../support/models.ts";
import type { Reply, Watchdog } from "./watchdog.ts";

export interface Subject {
  readonly name: string;
  readonly model: Uint8Array;
  readonly options: ReturnType<typeof optionsOf>;
}

export const subjects = (): readonly Subject[] | undefined =>
  sharedModels()
    ?.filter(({ path }) => statSync(path).size < 300_000)
    .map((m) => ({ name: m.name, model: m.model(), options: optionsOf(m.name) }));

const MEMORY = 2 ** 30;

/** Time that a mutation may take where the clean thing takes `clean` ms. */
export const limitOf = (clean: number): number => 3 * clean + 2000;

/**
 * Asks until there is an answer to count: what takes too long or too much memory in a process with a past is tried again in a
 * new one. Gives the outcome, and what was wrong with it.
 */
export async function judge(dog: Watchdog, job: unknown, limit: number): Promise<{ readonly outcome: string; readonly problem?: string }> {
  const wrong = ({ outcome, problem, ms, peak }: Reply): string | undefined =>
    problem !== undefined
      ? `${outcome}: ${problem}`
      : ms > limit
        ? `took ${Math.round(ms)} ms of ${Math.round(limit)}`
        : peak > MEMORY
          ? `took ${peak} bytes of memory`
          : undefined;
  let reply = await dog.ask(job, limit + 1000);
  if (wrong(reply) !== undefined) {
    dog.restart();
    reply = await dog.ask(job, limit + 1000);
    dog.restart();
  }
  const problem = wrong(reply);
  return { outcome: reply.outcome, ...(problem === undefined ? {} : { problem }) };
}
