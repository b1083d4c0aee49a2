// Inputs that --const fixes for us, as tensors: other engines are still to be given them.

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Tensor } from "../../../ir/tensor.ts";
import type { CompileOptions } from "../../index.ts";
import { bindConstant } from "../../onnx/constants.ts";
import { decodeModel } from "../../onnx/proto/decode.ts";
import { dtypeOf } from "../../onnx/proto/elem-types.ts";
import { externalDataBeside } from "../../onnx/proto/external.ts";

export async function constantInputs(path: string, { constants = {} }: CompileOptions): Promise<ReadonlyMap<string, Tensor>> {
  const given = Object.entries(constants);
  if (given.length === 0) return new Map();
  const { graph } = decodeModel(await readFile(path), { file: basename(path), external: externalDataBeside(path) });
  const declared = new Map(graph.inputs.map((v) => [v.name, v]));
  return new Map(
    given.map(([name, value]) => {
      const v = declared.get(name)!;
      return [name, bindConstant(name, dtypeOf(v.kind === "tensor" ? v.elemType : 0)!, v.dims, value, path)] as const;
    }),
  );
}
