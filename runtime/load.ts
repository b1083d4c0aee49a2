// load(): reads an artifact, chooses the variant that runs here, and makes it ready to run.

import { type Manifest, WEIGHTS } from "./artifact.ts";
import { type Choice, chooseDevice, chooseThreads, PARTS, type Preference } from "./choose.ts";
import { defaultExecutors } from "./default-executors.ts";
import { errors, SparsecError, said } from "./diagnostics.ts";
import type { Executor, Wants } from "./executor.ts";
import type { Inputs } from "./inputs.ts";
import { parseManifest } from "./manifest.ts";
import { createModel, type Model } from "./model.ts";
import { type Loading, type Opened, openVariant, type Reader } from "./open.ts";
import type { Outputs } from "./outputs.ts";
import { sha256 } from "./sha256.ts";
import { type ArtifactSource, openSource, type Source } from "./source.ts";
import { turboFor } from "./turbo.ts";

export interface LoadOptions extends Wants {
  /**
   * "auto", a backend ("wasm", "webgpu"), one variant ("wasm:baseline"), or "parts", which "auto" takes first where there are some. When left out, "webgpu" where `gpu` is given, the environment
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
  const choice = chooseDevice(options, manifest);
  const reader = createReader(artifact, manifest, options.verify ?? true);
  const loading: Loading = {
    artifact,
    reader,
    threads: chooseThreads(options.threads),
    calibrate: options.calibrate ?? true,
    turbo: turboFor(options.turbo),
    executors: [...(options.executors ?? []), ...defaultExecutors],
    modules: options.modules,
    wants: { gpu: options.gpu, profile: options.profile },
  };
  const { program, info } = await open(manifest, choice, loading);
  await reader.forget();
  // The caller knows the types of its model; the names are checked on every run.
  return createModel(manifest, program, info) as unknown as Model<I, O>;
};

/** In parts where there are some and nothing else was asked for; where those do not run here, whole. */
const open = async (manifest: Manifest, choice: Choice, loading: Loading): Promise<Opened> => {
  const auto = choice.device === "auto";
  if (!manifest.parts || (!auto && choice.device !== PARTS)) return openVariant(manifest, choice, loading);
  const { openParts } = await import("./parts.ts");
  const otherwise = auto && manifest.variants.length > 0;
  try {
    return await openParts(manifest, choice, loading, otherwise);
  } catch (thrown) {
    // What is wrong with the artifact or the options is wrong for all.
    if (!otherwise || !(thrown instanceof SparsecError) || !PLACES.has(thrown.code)) throw thrown;
    return openVariant(manifest, choice, loading, [{ variant: PARTS, reason: said(thrown) }]);
  }
};

/** Codes of what is wrong with the place that it is to run in. */
const PLACES: ReadonlySet<string> = new Set(["no-variant", "no-webgpu", "out-of-memory", "device-lost", "internal"]);

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

/** Frees a file's bytes now rather than when garbage is collected, where the engine can. */
const free = ({ buffer }: Uint8Array): void => void (buffer as { transfer?: (bytes: number) => unknown }).transfer?.(0);
