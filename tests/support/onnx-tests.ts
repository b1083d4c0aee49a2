// The official ONNX tests of the shared folder: each with its group, its model, and its inputs and expected outputs.

import { readFileSync } from "node:fs";
import { decodeModel, decodeTensorProto } from "../../compiler/onnx/proto/decode.ts";
import { elemTypeName } from "../../compiler/onnx/proto/elem-types.ts";
import type { OnnxModel, OnnxValueInfo } from "../../compiler/onnx/proto/model.ts";
import { bytesOf } from "../../ir/dtype.ts";
import { sharedPath } from "./shared.ts";
import { type Archive, openTarGz } from "./tar.ts";
import { type TestTensor, testTensor } from "./tensors.ts";

export type OnnxSuite = "node" | "simple" | "light" | "pytorch-converted" | "pytorch-operator";
export type OnnxGroup = "core" | "core_expanded" | "other";

export interface OnnxTestData {
  readonly inputs: readonly TestTensor[];
  readonly outputs: readonly TestTensor[];
}

export interface OnnxTest {
  /** "test_abs". Unique within its suite. */
  readonly name: string;
  readonly suite: OnnxSuite;
  /** As groups.json says for the node suite; "other" for the other suites. */
  readonly group: OnnxGroup;
  /** Version of the default operator set; undefined where the model imports none, or the suite is not "node". */
  readonly opset: number | undefined;
  /** Whether onnxruntime-web 1.30 passes it; undefined outside the node suite. */
  readonly web: boolean | undefined;
  model(): Uint8Array;
  /**
   * What its inputs and outputs take that no `TestTensor` can hold: "sequence", "optional", "STRING", "BFLOAT16", ...; empty if nothing.
   * Such a test can still be compiled (and refused), but has no `data`.
   */
  unsupported(): readonly string[];
  /** The data sets; throws where `unsupported` is not empty. Inputs and outputs have the graph's names, in the graph's order. */
  data(): readonly OnnxTestData[];
}

interface GroupRow {
  readonly name: string;
  readonly opset: number | null;
  readonly group: OnnxGroup;
  readonly web: boolean;
}

const memo = <T>(compute: () => T): (() => T) => {
  let value: { readonly of: T } | undefined;
  return () => (value ??= { of: compute() }).of;
};

function readTensor(archive: Archive, path: string, name: string): TestTensor {
  const t = decodeTensorProto(archive.read(path), { file: path });
  if (!t.dtype) throw new Error(`${path}: ${elemTypeName(t.elemType)} is not a dtype`);
  return testTensor(name, t.dtype, t.dims, t.bytes());
}

function misfits(values: readonly OnnxValueInfo[]): readonly string[] {
  return values.flatMap((v) => (v.kind === "tensor" ? [] : [v.kind]));
}

/** Element types that the data files have and no dtype stands for. */
function strangeTypes(archive: Archive, paths: readonly string[]): readonly string[] {
  return paths.flatMap((path) => {
    const t = decodeTensorProto(archive.read(path), { file: path });
    return t.dtype ? [] : [elemTypeName(t.elemType)];
  });
}

/** Inputs that no data file is for: initializers of old models stand among the inputs. */
const fedInputs = ({ graph }: OnnxModel): readonly OnnxValueInfo[] => graph.inputs.filter((i) => !graph.initializers.has(i.name));

function folderTest(archive: Archive, suite: OnnxSuite, name: string, row: GroupRow | undefined): OnnxTest {
  const folder = `${suite}/${name}`;
  const model = (): Uint8Array => archive.read(`${folder}/model.onnx`);
  const decoded = memo(() => decodeModel(model(), { file: `${folder}/model.onnx` }));
  const sets = memo(() => {
    const found: { inputs: readonly string[]; outputs: readonly string[] }[] = [];
    const files = (set: number, kind: string, count: number): readonly string[] =>
      Array.from({ length: count }, (_, i) => `${folder}/test_data_set_${set}/${kind}_${i}.pb`);
    for (let set = 0; archive.has(`${folder}/test_data_set_${set}/output_0.pb`); set++)
      found.push({
        inputs: files(set, "input", fedInputs(decoded()).length),
        outputs: files(set, "output", decoded().graph.outputs.length),
      });
    return found;
  });
  const unsupported = memo(() => {
    const kinds = misfits([...fedInputs(decoded()), ...decoded().graph.outputs]);
    const strange =
      kinds.length > 0
        ? []
        : strangeTypes(
            archive,
            sets().flatMap((s) => [...s.inputs, ...s.outputs]),
          );
    return [...new Set([...kinds, ...strange])];
  });
  return {
    name,
    suite,
    group: row?.group ?? "other",
    opset: row?.opset ?? undefined,
    web: row?.web,
    model,
    unsupported,
    data: () =>
      sets().map((set) => ({
        inputs: fedInputs(decoded()).map((v, i) => readTensor(archive, set.inputs[i]!, v.name)),
        outputs: decoded().graph.outputs.map((v, i) => readTensor(archive, set.outputs[i]!, v.name)),
      })),
  };
}

/** As ONNX's own runner feeds the light models, which carry no input: 0, 1/n, 2/n, ... in row-major order. */
function ramp(v: OnnxValueInfo): TestTensor {
  const shape = (v.dims ?? []).map((d) => (typeof d === "number" ? d : 1));
  const n = shape.reduce((product, d) => product * d, 1);
  return testTensor(v.name, "f32", shape, bytesOf(Float32Array.from({ length: n }, (_, i) => i / n)));
}

function lightTest(archive: Archive, name: string): OnnxTest {
  const model = (): Uint8Array => archive.read(`light/${name}.onnx`);
  const decoded = memo(() => decodeModel(model(), { file: `light/${name}.onnx` }));
  return {
    name,
    suite: "light",
    group: "other",
    opset: undefined,
    web: undefined,
    model,
    unsupported: () => [],
    data: () => [
      {
        inputs: fedInputs(decoded()).map(ramp),
        outputs: decoded().graph.outputs.map((v, i) => readTensor(archive, `light/${name}_output_${i}.pb`, v.name)),
      },
    ],
  };
}

/** All tests of the shared archive, in its order, or undefined (reason printed) where the shared folder is absent. */
export function onnxTests(): readonly OnnxTest[] | undefined {
  const tar = sharedPath("onnx", "onnx-node-tests.tar.gz");
  const groups = sharedPath("onnx", "groups.json");
  if (tar === undefined || groups === undefined) return undefined;
  const archive = openTarGz(tar);
  const rows = (JSON.parse(readFileSync(groups, "utf8")) as { readonly tests: readonly GroupRow[] }).tests;
  const rowOf = new Map(rows.map((row) => [row.name, row]));
  return archive.names.flatMap((path) => {
    const [suite, name, file] = path.split("/");
    if (suite === "light" && name?.endsWith(".onnx")) return [lightTest(archive, name.slice(0, -".onnx".length))];
    if (file !== "model.onnx" || !suite || !name) return [];
    return [folderTest(archive, suite as OnnxSuite, name, suite === "node" ? rowOf.get(name) : undefined)];
  });
}
