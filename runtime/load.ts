// load(): reads an artifact, chooses the variant that runs here, and makes it ready to run.

import { type Manifest, type VariantManifest, WEIGHTS } from "./artifact.ts";
import { candidatesFor, chooseDevice, chooseThreads, type Preference, title } from "./choose.ts";
import { defaultExecutors } from "./default-executors.ts";
import { errors, SparsecError, said } from "./diagnostics.ts";
import { aligned, type Code, type DeviceInstance, type Executor, type Instance, type Setting, type Wants } from "./executor.ts";
import type { Inputs } from "./inputs.ts";
import { parseManifest } from "./manifest.ts";
import { createModel, type Model, type ModelInfo } from "./model.ts";
import type { Outputs } from "./outputs.ts";
import { fillImage } from "./sections.ts";
import { sha256 } from "./sha256.ts";
import { type ArtifactSource, openSource, type Source } from "./source.ts";
import { turboFor } from "./turbo.ts";

export interface LoadOptions extends Wants {
  /**
   * "auto", a backend ("wasm", "webgpu") or one variant ("wasm:baseline"). When left out, "webgpu" where `gpu` is given, the environment
   * variable SPARSEC_DEVICE where there is one, else "auto".
   */
  readonly device?: string | undefined;
  /**
   * In which order "auto" tries backends: for "latency" wasm, then js, then what else the artifact holds; for "throughput" webgpu first.
   * A software adapter comes last. "latency" when left out; `info()` prints the rule.
   */
  readonly prefer?: Preference | undefined;
  /** Executors of backends besides the runtime's own; they come before those. */
  readonly executors?: readonly Executor[] | undefined;
  /** Code compiled or imported beforehand, by file name: a WebAssembly.Module, or the namespace of an ES module. It is not hashed. */
  readonly modules?: Readonly<Record<string, unknown>> | undefined;
  /**
   * Whether to switch on what the engine has but hides (relaxed SIMD in Node 20, vectors of 256 bits in Node 26), for the whole
   * process; `info()` says what was done. When left out, SPARSEC_TURBO=1 in the environment, else false.
   */
  readonly turbo?: boolean | undefined;
  /** Whether to check the files' SHA-256; true when left out. Sizes and index streams are checked always. */
  readonly verify?: boolean | undefined;
  /**
   * Threads that share each run, where the artifact was compiled for them: a number, or "auto" for as many as there are cores. Measured when
   * loading; where more than one do not pay, one thread runs, and `info()` says why. 1 when left out.
   */
  readonly threads?: number | "auto" | undefined;
  /** Whether to measure if threads pay; true when left out. Else as many run as were asked for. */
  readonly calibrate?: boolean | undefined;
}

/** Throws a SparsecError for whatever is wrong with the artifact, the options or the place it is to run in. */
export const load = async <I = Inputs, O = Outputs>(source: ArtifactSource, options: LoadOptions = {}): Promise<Model<I, O>> => {
  const artifact = openSource(source);
  const manifest = parseManifest(await artifact.manifest(), artifact.label);
  const choice = chooseDevice(options);
  const threads = chooseThreads(options.threads);
  const candidates = [...candidatesFor(manifest, choice, threads, artifact.label)];
  const turbo = turboFor(options.turbo);
  const executors = [...(options.executors ?? []), ...defaultExecutors];
  const reader = createReader(artifact, manifest, options.verify ?? true);
  const setting: Setting = { manifest, gpu: options.gpu, profile: options.profile, weights: () => reader.read(WEIGHTS) };

  const skipped: { variant: string; reason: string }[] = [];
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
    const asked = choice.device === "auto" && !doubted.has(variant) && "open" in executor;
    const doubt = asked ? await executor.doubt(variant, setting) : undefined;
    if (doubt !== undefined) {
      // Its turn comes again at the end.
      candidates.push(variant);
      doubted.add(variant);
      skip(doubt);
      continue;
    }
    const instance = await start(executor, await codeOf(variant, artifact, options, reader), variant, setting);
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
    // The caller knows the types of its model; the names are checked on every run.
    const model = await finish(variant, instance, setting, info, threads, options.calibrate ?? true);
    await reader.forget();
    return model as unknown as Model<I, O>;
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

interface Reader {
  /** The bytes of a file, checked against the manifest. */
  read(name: string): Promise<Uint8Array>;
  /** Frees what was read: it is read again if it is asked for again. */
  forget(): Promise<void>;
}

const createReader = (artifact: Source, manifest: Manifest, verify: boolean): Reader => {
  const read = async (name: string): Promise<Uint8Array> => {
    const expected = manifest.files[name]!;
    const bytes = await artifact.read(name, expected.bytes);
    const found = verify ? await sha256(bytes) : expected.sha256;
    if (found !== expected.sha256) throw errors.corrupt(name, `SHA-256 ${found}; expected ${expected.sha256}`);
    return bytes;
  };
  const taken = new Map<string, Promise<Uint8Array>>();
  return {
    async read(name) {
      if (!taken.has(name)) taken.set(name, read(name));
      return taken.get(name)!;
    },
    async forget() {
      const weights = await taken.get(WEIGHTS);
      if (artifact.fresh && weights) free(weights);
      taken.clear();
    },
  };
};

/** The code, while the weights are being read, too. Where both fail, the error is always the code's. */
const codeOf = async (variant: VariantManifest, artifact: Source, { modules }: LoadOptions, { read }: Reader): Promise<Code> => {
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
  wanted: number,
  calibrate: boolean,
): Promise<Model> => {
  const { manifest } = setting;
  try {
    if (!("buffer" in instance)) return createModel(manifest, variant, instance, info);
    if (variant.sections.length)
      fillImage(new Uint8Array(instance.buffer, instance.weights, variant.weights), await setting.weights(), variant.sections);
    const team = wanted > 1 ? await instance.gather?.(wanted, calibrate) : undefined;
    return createModel(manifest, variant, instance, team ? { ...info, threads: team.threads, whyThreads: team.why } : info);
  } catch (thrown) {
    instance.dispose();
    throw thrown instanceof SparsecError ? thrown : errors.trap(manifest.name, said(thrown));
  }
};

/** Frees a file's bytes now rather than when garbage is collected, where the engine can. */
const free = ({ buffer }: Uint8Array): void => void (buffer as { transfer?: (bytes: number) => unknown }).transfer?.(0);
