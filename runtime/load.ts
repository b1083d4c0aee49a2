// load(): reads an artifact, chooses the variant that runs here, and makes it ready to run.

import { type Manifest, type VariantManifest, WEIGHTS } from "./artifact.ts";
import { defaultExecutors } from "./default-executors.ts";
import { errors, SparsecError, said, show } from "./diagnostics.ts";
import { aligned, type Code, type Executor, type Instance } from "./executor.ts";
import type { Inputs } from "./inputs.ts";
import { parseManifest } from "./manifest.ts";
import { createModel, type Model, type ModelInfo } from "./model.ts";
import type { Outputs } from "./outputs.ts";
import { fillImage } from "./sections.ts";
import { sha256 } from "./sha256.ts";
import { type ArtifactSource, openSource, type Source } from "./source.ts";
import { turboFor } from "./turbo.ts";

export interface LoadOptions {
  /**
   * "auto" (wasm, then js, then what else the artifact holds), a backend ("wasm") or one variant ("wasm:baseline").
   * When left out, the environment variable SPARSEC_DEVICE where there is one, else "auto".
   */
  readonly device?: string | undefined;
  /** Executors of backends besides wasm and js; they come before the runtime's own. */
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

const PREFERENCE: readonly string[] = ["wasm", "js"];

/** Throws a SparsecError for whatever is wrong with the artifact, the options or the place it is to run in. */
export const load = async <I = Inputs, O = Outputs>(source: ArtifactSource, options: LoadOptions = {}): Promise<Model<I, O>> => {
  const artifact = openSource(source);
  const manifest = parseManifest(await artifact.manifest(), artifact.label);
  const { device, from } = chooseDevice(options);
  const threads = chooseThreads(options);
  const candidates = candidatesFor(manifest, device, threads, artifact.label);
  const turbo = turboFor(options.turbo);
  const executors = [...(options.executors ?? []), ...defaultExecutors];
  const readOnce = reader(artifact, manifest, options.verify ?? true);

  const skipped: { variant: string; reason: string }[] = [];
  for (const variant of candidates) {
    const executor = executors.find((e) => e.backend === variant.backend);
    const reason = executor ? executor.unsupported(variant) : `no executor for backend '${variant.backend}' was given`;
    if (executor && reason === undefined) {
      const [code, weights] = await inOrder(
        codeOf(variant, artifact, options, readOnce),
        readOnce(variant.sections.length ? WEIGHTS : undefined),
      );
      const instance = await start(executor, code, variant);
      if (typeof instance !== "string") {
        const info: ModelInfo = {
          name: manifest.name,
          backend: variant.backend,
          variant: variant.name,
          why: `${from} is '${device}', and ${skipped.length ? "the variants before it do not run here" : "it comes first"}`,
          threads: 1,
          whyThreads: threads > 1 ? "the variant is for one thread" : "one was asked for",
          turbo,
          memory: { weights: variant.weights, arena: variant.arena },
          skipped,
        };
        // The caller knows the types of its model; the names are checked on every run.
        const model = await finish(manifest, variant, instance, weights, info, threads, options.calibrate ?? true);
        if (artifact.fresh) free(weights);
        return model as unknown as Model<I, O>;
      }
      skipped.push({ variant: title(variant), reason: instance });
    } else skipped.push({ variant: title(variant), reason: reason! });
  }
  throw errors.noVariant(
    artifact.label,
    device,
    skipped.map((s) => `${s.variant}: ${s.reason}`),
  );
};

/** Both at once; where both fail, the error is always the first one's. */
const inOrder = async <A, B>(first: Promise<A>, second: Promise<B>): Promise<readonly [A, B]> => {
  second.catch(() => {});
  return [await first, await second];
};

const title = (variant: VariantManifest): string => `${variant.backend}:${variant.name}`;

const chooseDevice = ({ device }: LoadOptions): { readonly device: string; readonly from: string } => {
  if (device !== undefined) {
    if (typeof device !== "string") throw errors.badOption(`device must be a string such as "auto" or "wasm", not ${show(device)}`);
    return { device, from: "the device asked for" };
  }
  const environment = globalThis.process?.env?.SPARSEC_DEVICE;
  return environment ? { device: environment, from: "SPARSEC_DEVICE" } : { device: "auto", from: "the device" };
};

const chooseThreads = ({ threads = 1 }: LoadOptions): number => {
  if (threads === "auto") return Number.POSITIVE_INFINITY;
  if (Number.isSafeInteger(threads) && threads >= 1) return threads;
  throw errors.badOption(`threads must be a positive integer or "auto", not ${show(threads)}`);
};

/** The variants that a device names, in the order to try them: those for teams of threads first, or only where named in full. */
const candidatesFor = ({ variants }: Manifest, device: string, threads: number, label: string): readonly VariantManifest[] => {
  const backends = (v: VariantManifest): number => (PREFERENCE.includes(v.backend) ? PREFERENCE.indexOf(v.backend) : PREFERENCE.length);
  const teams = (v: VariantManifest): number => (v.threads === undefined ? 1 : 0);
  const named = variants.filter((v) => device === "auto" || v.backend === device || title(v) === device);
  if (!named.length) throw errors.unknownDevice(label, device, variants.map(title));
  const wanted = named.filter((v) => threads > 1 || v.threads === undefined || title(v) === device);
  return wanted.sort((a, b) => (device === "auto" ? backends(a) - backends(b) : 0) || teams(a) - teams(b));
};

type ReadOnce = (name: string | undefined) => Promise<Uint8Array>;

/** Reads a file of the artifact, checked against the manifest, once. */
const reader = (artifact: Source, manifest: Manifest, verify: boolean): ReadOnce => {
  const read = async (name: string): Promise<Uint8Array> => {
    const expected = manifest.files[name]!;
    const bytes = await artifact.read(name, expected.bytes);
    const found = verify ? await sha256(bytes) : expected.sha256;
    if (found !== expected.sha256) throw errors.corrupt(name, `SHA-256 ${found}; expected ${expected.sha256}`);
    return bytes;
  };
  const taken = new Map<string, Promise<Uint8Array>>();
  return async (name) => {
    if (name === undefined) return new Uint8Array();
    if (!taken.has(name)) taken.set(name, read(name));
    return taken.get(name)!;
  };
};

const codeOf = async ({ code }: VariantManifest, artifact: Source, { modules }: LoadOptions, readOnce: ReadOnce): Promise<Code> => {
  const url = artifact.url(code);
  if (modules && Object.hasOwn(modules, code)) return { module: modules[code] };
  return { bytes: await readOnce(code), ...(url ? { url } : {}) };
};

/** The program in its memory, or why it does not start here (a policy forbids wasm, memory is short). */
const start = async (executor: Executor, code: Code, variant: VariantManifest): Promise<Instance | string> => {
  let instance: Instance;
  try {
    instance = await executor.instantiate(code, variant);
  } catch (thrown) {
    return said(thrown);
  }
  const { buffer, weights, arena } = instance;
  if (weights % 64 || arena % 64 || weights + aligned(variant.weights) > arena || arena + variant.arena > buffer.byteLength) {
    instance.dispose();
    return "the executor's memory does not hold the weights and the arena";
  }
  return instance;
};

const finish = async (
  manifest: Manifest,
  variant: VariantManifest,
  instance: Instance,
  weights: Uint8Array,
  info: ModelInfo,
  wanted: number,
  calibrate: boolean,
): Promise<Model> => {
  try {
    fillImage(new Uint8Array(instance.buffer, instance.weights, variant.weights), weights, variant.sections);
    const team = wanted > 1 ? await instance.gather?.(wanted, calibrate) : undefined;
    return createModel(manifest, variant, instance, team ? { ...info, threads: team.threads, whyThreads: team.why } : info);
  } catch (thrown) {
    instance.dispose();
    throw thrown instanceof SparsecError ? thrown : errors.trap(manifest.name, said(thrown));
  }
};

/** Frees a file's bytes now rather than when garbage is collected, where the engine can. */
const free = ({ buffer }: Uint8Array): void => void (buffer as { transfer?: (bytes: number) => unknown }).transfer?.(0);
