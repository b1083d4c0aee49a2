// Runs a graph the whole way down to a kernel program, which the kernel interpreter executes: every backend's common ground.

import type { Capabilities } from "../../compiler/backend.ts";
import { createImage } from "../../compiler/image.ts";
import { legalize } from "../../compiler/kernel/legalize.ts";
import { nameShared } from "../../compiler/kernel/name-shared.ts";
import { shareOut } from "../../compiler/kernel/share-out.ts";
import { lowerGraph } from "../../compiler/lower/lower.ts";
import { planMemory } from "../../compiler/plan-memory.ts";
import { buildProgram } from "../../compiler/program.ts";
import { createWeightsWriter } from "../../compiler/weights-writer.ts";
import { bytesOf } from "../../ir/dtype.ts";
import type { Graph } from "../../ir/graph.ts";
import { interpret } from "../../ir/kernel/interpret.ts";
import { type Tensor, zeros } from "../../ir/tensor.ts";
import { maxShape } from "../../ir/types.ts";
import { fillImage } from "../../runtime/sections.ts";

export const VECTOR_TARGET: Capabilities = { vectors: ["f32x4", "i32x4"], f16: true, fma: true, maths: [], accumulators: 7 };
export const SCALAR_TARGET: Capabilities = { ...VECTOR_TARGET, vectors: [] };

/**
 * Lowers, plans and executes, by as many threads as the target has; on a device by `lanes` in step. Outputs of bounded shape are not cut to
 * their true extents.
 */
export function runLowered(graph: Graph, inputs: readonly Tensor[], can: Capabilities = VECTOR_TARGET, lanes = 4): Tensor[] {
  const lowered = lowerGraph(graph, can);
  const { threads = 1, device } = can;
  const plan = planMemory(lowered, { threads, ...(device ? { alignment: device.alignment, apart: true } : {}) });
  const writer = createWeightsWriter();
  const image = createImage(writer, device?.alignment);
  const outputs = lowered.outputs.map(({ place }) =>
    place.buffer.constant ? image.constant(place.buffer.constant.data) : plan.offsets.get(place.buffer)!,
  );
  const { program } = buildProgram(lowered, plan, image, { team: threads > 1 });
  const weights = new Uint8Array(Math.max(16, image.bytes));
  fillImage(weights, writer.finish(), image.sections);
  // Garbage in the arena: a kernel that counts on zeros it did not write shows up.
  const arena = new Uint8Array(Math.max(64, plan.bytes)).fill(0x7f);
  lowered.inputs.forEach(({ place }, k) => arena.set(bytesOf(inputs[k]!.data), plan.offsets.get(place.buffer)!));
  const shared = legalize(program, can, [shareOut, nameShared]);
  const { fault } = interpret(shared, "run", [{ bytes: weights }, { bytes: arena }], { threads, lanes });
  lowered.inputs.forEach(({ place }, k) => {
    const given = Buffer.from(bytesOf(inputs[k]!.data));
    if (given.compare(arena, plan.offsets.get(place.buffer)!, plan.offsets.get(place.buffer)! + given.length) !== 0)
      throw new Error(`the program wrote over input ${k}, which keeps its values for the next run`);
  });
  if (fault >= 0) throw new Error(`fault: ${program.faults[fault]}`);
  return lowered.outputs.map(({ value, place }, k) => {
    const t = zeros(value.type.dtype, maxShape(value.type));
    const from = place.buffer.constant ? weights : arena;
    bytesOf(t.data).set(from.subarray(outputs[k]!, outputs[k]! + t.data.byteLength));
    return t;
  });
}
