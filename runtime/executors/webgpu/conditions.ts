// Conditions of a schedule: brings the bytes that they hang on to the host, and decides.

import type { Bound, Command, Condition } from "../../artifact.ts";
import type { Resources } from "./resources.ts";
import { READ, USAGE } from "./scopes.ts";
import type { Submitter } from "./submit.ts";

/** What a condition reads, from left to right. */
const boundsOf = (condition: Condition): readonly Bound[] => {
  if (condition.kind === "both") return [...boundsOf(condition.a), ...boundsOf(condition.b)];
  const operands = condition.kind === "flag" ? [condition.flag] : [condition.a, condition.b];
  return operands.filter((operand) => typeof operand !== "number");
};

/** Whether it holds; `read` is given every bound in the order of `boundsOf`. */
const holds = (condition: Condition, read: (bound: Bound) => bigint): boolean => {
  const value = (operand: Bound | number): bigint => (typeof operand === "number" ? BigInt(operand) : read(operand));
  if (condition.kind === "flag") return value(condition.flag) !== 0n;
  if (condition.kind === "less") {
    const a = value(condition.a);
    return a < value(condition.b);
  }
  const a = holds(condition.a, read);
  return holds(condition.b, read) && a;
};

/** The most bounds of a condition. */
const mostBounds = (commands: readonly Command[]): number =>
  commands.reduce((most, c) => {
    if (c.kind === "dispatch") return most;
    const inner = c.kind === "if" ? Math.max(mostBounds(c.then), mostBounds(c.else)) : mostBounds(c.body);
    return Math.max(most, inner, boundsOf(c.cond).length);
  }, 0);

export interface Conditions {
  /** Whether it holds after all that was submitted and encoded before. */
  decide(condition: Condition): Promise<boolean>;
  destroy(): void;
}

export const createConditions = (
  device: GPUDevice,
  commands: readonly Command[],
  find: Resources["find"],
  submitter: Submitter,
): Conditions => {
  const most = mostBounds(commands);
  // The i64 around each bound's first byte.
  const staging = most ? device.createBuffer({ size: 8 * most, usage: USAGE.mapRead | USAGE.copyDst }) : undefined;
  return {
    async decide(condition) {
      const bounds = boundsOf(condition);
      if (!bounds.length || !staging) return holds(condition, () => 0n);
      const encoder = submitter.encoder();
      const shifts = bounds.map((bound, i) => {
        const { buffer, offset } = find(bound);
        encoder.copyBufferToBuffer(buffer, offset - (offset % 8), staging, 8 * i, 8);
        return offset % 8;
      });
      await submitter.submit(() => staging.mapAsync(READ));
      const view = new DataView(staging.getMappedRange());
      let next = 0;
      const result = holds(condition, ({ bytes }) => {
        const at = 8 * next + shifts[next]!;
        next++;
        return bytes === 1 ? BigInt(view.getUint8(at)) : view.getBigInt64(at, true);
      });
      staging.unmap();
      // What was refused has left nothing to go by.
      await submitter.settle();
      return result;
    },
    destroy: () => staging?.destroy(),
  };
};
