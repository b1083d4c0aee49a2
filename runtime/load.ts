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
}

const PREFERENCE: readonly string[] = ["wasm", "js"];

/** Throws a SparsecError for whatever is wrong with the artifact, the options or the place it is to run in. */
export const load = async <I = Inputs, O = Outputs>(source: ArtifactSource, options: LoadOptions = {}): Promise<Model<I, O>> => {
  const artifact = openSource(source);
  const manifest = parseManifest(await artifact.manifest(), artifact.label);
  const { device, from } = chooseDevice(options);
  const candidates = candidatesFor(manifest, device, artifact.label);
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
          turbo,
          memory: { weights: variant.weights, arena: variant.arena },
          skipped,
        };
        // The caller knows the types of its model; the names are checked on every run.
        const model = finish(manifest, variant, instance, weights, info) as unknown as Model<I, O>;
        if (artifact.fresh) free(weights);
        return model;
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

/** The variants that a device names, in the order to try them. */
const candidatesFor = ({ variants }: Manifest, device: string, label: string): readonly VariantManifest[] => {
  const rank = ({ backend }: VariantManifest): number => (PREFERENCE.includes(backend) ? PREFERENCE.indexOf(backend) : PREFERENCE.length);
  if (device === "auto") return [...variants].sort((a, b) => rank(a) - rank(b));
  const named = variants.filter((v) => v.backend === device || title(v) === device);
  if (!named.length) throw errors.unknownDevice(label, device, variants.map(title));
  return named;
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

const finish = (manifest: Manifest, variant: VariantManifest, instance: Instance, weights: Uint8Array, info: ModelInfo): Model => {
  try {
    fillImage(new Uint8Array(instance.buffer, instance.weights, variant.weights), weights, variant.sections);
    return createModel(manifest, variant, instance, info);
  } catch (thrown) {
    instance.dispose();
    throw thrown instanceof SparsecError ? thrown : errors.trap(manifest.name, said(thrown));
  }
};

/** Frees a file's bytes now rather than when garbage is collected, where the engine can. */
const free = ({ buffer }: Uint8Array): void => void (buffer as { transfer?: (bytes: number) => unknown }).transfer?.(0);
