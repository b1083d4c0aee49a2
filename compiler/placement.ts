// Where nodes can run and what that takes: predicted time on each target, and of handing values over. What `place` decides by.

import { SparsecError } from "../ir/diagnostics.ts";
import type { Graph, Node } from "../ir/graph.ts";
import type { Backend, Capabilities } from "./backend.ts";
import { type CostFile, type Costs, costsFor } from "./cost/costs.ts";
import { TRANSFER } from "./cost/defaults.ts";
import { lowerGraph } from "./lower/lower.ts";
import { regionOf } from "./region.ts";
import { forecast } from "./report.ts";

/** A backend to place nodes on. */
export interface Target {
  readonly name: string;
  readonly can: Capabilities;
  readonly costs: Costs;
}

/** By its last variant, which runs wherever the backend does: what that can do, all can. */
export function targetOf({ name, variants }: Backend, cost: CostFile | undefined): Target {
  const { name: variant, can } = variants.at(-1)!;
  return { name, can, costs: costsFor(`${name}:${variant}`, cost) };
}

/** Microseconds that a node takes on a target by itself, or why it cannot run there. */
export function priceOf(g: Graph, n: Node, { can, costs }: Target): number | SparsecError {
  const operands = [...new Set(n.inputs.filter((v) => v.node.op !== "const"))];
  const alone = regionOf(g, [n], operands, n.results);
  try {
    const { steps } = lowerGraph(alone, can);
    // Among others it need not be brought from one layout to another.
    const computing = steps.filter((s) => s.kind !== "kernel" || !s.lowered.moves);
    return forecast(alone, computing.length > 0 ? computing : steps, costs);
  } catch (e) {
    if (e instanceof SparsecError) return e;
    throw e;
  }
}

/** Microseconds of handing bytes from one target to another, by way of the host; undefined stands for the host itself. */
export function handingOver(from: Target | undefined, to: Target | undefined, bytes: number): number {
  if (from === to) return 0;
  return [from, to].reduce((us, t) => {
    if (!t?.can.device) return us;
    const { latency, rate } = t.costs.transfer ?? TRANSFER;
    return us + latency + bytes / rate / 1000;
  }, 0);
}

/** What was decided about a region, for `explain`. */
export interface Region {
  readonly backend: string;
  /** ONNX nodes in it. */
  readonly nodes: readonly string[];
  /** Microseconds that it would take on each target; absent where it cannot run there. */
  readonly predicted: Readonly<Record<string, number>>;
  /** Bytes that it takes from other regions and the caller, and gives. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly why: string;
}
