// Finds WebGPU, in browsers and by the package `webgpu` in Node, and opens a device with what a variant needs and no more.

import type { Schedule, VariantManifest } from "../../artifact.ts";
import { errors, said } from "../../diagnostics.ts";
import type { Requirements, Wants } from "../../executor.ts";
import { cutsOf } from "../../schedule.ts";

/** What every device has; more must be asked for. */
const DEFAULTS = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 } as const;
const LIMIT = /^limit:(\w+)=(\d{1,15})$/;

export interface Opened {
  readonly device: GPUDevice;
  /** Whether it is ours to destroy, and to replace when it is lost. */
  readonly owned: boolean;
  readonly adapter: string;
}

let dawn: GPU | undefined;

/** WebGPU as it is here. Throws `no-webgpu`. */
const findGPU = async (): Promise<GPU> => {
  const here = globalThis.navigator?.gpu ?? dawn;
  if (here) return here;
  if (globalThis.isSecureContext === false) throw errors.noWebGPU("WebGPU needs a secure context", "serve the page over https");
  if (!globalThis.process?.versions?.node) throw errors.noWebGPU("there is no WebGPU here", "load the model for wasm or js");
  // A variable, as bundlers would look for the package where nobody wants it.
  const name = "webgpu";
  try {
    const { create } = (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as { create(flags: string[]): GPU };
    return (dawn = create([]));
  } catch (thrown) {
    throw errors.noWebGPU(`Node has WebGPU by the package "webgpu", which cannot be loaded: ${said(thrown)}`, "npm install webgpu");
  }
};

const findAdapter = async (): Promise<GPUAdapter> => {
  const adapter = await (await findGPU()).requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw errors.noWebGPU("WebGPU finds no adapter", "install a driver (in Node and on Linux, of Vulkan), or load it for wasm");
  return adapter;
};

const isSoftware = (adapter: GPUAdapter): boolean =>
  adapter.info.isFallbackAdapter || (adapter as { readonly isFallbackAdapter?: boolean }).isFallbackAdapter === true;

const nameOf = ({ vendor, architecture, device, description }: GPUAdapterInfo): string =>
  description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed";

/** An adapter, or a device, which has the same to say. */
type Capable = Pick<GPUAdapter, "features" | "limits">;

interface Needs {
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** `webgpu` itself is taken for granted. */
const needsOf = ({ needs }: Requirements): Needs => {
  const limits = needs.flatMap((need) => (LIMIT.test(need) ? [LIMIT.exec(need)!] : []));
  return {
    features: needs.filter((need) => need !== "webgpu" && !LIMIT.test(need)),
    limits: Object.fromEntries(limits.map(([, name, value]) => [name!, Number(value)])),
  };
};

/** What the language of shaders has besides, where WebGPU is at hand to say so. */
const languageFeatures = async (): Promise<ReadonlySet<string>> => {
  try {
    return (await findGPU()).wgslLanguageFeatures ?? new Set();
  } catch {
    return new Set();
  }
};

const limitOf = ({ limits }: Capable, name: string): number => (limits as unknown as Record<string, number | undefined>)[name] ?? 0;

const lacking = async (capable: Capable, { features, limits }: Needs): Promise<string | undefined> => {
  const language = await languageFeatures();
  const missing = features.filter((feature) => !capable.features.has(feature) && !language.has(feature));
  const short = Object.entries(limits).filter(([name, value]) => limitOf(capable, name) < value);
  const told = [...missing, ...short.map(([name, value]) => `${name} of ${value} (it has ${limitOf(capable, name)})`)];
  return told.length ? `the adapter lacks ${told.join(" and ")}` : undefined;
};

/** Why a variant cannot run here, if it cannot. Throws `no-webgpu`. */
export const unsupported = async (variant: Requirements, { gpu }: Wants = {}): Promise<string | undefined> =>
  lacking(gpu ?? (await findAdapter()), needsOf(variant));

/** Why a variant should not run here if another can. */
export const doubt = async (_: Requirements, { gpu }: Wants = {}): Promise<string | undefined> => {
  if (gpu) return undefined;
  const adapter = await findAdapter();
  return isSoftware(adapter) ? `the adapter (${nameOf(adapter.info)}) is software, slower than the CPU's own code` : undefined;
};

/** The least limits by which a variant's buffers can be made and bound, where those of every device do not do. */
const sizesOf = (variant: VariantManifest, staging: number): Record<string, number> => {
  const schedule = variant.schedule!;
  const most = (sizes: readonly number[]): number => sizes.reduce((m, n) => Math.max(m, n), 0);
  const bound = (list: Schedule["commands"]): number =>
    most(
      list.map((c) => {
        if (c.kind === "dispatch") return most(c.bind.map((b) => b.bytes));
        return c.kind === "if" ? Math.max(bound(c.then), bound(c.else)) : bound(c.body);
      }),
    );
  const buffer = (region: "weights" | "arena"): number =>
    most(cutsOf(schedule, region).map((cut, i, cuts) => (cuts[i + 1] ?? variant[region]) - cut));
  const sizes = {
    maxBufferSize: Math.max(buffer("weights") + 16, buffer("arena") + 16, staging),
    maxStorageBufferBindingSize: bound(schedule.commands),
  };
  return Object.fromEntries(Object.entries(sizes).filter(([name, size]) => size > DEFAULTS[name as keyof typeof DEFAULTS]));
};

/** The caller's device, or one of our own with what the variant needs, and a buffer of `staging` bytes. Throws `no-webgpu`, or an Error that says why there is none. */
export const openDevice = async (variant: VariantManifest, { gpu, profile }: Wants, staging: number): Promise<Opened> => {
  const adapter = gpu ? undefined : await findAdapter();
  const capable: Capable = gpu ?? adapter!;
  const { features, limits } = needsOf(variant);
  const requiredLimits = { ...limits };
  for (const [name, size] of Object.entries(sizesOf(variant, staging))) requiredLimits[name] = Math.max(size, requiredLimits[name] ?? 0);
  const reason = await lacking(capable, { features, limits: requiredLimits });
  if (reason !== undefined) throw new Error(reason);
  if (gpu)
    return { device: gpu, owned: false, adapter: `${gpu.adapterInfo ? nameOf(gpu.adapterInfo) : "unnamed"}, by the caller's device` };
  const wanted = profile && adapter!.features.has("timestamp-query") ? [...features, "timestamp-query"] : features;
  const requiredFeatures = wanted.filter((feature) => adapter!.features.has(feature)) as GPUFeatureName[];
  const device = await adapter!.requestDevice({ label: "sparsec", requiredFeatures, requiredLimits });
  return { device, owned: true, adapter: `${nameOf(adapter!.info)}${isSoftware(adapter!) ? ", in software" : ""}` };
};
