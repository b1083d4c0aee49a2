// Opens a model, or a part of one: the first of its variants that runs here, its weights in place.

import { type Manifest, type VariantManifest, WEIGHTS } from "./artifact.ts";
import { type Choice, candidatesFor, title } from "./choose.ts";
import { errors, SparsecError, said } from "./diagnostics.ts";
import { aligned, type Code, type DeviceInstance, type Executor, type Instance, type Setting, type Wants } from "./executor.ts";
import type { ModelInfo } from "./model.ts";
import { createProgram, type Program } from "./program.ts";
import type { Source } from "./source.ts";
import type { Turbo } from "./turbo.ts";

export interface Reader {
  /** The bytes of a file, checked against the manifest. */
  read(name: string): Promise<Uint8Array>;
  /** Frees what was read: it is read again if it is asked for again. */
  forget(): Promise<void>;
}

/** What loading goes by, besides what is to be loaded. */
export interface Loading {
  readonly artifact: Source;
  readonly reader: Reader;
  readonly threads: number;
  readonly calibrate: boolean;
  readonly turbo: Turbo;
  readonly executors: readonly Executor[];
  readonly modules: Readonly<Record<string, unknown>> | undefined;
  readonly wants: Wants;
}

export interface Opened {
  readonly program: Program;
  readonly info: ModelInfo;
}

/** A whole model; a part comes as if it were one. `skipped` is what was tried before. Throws `no-variant`, or what stands against the device that was named. */
export const openVariant = async (
  manifest: Manifest,
  choice: Choice,
  loading: Loading,
  skipped: { variant: string; reason: string }[] = [],
): Promise<Opened> => {
  const { artifact, reader, threads, turbo, executors, wants } = loading;
  const candidates = [...candidatesFor(manifest, choice, threads, artifact.label)];
  const setting: Setting = { ...wants, manifest, weights: () => reader.read(WEIGHTS) };
  const refusals: { readonly variant: VariantManifest; readonly why: string | SparsecError }[] = [];
  const doubted = new Set<VariantManifest>();
  for (const variant of candidates) {
    const skip = (why: string | SparsecError): void => void skipped.push({ variant: title(variant), reason: said(why) });
    const refuse = (why: string | SparsecError): void => {
      refusals.push({ variant, why });
      skip(why);
    };
    const executor = executors.find((e) => e.backend === variant.backend);
    const refusal = executor ? await refusalOf(executor, variant, setting) : `no executor for backend '${variant.backend}' was given`;
    if (!executor || refusal !== undefined) {
      refuse(refusal!);
      continue;
    }
    const asked = (choice.device === "auto" || choice.otherwise) && !doubted.has(variant) && "open" in executor;
    const doubt = asked ? await executor.doubt(variant, setting) : undefined;
    if (doubt !== undefined && choice.otherwise) {
      refuse(doubt);
      continue;
    }
    if (doubt !== undefined) {
      // Its turn comes again at the end.
      candidates.push(variant);
      doubted.add(variant);
      skip(doubt);
      continue;
    }
    const instance = await start(executor, await codeOf(variant, loading), variant, setting);
    if (typeof instance === "string" || instance instanceof SparsecError) {
      refuse(instance);
      continue;
    }
    const info: ModelInfo = {
      name: manifest.name,
      backend: variant.backend,
      variant: variant.name,
      ...("adapter" in instance ? { adapter: instance.adapter } : {}),
      why: `${choice.from}, and ${doubted.has(variant) ? "no other runs here" : skipped.length ? "the variants before it do not run here" : "it comes first"}`,
      threads: 1,
      whyThreads: threads > 1 ? "the variant is for one thread" : "one was asked for",
      turbo,
      memory: { weights: variant.weights, arena: variant.arena },
      skipped,
    };
    return finish(variant, instance, setting, info, loading);
  }
  const [first, ...others] = refusals.map(({ why }) => why);
  // Where the device was named, and one thing alone stands against it, that is the error.
  if (choice.device !== "auto" && first instanceof SparsecError && others.every((o) => o instanceof SparsecError && o.code === first.code))
    throw first;
  throw errors.noVariant(
    artifact.label,
    choice.device,
    refusals.map(({ variant, why }) => `${title(variant)}: ${said(why)}`),
  );
};

/** Why a variant does not run here, if it does not. */
const refusalOf = async (executor: Executor, variant: VariantManifest, wants: Wants): Promise<string | SparsecError | undefined> => {
  try {
    return await executor.unsupported(variant, wants);
  } catch (thrown) {
    return thrown instanceof SparsecError ? thrown : said(thrown);
  }
};

/** The code, while the weights are being read, too. Where both fail, the error is always the code's. */
const codeOf = async (variant: VariantManifest, { artifact, modules, reader: { read } }: Loading): Promise<Code> => {
  const { code, sections } = variant;
  const weights = sections.length ? read(WEIGHTS) : undefined;
  weights?.catch(() => {});
  const url = artifact.url(code);
  const found = modules && Object.hasOwn(modules, code) ? { module: modules[code] } : { bytes: await read(code), ...(url ? { url } : {}) };
  await weights;
  return found;
};

/** The program in its memory, or why it does not start here (a policy forbids wasm, memory is short). */
const start = async (
  executor: Executor,
  code: Code,
  variant: VariantManifest,
  setting: Setting,
): Promise<Instance | DeviceInstance | string | SparsecError> => {
  let instance: Instance | DeviceInstance;
  try {
    instance = "open" in executor ? await executor.open(code, variant, setting) : await executor.instantiate(code, variant);
  } catch (thrown) {
    // What is wrong with the artifact is wrong for every variant.
    if (thrown instanceof SparsecError && thrown.code === "corrupt") throw thrown;
    return thrown instanceof SparsecError && "open" in executor ? thrown : said(thrown);
  }
  if (!("buffer" in instance)) return instance;
  const { buffer, weights, arena } = instance;
  if (weights % 64 || arena % 64 || weights + aligned(variant.weights) > arena || arena + variant.arena > buffer.byteLength) {
    instance.dispose();
    return "the executor's memory does not hold the weights and the arena";
  }
  return instance;
};

const finish = async (
  variant: VariantManifest,
  instance: Instance | DeviceInstance,
  setting: Setting,
  info: ModelInfo,
  { threads, calibrate }: Loading,
): Promise<Opened> => {
  const { manifest } = setting;
  try {
    if (!("buffer" in instance)) return { program: createProgram(manifest, variant, instance), info };
    if (variant.sections.length) {
      const [file, { fillImage }] = await Promise.all([setting.weights(), import("./sections.ts")]);
      fillImage(new Uint8Array(instance.buffer, instance.weights, variant.weights), file, variant.sections);
    }
    const team = threads > 1 ? await instance.gather?.(threads, calibrate) : undefined;
    return {
      program: createProgram(manifest, variant, instance),
      info: team ? { ...info, threads: team.threads, whyThreads: team.why } : info,
    };
  } catch (thrown) {
    instance.dispose();
    throw thrown instanceof SparsecError ? thrown : errors.trap(manifest.name, said(thrown));
  }
};
