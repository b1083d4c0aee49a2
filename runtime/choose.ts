// What the caller of load() chooses: the device, the order in which variants are tried on it, and threads.

import type { Manifest, VariantManifest } from "./artifact.ts";
import { errors, show } from "./diagnostics.ts";

export type Preference = "latency" | "throughput";

/** Backends in the order that "auto" tries them in, for each preference; others follow. */
const ORDER: Readonly<Record<Preference, readonly string[]>> = {
  latency: ["wasm", "js"],
  throughput: ["webgpu", "wasm", "js"],
};

export interface Choice {
  readonly device: string;
  /** Who said so, and by which rule variants are tried. */
  readonly from: string;
  readonly order: readonly string[];
  /** Whether there is another way to run the model than by what is chosen here. */
  readonly otherwise?: boolean;
}

interface Options {
  readonly device?: string | undefined;
  readonly prefer?: Preference | undefined;
  readonly gpu?: unknown;
}

/** The name of the device for models in parts. */
export const PARTS = "parts";

/** Throws `bad-option`. */
export const chooseDevice = ({ device, prefer = "latency", gpu }: Options, { parts }: Pick<Manifest, "parts">): Choice => {
  if (!Object.hasOwn(ORDER, prefer)) throw errors.badOption(`prefer is "latency" or "throughput", not ${show(prefer)}`);
  const order = ORDER[prefer];
  const choice = (chosen: string, who: string): Choice => {
    const rule = chosen === "auto" ? ` (for ${prefer}: ${order.join(", ")}, then others${software(order)})` : "";
    return { device: chosen, from: `${who} is '${chosen}'${rule}`, order };
  };
  if (device !== undefined) {
    if (typeof device !== "string") throw errors.badOption(`device must be a string such as "auto" or "wasm", not ${show(device)}`);
    return choice(device, "the device asked for");
  }
  if (gpu !== undefined) return choice(parts ? PARTS : "webgpu", "a GPUDevice was given, so the device");
  const environment = globalThis.process?.env?.SPARSEC_DEVICE;
  return environment ? choice(environment, "SPARSEC_DEVICE") : choice("auto", "the device");
};

const software = (order: readonly string[]): string => (order.includes("webgpu") ? ", software adapters last" : "");

/** The number of threads to share runs, at most. Throws `bad-option`. */
export const chooseThreads = (threads: number | "auto" = 1): number => {
  if (threads === "auto") return Number.POSITIVE_INFINITY;
  if (Number.isSafeInteger(threads) && threads >= 1) return threads;
  throw errors.badOption(`threads must be a positive integer or "auto", not ${show(threads)}`);
};

export const title = (variant: VariantManifest): string => `${variant.backend}:${variant.name}`;

/** The variants that a device names, in the order to try them: those for teams of threads first, or only where named in full. */
export const candidatesFor = (
  { variants, parts }: Pick<Manifest, "variants" | "parts">,
  { device, order }: Choice,
  threads: number,
  label: string,
): readonly VariantManifest[] => {
  const backends = (v: VariantManifest): number => (order.includes(v.backend) ? order.indexOf(v.backend) : order.length);
  const teams = (v: VariantManifest): number => (v.threads === undefined ? 1 : 0);
  const named = variants.filter((v) => device === "auto" || v.backend === device || title(v) === device);
  const apart = parts?.length ? [`its parts, for ${[...new Set(parts.map((part) => part.variants[0]!.backend))].join(" and ")}`] : [];
  if (!named.length) throw errors.unknownDevice(label, device, [...variants.map(title), ...apart]);
  const wanted = named.filter((v) => threads > 1 || v.threads === undefined || title(v) === device);
  return wanted.sort((a, b) => (device === "auto" ? backends(a) - backends(b) : 0) || teams(a) - teams(b));
};
