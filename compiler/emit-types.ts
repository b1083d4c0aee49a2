// Writes model.mjs and model.d.ts: an artifact as a module of its own, typed by the model's names, dtypes and shapes.

import type { SourceFile } from "ts-morph";
import type { Extent, Port, PortDType, VariantManifest } from "../runtime/artifact.ts";

export interface TypedModule {
  readonly name: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** The places of the outputs: extents that are known only after a run are `number` in the types. All are known, where left out. */
  readonly variant: Pick<VariantManifest, "outputs"> | undefined;
  /** Names of the files that the runtime may read, other than manifest.json. */
  readonly files: readonly string[];
  /** What the module imports the runtime from. */
  readonly runtime?: string;
}

/** The two files by name, in UTF-8. Compilers that are never asked for them never load ts-morph. */
export const emitTypes = async (model: TypedModule): Promise<ReadonlyMap<string, Uint8Array>> => {
  const { IndentationText, Project } = await import("ts-morph");
  const project = new Project({ useInMemoryFileSystem: true, manipulationSettings: { indentationText: IndentationText.TwoSpaces } });
  const files = [
    ["model.mjs", writeModule],
    ["model.d.ts", writeTypes],
  ] as const;
  return new Map(
    files.map(([name, write]) => {
      const file = project.createSourceFile(`${name}.ts`);
      write(file, model);
      file.insertText(0, `// The model ${quote(model.name)}, compiled by sparsec. Generated: do not edit.\n\n`);
      return [name, new TextEncoder().encode(file.getFullText())];
    }),
  );
};

const writeModule = (file: SourceFile, { files, runtime = "sparsec/runtime" }: TypedModule): void => {
  file.addImportDeclaration({ namedImports: [{ name: "load", alias: "loadArtifact" }], moduleSpecifier: runtime });
  // Bundlers find and move the files by this form of `new URL`, which must be literal.
  const urls = ["manifest.json", ...files].map((name) => `  ${quote(name)}: new URL(${quote(`./${name}`)}, import.meta.url),\n`);
  file.addStatements(`\nconst urls = {\n${urls.join("")}};`);
  file.addStatements(
    "\n/** Loads this model; takes the options of the runtime's `load`. */\nexport const load = (options) => loadArtifact({ urls }, options);",
  );
};

const writeTypes = (file: SourceFile, { inputs, outputs, variant, runtime = "sparsec/runtime" }: TypedModule): void => {
  file.addImportDeclaration({ isTypeOnly: true, namedImports: ["Input", "LoadOptions", "Model", "Tensor"], moduleSpecifier: runtime });
  const property = (port: Port, type: string) => ({
    name: quote(port.name),
    type,
    isReadonly: true,
    docs: [`${port.dtype} [${port.shape.join(", ")}]`],
  });
  file.addInterface({
    name: "ModelInputs",
    isExported: true,
    properties: inputs.map((port) => property(port, `Input<${ARRAY_TYPES[port.dtype]}, ${tuple(port.shape)}>`)),
  });
  file.addInterface({
    name: "ModelOutputs",
    isExported: true,
    properties: outputs.map((port, i) =>
      property(port, `Tensor<${quote(port.dtype)}, ${tuple(variant?.outputs[i]?.extents ?? port.shape)}>`),
    ),
  });
  file.addStatements(
    "\n/** Loads this model; takes the options of the runtime's `load`. */\nexport declare const load: (options?: LoadOptions) => Promise<Model<ModelInputs, ModelOutputs>>;",
  );
};

const tuple = (extents: readonly Extent[]): string => `readonly [${extents.map((e) => (typeof e === "number" ? e : "number")).join(", ")}]`;

const ARRAY_TYPES: Readonly<Record<PortDType, string>> = {
  f32: "Float32Array",
  f16: "Uint16Array",
  f64: "Float64Array",
  i8: "Int8Array",
  u8: "Uint8Array",
  i16: "Int16Array",
  u16: "Uint16Array",
  i32: "Int32Array",
  u32: "Uint32Array",
  i64: "BigInt64Array",
  u64: "BigUint64Array",
  bool: "Uint8Array",
  i4: "Int8Array",
  u4: "Uint8Array",
};

/** A string literal that also a comment can hold: line separators are escaped as well. */
const quote = (text: string): string => JSON.stringify(text).replace(/[\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);
