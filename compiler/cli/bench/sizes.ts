// What an artifact takes: bytes of the code and the weights of the variant that runs, arithmetic of its kernels.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { MANIFEST, type VariantManifest, WEIGHTS } from "../../../runtime/artifact.ts";
import { parseManifest } from "../../../runtime/manifest.ts";
import type { VariantReport } from "../../report.ts";
import { readReport } from "../stored-report.ts";

export interface Sizes {
  /** Bytes: the code of the variant, as it is and gzipped; weights.bin; all files. */
  readonly code: number;
  readonly codeGzipped: number;
  readonly weights: number;
  readonly total: number;
}

export interface Variant {
  readonly manifest: VariantManifest;
  readonly report: VariantReport | undefined;
  readonly sizes: Sizes;
}

/** The variant of an artifact's folder that `backend` and `name` say. */
export async function variantOf(folder: string, backend: string, name: string): Promise<Variant> {
  const manifest = parseManifest(JSON.parse(await readFile(join(folder, MANIFEST), "utf8")), folder);
  const variant = manifest.variants.find((v) => v.backend === backend && v.name === name)!;
  const code = await readFile(join(folder, variant.code));
  // An artifact may have been compiled without its report.
  const report = await readReport(folder).catch(() => undefined);
  return {
    manifest: variant,
    report: report?.variants.find((v) => v.backend === backend && v.variant === name),
    sizes: {
      code: code.length,
      codeGzipped: gzipSync(code).length,
      weights: manifest.files[WEIGHTS]?.bytes ?? 0,
      total: Object.values(manifest.files).reduce((sum, f) => sum + f.bytes, 0),
    },
  };
}

/** Floating-point operations of one run, where the report is there. */
export const flopsOf = (report: VariantReport | undefined): { readonly all: number; readonly nonzero: number } | undefined =>
  report && {
    all: report.nodes.reduce((sum, n) => sum + n.flops, 0),
    nonzero: report.nodes.reduce((sum, n) => sum + n.nonzeroFlops, 0),
  };
