// ONNX operators that sparsec knows and does not build, each with its reason; and those on optionals that a tensor decides.

import { tensorOf } from "../../../ir/tensor.ts";
import { defineOnnxOp, type OnnxOp } from "../op.ts";

const refuse = (why: string, ...names: readonly string[]): readonly OnnxOp[] =>
  names.map((name) => defineOnnxOp({ name, import: (c) => c.unsupported(why) }));

const optionalHasElement = defineOnnxOp({
  name: "OptionalHasElement",
  import: (c) => c.constant(tensorOf("bool", [], [c.inputs[0] ? 1 : 0])),
});
const optionalGetElement = defineOnnxOp({ name: "OptionalGetElement", import: (c) => c.input(0) });

export const refusedTable: readonly OnnxOp[] = [
  optionalHasElement,
  optionalGetElement,
  ...refuse("its results are random", "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
  ...refuse("strings are not supported", "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"),
  ...refuse(
    "sequences are not supported",
    "ConcatFromSequence",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SequenceMap",
    "SplitToSequence",
  ),
  ...refuse("values of optional type are not supported", "Optional"),
  ...refuse("it decodes image files", "ImageDecoder"),
];
