// Where a team of threads has to meet: before a step that touches what others may still write or read.

import type { Buffer, Place, Step } from "./lower/step.ts";
import type { MemoryPlan } from "./plan-memory.ts";

/** Bytes of the arena that a step touches; by all threads, each a share of its own, or by the first alone. */
interface Access {
  readonly from: number;
  readonly to: number;
  readonly write: boolean;
  readonly alone: boolean;
}

const meets = (a: Access, b: Access): boolean => a.from < b.to && b.from < a.to && (a.write || b.write) && !(a.alone && b.alone);

/** Follows the steps of a program in order. */
export class Meetings {
  readonly #plan: MemoryPlan;
  #since: readonly Access[] = [];

  constructor(plan: MemoryPlan) {
    this.#plan = plan;
  }

  #access(b: Buffer, write: boolean, alone: boolean): Access[] {
    if (b.constant) return [];
    const from = this.#plan.offsets.get(b)!;
    return [{ from, to: from + b.bytes, write, alone }];
  }

  #take(accesses: readonly Access[]): boolean {
    const needed = accesses.some((a) => this.#since.some((b) => meets(a, b)));
    this.#since = needed ? accesses : [...this.#since, ...accesses];
    return needed;
  }

  /** Whether the team has to meet before a step that is `shared` out, or the first thread's alone. */
  before(s: Step & { kind: "kernel" | "copy" | "margins" }, shared: boolean): boolean {
    const read = (p: Place): Access[] => this.#access(p.buffer, false, !shared);
    const write = (b: Buffer): Access[] => this.#access(b, true, !shared);
    switch (s.kind) {
      case "kernel": {
        const scratch = [...(this.#plan.scratch.get(s)?.values() ?? [])];
        return this.#take([
          ...s.operands.flatMap(read),
          ...s.results.flatMap((p) => write(p.buffer)),
          ...scratch.flatMap((x) => write(x.buffer)),
        ]);
      }
      case "copy":
        return this.#take([...read(s.from), ...(s.at ? read(s.at) : []), ...write(s.to.buffer)]);
      case "margins":
        return this.#take(write(s.place.buffer));
    }
  }

  /** The same before all threads read values that steer them. */
  beforeReading(places: readonly Place[]): boolean {
    return this.#take(places.flatMap((p) => this.#access(p.buffer, false, false)));
  }

  /** Follows blocks of which one runs. */
  either<T>(first: () => T, second: () => T): readonly [T, T] {
    const start = this.#since;
    const a = first();
    const end = this.#since;
    this.#since = start;
    const b = second();
    this.#since = [...end, ...this.#since];
    return [a, b];
  }

  /** The team meets here. */
  met(): void {
    this.#since = [];
  }
}
