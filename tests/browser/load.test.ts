// Artifacts over HTTP in headless Chromium, under a strict content policy: the same numbers as in Node, on the page and in a worker.

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { wasm } from "../../backends/index.ts";
import type { Artifact } from "../../compiler/artifact.ts";
import { compileGraph } from "../../compiler/compile.ts";
import { standardOps } from "../../ir/ops/index.ts";
import { parse } from "../../ir/parse.ts";
import { load } from "../../runtime/index.ts";
import { toyPrograms } from "../runtime/toy-code.ts";
import { toyWebGPU } from "../runtime/toy-webgpu.ts";
import { chromiumPath, INSECURE_HOST, launchChromium } from "./chromium.ts";
import { type Answer, artifactFiles, pageFiles, type Question, type Site, STRICT_POLICY, serve } from "./site.ts";

const x = [1, 0, 2, 3];
const image = Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.sin(i));
const SOFTMAX = `graph @shared(%x: f32[3,16,16]) {
  %0 = softmax(%x) {axis: 2} : f32[3,16,16]
  %y = matmul(%0, %x) : f32[3,16,16]
  return %y
}`;
const question = (device: string, source = "toy.sparsec"): Question => ({
  source,
  device,
  inputs: [
    { name: "x", array: "Float32Array", elements: x },
    { name: "flag", array: "Uint8Array", elements: [0] },
  ],
});

