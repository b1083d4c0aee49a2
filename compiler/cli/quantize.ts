// `sparsec quantize`: a model to a smaller one, as ONNX, with QuantizeLinear and DequantizeLinear around what was rounded.

import { writeFile } from "node:fs/promises";
import { quantizeModel } from "../index.ts";
import type { Run } from "./commands.ts";
import { settings } from "./options.ts";
import { quantizationLines } from "./quantizing.ts";
import { bytes } from "./table.ts";

export const run: Run = async (flags, terminal) => {
  const model = flags.positionals[0]!;
  const scheme = flags.one("scheme") ?? "int8";
  const file = flags.one("out") ?? `${model.replace(/\.onnx$/, "")}.${scheme}.onnx`;
  const { options } = await settings(flags, terminal, scheme);
  const { onnx, quantization, notes } = await quantizeModel(model, options.quantize!, options);
  terminal.stage("write");
  await writeFile(file, onnx);
  terminal.done();
  if (terminal.json) {
    terminal.document({ file, bytes: onnx.length, quantization, notes });
    return 0;
  }
  terminal.out(`${terminal.colors.bold(file)}  ${bytes(onnx.length)}`);
  for (const line of quantizationLines(quantization)) terminal.out(`  ${line}`);
  for (const { node, message } of notes) terminal.note(`warning: ${node === undefined ? "" : `${node}: `}${message}`);
  return 0;
};
