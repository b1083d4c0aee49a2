// A headless Chromium for tests: SPARSEC_CHROMIUM, by default /usr/bin/chromium; without one a printed skip, or a failure if required.

import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { skipReason } from "../support/shared.ts";

const path = process.env.SPARSEC_CHROMIUM ?? "/usr/bin/chromium";

/** The browser's program, or undefined (reason printed) where there is none. */
export const chromiumPath = (): string | undefined =>
  skipReason("chromium", existsSync(path) ? undefined : `there is no Chromium at ${path}; set SPARSEC_CHROMIUM to one`) === undefined
    ? path
    : undefined;

/** A name that resolves to this machine, as loopback addresses do, but that is no secure context. */
export const INSECURE_HOST = "insecure.test";

const FLAGS = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-proxy-server",
  `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`,
];

/** SwiftShader unrolls the zeroing of shared arrays that drivers are left to do, for a second or two in each pipeline; a loop takes it 0.1 s. */
const ZERO_BY_LOOPS = "--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension";

/** In a profile of its own, which is removed when it is closed. WebGPU is SwiftShader's; without it, there is no adapter. */
export const launchChromium = ({ webgpu = true } = {}): Promise<Browser> => {
  const args = webgpu ? [...FLAGS, "--enable-unsafe-webgpu", ZERO_BY_LOOPS] : FLAGS;
  return chromium.launch({ executablePath: path, headless: true, chromiumSandbox: false, args });
};