describe.skipIf(chromiumPath() === undefined)("chromium", () => {
  let browser: Browser;
  let artifact: Artifact;
  let team: Artifact;
  let files: ReadonlyMap<string, string | Uint8Array>;
  const sites: Site[] = [];

  beforeAll(async () => {
    artifact = await toyPrograms();
    team = (await compileGraph(parse(SOFTMAX, standardOps), ["y"], { backends: [wasm], threads: true })).artifact;
    const broken = { ...artifact, files: new Map([...artifact.files, ["weights.bin", new Uint8Array(72)]]) };
    files = new Map([
      ...(await pageFiles()),
      ...artifactFiles("toy.sparsec", artifact),
      ...artifactFiles("broken.sparsec", broken),
      ...artifactFiles("team.sparsec", team),
      ...artifactFiles("device.sparsec", toyWebGPU()),
    ]);
    browser = await launchChromium();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await Promise.all(sites.map((site) => site.close()));
  });

  /** Opens the site's page, and fails on whatever the page complains of. */
  const open = async (
    policy: string,
    use: (page: Page) => Promise<void>,
    host = "127.0.0.1",
    complaints: readonly RegExp[] = [],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> => {
    const site = await serve(files, { "content-security-policy": policy, ...headers });
    sites.push(site);
    const page = await browser.newPage();
    const said: string[] = [];
    page.on("pageerror", (error) => said.push(String(error)));
    page.on("console", (message) => said.push(message.text()));
    await page.goto(`http://${host}:${site.port}/`, { waitUntil: "networkidle" });
    await use(page);
    expect(said.filter((text) => !complaints.some((expected) => expected.test(text)))).toEqual([]);
    await page.close();
  };
  const ask = (page: Page, where: "inPage" | "inWorker", asked: Question): Promise<Answer> =>
    page.evaluate(([f, q]) => (globalThis as unknown as Record<string, (q: Question) => Promise<Answer>>)[f]!(q), [where, asked] as const);

  const inNode = async (device: string): Promise<Answer["outputs"]> => {
    const model = await load(artifact, { device });
    const outputs = await model.run({ x: Float32Array.from(x), flag: Uint8Array.of(0) });
    return Object.entries(outputs).map(([name, { data, dtype, shape }]) => ({
      name,
      dtype,
      shape,
      bytes: [...new Uint8Array(data.buffer)],
    }));
  };

  test.each(["wasm", "js"])("%s gives the same numbers as in Node, on the page and in a worker", async (device) => {
    const outputs = await inNode(device);
    expect(outputs?.map(({ name }) => name)).toEqual(["y", "nz", "__proto__"]);
    await open(STRICT_POLICY, async (page) => {
      for (const where of ["inPage", "inWorker"] as const) {
        const answer = await ask(page, where, question(device));
        expect(answer.error).toBeUndefined();
        expect(answer.outputs).toEqual(outputs);
        expect(answer.info?.backend).toBe(device);
      }
      expect((await ask(page, "inPage", question("auto"))).info).toMatchObject({ backend: "wasm", skipped: [] });
    });
  });

  test("webgpu gives them, too, where the page is a secure context", async () => {
    const outputs = await inNode("js");
    await open(STRICT_POLICY, async (page) => {
      for (const where of ["inPage", "inWorker"] as const) {
        const answer = await ask(page, where, question("webgpu", "device.sparsec"));
        expect(answer.error).toBeUndefined();
        expect(answer.outputs).toEqual(outputs);
        expect(answer.info?.backend).toBe("webgpu");
      }
    });
    const insecure = async (page: Page): Promise<void> => {
      const { error } = await ask(page, "inPage", question("webgpu", "device.sparsec"));
      expect(error).toEqual({ code: "no-webgpu", message: expect.stringMatching(/WebGPU needs a secure context/) });
    };
    await open(STRICT_POLICY, insecure, INSECURE_HOST);
  });

  test("where the policy forbids wasm, js runs instead, and info says why", async () => {
    const complaints = [/unsafe-eval|WebAssembly/];
    await open(
      "script-src 'self'; worker-src 'self'",
      async (page) => {
        const answer = await ask(page, "inPage", question("auto"));
        expect(answer.outputs).toEqual(await inNode("js"));
        expect(answer.info?.backend).toBe("js");
        expect(answer.info?.skipped[0]?.variant).toBe("wasm:baseline");
        expect(answer.info?.skipped[0]?.reason).toMatch(/Content Security Policy/);
        expect((await ask(page, "inPage", question("wasm"))).error?.code).toBe("no-variant");
      },
      undefined,
      complaints,
    );
  });

  test("what is broken or missing is a coded error; hashes are checked without WebCrypto too", async () => {
    for (const host of ["127.0.0.1", INSECURE_HOST])
      await open(
        STRICT_POLICY,
        async (page) => {
          expect(await page.evaluate(() => globalThis.isSecureContext)).toBe(host !== INSECURE_HOST);
          expect((await ask(page, "inPage", question("wasm"))).outputs).toEqual(await inNode("wasm"));
          expect((await ask(page, "inPage", question("wasm", "broken.sparsec"))).error?.code).toBe("corrupt");
          const missing = await ask(page, "inPage", question("wasm", "/none"));
          expect(missing.error).toMatchObject({ code: "unreadable" });
          expect(missing.error?.message).toMatch(/none\/manifest\.json: cannot be read: HTTP 404/);
          const device = await ask(page, "inPage", question("webgpu"));
          expect(device.error?.message).toMatch(
            /no variant for device 'webgpu'; the artifact holds wasm:baseline, js:plain \[unknown-device\]/,
          );
        },
        host,
        [/404/],
      );
  });

  test("threads share a run where the page is isolated; elsewhere one runs, and info says why", async () => {
    const asked: Question = {
      source: "team.sparsec",
      device: "wasm",
      threads: 2,
      inputs: [{ name: "x", array: "Float32Array", elements: image }],
    };
    const alone = await load(team, { device: "wasm:baseline" });
    const expected = [...new Uint8Array((await alone.run({ x: Float32Array.from(image) }))["y"]!.data.buffer)];
    const isolation = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
    await open(
      STRICT_POLICY,
      async (page) => {
        for (const where of ["inPage", "inWorker"] as const) {
          const answer = await ask(page, where, { ...asked, device: "wasm:baseline-threads" });
          expect(answer.error).toBeUndefined();
          expect(answer.info).toMatchObject({ variant: "baseline-threads", threads: 2 });
          expect(answer.outputs?.[0]?.bytes).toEqual(expected);
        }
      },
      undefined,
      [],
      isolation,
    );
    await open(STRICT_POLICY, async (page) => {
      const answer = await ask(page, "inPage", asked);
      expect(answer.info).toMatchObject({ threads: 1, whyThreads: "the variant is for one thread" });
      expect(answer.info?.skipped[0]?.reason).toBe("the engine lacks threads, as the page is not cross-origin isolated");
    });
  });
});
